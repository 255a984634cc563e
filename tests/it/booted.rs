//! A booted systemd: the package, installed as README says, in a container whose first process is
//! systemd. What runs in there is [`inside`] and [`package`], by this same binary; here the machine is made and listened to.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::bench::{say_skipped, skip, skip_unprivileged};

mod inside;
mod machine;
mod package;

/// No machine runs longer than this, in seconds.
const LIMIT: &str = "300";

/// What starts the tests in there, and ends the machine when they have.
const RUN: &str = "[Unit]\nAfter=basic.target dbus.service\n\
    [Service]\nType=oneshot\nTimeoutStartSec=infinity\n\
    Environment=EDGEPURGE_BOOTED=1 RUST_BACKTRACE=1\n\
    StandardOutput=file:/said\nStandardError=file:/said\n\
    ExecStart=/bin/sh -c '/booted/it booted:: --ignored --test-threads=1 --nocapture; echo $? >/code'\n\
    ExecStopPost=/bin/systemctl --no-block poweroff\n";

#[test]
fn what_an_operator_does_with_systemd_works_as_it_is_documented() {
    if let Ok(why) = std::env::var("EDGEPURGE_TEST_NO_BOOT") {
        return say_skipped(&why);
    }
    let Ok(image) = std::env::var("EDGEPURGE_TEST_IMAGE") else {
        return skip("there is no image of a system to boot; tests/run makes one");
    };
    if !rustix::process::geteuid().is_root() {
        return skip_unprivileged("only root may boot a system");
    }
    let Ok(package) = std::env::var("EDGEPURGE_TEST_PACKAGE") else {
        return skip("there is no package to install; tests/run makes one");
    };
    let began = Instant::now();
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("root");
    unpack(Path::new(&image), &root);
    install_the_run(&root);
    let unpacked = began.elapsed();
    let console = boot(&root, Path::new(&package));
    let said = fs::read_to_string(root.join("said")).unwrap_or_default();
    let code = fs::read_to_string(root.join("code")).unwrap_or_default();
    // Not `eprintln!`, which the test harness swallows where a test passes.
    let told = writeln!(
        std::io::stderr(),
        "{said}\nbooted systemd: {} s, {} s of them for unpacking",
        began.elapsed().as_secs(),
        unpacked.as_secs()
    );
    told.expect("stderr takes a line");
    assert_eq!(code.trim(), "0", "{said}\nthe console:\n{console}");
    let count = format!("{} passed; 0 failed", inside::TESTS + package::TESTS);
    assert!(said.contains(&count), "not {count}");
}

fn unpack(image: &Path, root: &Path) {
    fs::create_dir(root).unwrap();
    let unpacked = Command::new("tar")
        .args(["--numeric-owner", "-xpf"])
        .arg(image)
        .arg("-C")
        .arg(root)
        .status()
        .unwrap();
    assert!(unpacked.success(), "{}", image.display());
}

fn install_the_run(root: &Path) {
    let units = root.join("etc/systemd/system");
    fs::write(units.join("booted.service"), RUN).unwrap();
    let wants = units.join("multi-user.target.wants");
    fs::create_dir_all(&wants).unwrap();
    std::os::unix::fs::symlink("../booted.service", wants.join("booted.service")).unwrap();
}

/// Boots the system and waits until it has ended; what its console said.
fn boot(root: &Path, package: &Path) -> String {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bind = |from: PathBuf, to: &str| format!("--bind-ro={}:/booted/{to}", from.display());
    // nspawn keeps its own things in /run, which is left as it is.
    let alone =
        "mkdir -p /run/systemd/nspawn && mount -t tmpfs tmpfs /run/systemd/nspawn && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", alone, "sh"])
        .args(["timeout", "--kill-after=10", LIMIT, "systemd-nspawn"])
        .args(["--quiet", "--boot", "--register=no", "--keep-unit"])
        .args(["--private-network", "--console=pipe", "--link-journal=no"])
        .arg(bind(std::env::current_exe().unwrap(), "it"))
        .arg(bind(package.into(), "edgepurge.deb"))
        .arg(bind(tree.join("README.md"), "README.md"))
        .arg("--directory")
        .arg(root)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let [out, err] =
        [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned());
    format!("{out}{err}{}", output.status)
}
