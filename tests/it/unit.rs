//! The systemd units.

use std::process::Command;

use crate::bench::skip;

#[test]
fn the_units_are_valid_and_hardened() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/edgepurge.service");
    let Ok(verify) = Command::new("systemd-analyze").arg("--version").output() else {
        return skip("systemd-analyze is not installed");
    };
    assert!(verify.status.success());
    let socket = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/systemd/edgepurge-webhook.socket"
    );
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no", unit, socket])
        .output()
        .unwrap();
    let said = String::from_utf8(verify.stderr).unwrap();
    // The binary is not installed where tests run; everything else must be right.
    let complaints: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("edgepurge") && !line.contains("is not executable"))
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");

    let security = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=25", unit])
        .output()
        .unwrap();
    assert!(
        security.status.success(),
        "{}",
        String::from_utf8_lossy(&security.stdout)
    );
}
