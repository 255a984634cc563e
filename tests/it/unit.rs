//! The systemd units.

use std::process::Command;

use crate::bench::skip;

/// What cargo-auditable puts into a binary, which scanners read.
const CRATES: &str = ".dep-v0";

#[test]
fn the_binary_of_the_package_lists_its_crates_with_their_versions() {
    let Ok(package) = std::env::var("EDGEPURGE_TEST_PACKAGE") else {
        return skip("there is no package; tests/run makes one");
    };
    let home = tempfile::tempdir().unwrap();
    let script = format!(
        "dpkg-deb --fsys-tarfile '{package}' | tar -xO ./usr/bin/edgepurge >edgepurge
         objcopy --dump-section {CRATES}=crates edgepurge
         python3 -c 'import sys, zlib; sys.stdout.write(zlib.decompress(open(\"crates\", \"rb\").read()).decode())'"
    );
    let listed = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(home.path())
        .output()
        .unwrap();
    assert!(listed.status.success(), "{listed:?}");
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let listed = listed["packages"].as_array().unwrap();
    let version = |name: &str| {
        let mut found = listed.iter().filter(|one| one["name"] == name);
        found
            .next()
            .map(|one| one["version"].as_str().unwrap().to_owned())
    };
    let ours = version("edgepurge");
    assert_eq!(ours.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    let lock = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock"));
    for name in ["rustls", "rusqlite", "tokio"] {
        let version = version(name).expect(name);
        let locked = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        assert!(lock.contains(&locked), "{name} {version}");
    }
}

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

    // In tenths: at most 1.5 of 10.
    let security = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=15", unit])
        .output()
        .unwrap();
    assert!(
        security.status.success(),
        "{}",
        String::from_utf8_lossy(&security.stdout)
    );
}
