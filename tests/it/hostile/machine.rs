//! What these tests need of the machine: root, tools, mounts that are gone when a test ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::sync::watch;

use crate::bench::{Bench, LIMIT, skip, skip_unprivileged, until};

/// Whether this process may mount; else the test is skipped.
pub(crate) fn may_mount() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip_unprivileged("only root may mount");
        return false;
    }
    // Root of a container may be no root.
    let dir = tempfile::tempdir().unwrap();
    if let Err(why) = Mount::new(&["-t", "tmpfs", "tmpfs"], dir.path()) {
        skip_unprivileged(&format!("this root may not mount: {why}"));
        return false;
    }
    true
}

/// Whether a tool is there; else the test is skipped.
pub(crate) fn has(tool: &str) -> bool {
    let found = Command::new(tool)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        skip(&format!("{tool} is not installed"));
    }
    found
}

/// Sends a signal to the daemon.
pub(crate) fn signal(bench: &Bench, name: &str) {
    signal_to(bench.pid(), name);
}

pub(super) fn signal_to(pid: u32, name: &str) {
    let pid = pid.to_string();
    let sent = Command::new("kill").args([name, &pid]).status().unwrap();
    assert!(sent.success());
}

/// What the daemon tells systemd. It is read all the time, as systemd does: else the daemon would wait.
pub(crate) struct Systemd(watch::Receiver<Vec<String>>);

impl Systemd {
    /// Listens for a daemon that will be started.
    pub(crate) fn of(bench: &mut Bench) -> Self {
        let path = bench.path("notify.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        let notify = format!("NOTIFY_SOCKET={}", path.display());
        let words = ["env", &notify, "WATCHDOG_USEC=3000000"];
        bench.within = words.map(str::to_owned).to_vec();
        let (told, heard) = watch::channel(Vec::new());
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok(length) = socket.recv(&mut buffer).await {
                let word = String::from_utf8_lossy(&buffer[..length]).into_owned();
                told.send_modify(|all| all.push(word));
            }
        });
        Self(heard)
    }

    /// From now on, the watchdog is fed in time.
    pub(super) async fn is_fed(&mut self) {
        for _ in 0..4 {
            let before = self.0.borrow().len();
            let fed = |all: &Vec<String>| {
                all[before..]
                    .iter()
                    .any(|one| one.starts_with("WATCHDOG=1"))
            };
            let fed = tokio::time::timeout(Duration::from_secs(3), self.0.wait_for(fed)).await;
            drop(fed.expect("the watchdog is fed in time").unwrap());
        }
    }

    /// Waits until it is told something that begins so.
    pub(crate) async fn hears(&mut self, word: &str) {
        let told = |all: &Vec<String>| all.iter().any(|one| one.starts_with(word));
        let told = tokio::time::timeout(LIMIT, self.0.wait_for(told)).await;
        drop(
            told.unwrap_or_else(|_| panic!("systemd is not told {word}"))
                .unwrap(),
        );
    }

    /// Waits until it is told to be ready for so many times.
    pub(crate) async fn hears_ready(&mut self, times: usize) {
        let ready = |all: &Vec<String>| {
            let ready = all.iter().filter(|one| one.starts_with("READY=1"));
            ready.count() >= times
        };
        let ready = tokio::time::timeout(LIMIT, self.0.wait_for(ready)).await;
        drop(ready.expect("it is ready in time").unwrap());
    }
}

/// A site of so many files, none of which a loss guard would let go at once.
pub(super) fn release(site: &Path, own: &str) {
    for number in 0..30 {
        let path = site.join(format!("d{}/{number}.css", number % 3));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let content = if number == 0 { own } else { "same" };
        std::fs::write(path, format!("{number} {content}")).unwrap();
    }
}

/// The assets of such a release below `prefix`, and others, in order.
pub(super) fn released(prefix: &str, others: &[&str]) -> Vec<String> {
    let files = (0..30).map(|number| format!("{prefix}/d{}/{number}.css", number % 3));
    let others = others.iter().map(|other| (*other).to_owned());
    let mut assets: Vec<String> = files.chain(others).collect();
    assets.sort();
    assets
}

/// A mount; it is gone when this is dropped, also in a panic.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// `mount WHAT... AT`.
    pub(crate) fn new(what: &[&str], at: &Path) -> Result<Self, String> {
        let output = Command::new("mount").args(what).arg(at).output();
        let output = output.map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(Self(at.to_owned()))
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }

    pub(crate) fn tmpfs(at: &Path) -> Self {
        Self::new(&["-t", "tmpfs", "-o", "mode=755", "tmpfs"], at).unwrap()
    }

    pub(crate) fn bind(from: &Path, at: &Path) -> Self {
        Self::new(&["--bind", from.to_str().unwrap()], at).unwrap()
    }

    /// What another program mounted.
    pub(super) fn of(at: &Path) -> Self {
        Self(at.to_owned())
    }

    /// Unmounts, as an operator does: again while something below is open.
    pub(crate) async fn off(self) {
        until("the unmount", async || {
            let done = Command::new("umount").arg(&self.0).output().unwrap();
            done.status.success().then_some(())
        })
        .await;
        std::mem::forget(self);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let off = Command::new("umount").arg("-l").arg(&self.0).output();
        if !off.is_ok_and(|off| off.status.success()) {
            eprintln!("{} is still mounted", self.0.display());
        }
    }
}
