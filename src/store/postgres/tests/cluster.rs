//! The files and the process of a `PostgreSQL` server, for tests of the store, process tests and the benchmark of
//! the fleet: each has this file as a module.

use std::ffi::OsString;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process};

/// The user whom a server of root's is run as, since it refuses to be root's.
pub(crate) const UNPRIVILEGED: u32 = 65_534;

/// A server that is reached by a socket in its directory; both end with this value.
pub(crate) struct Cluster {
    home: tempfile::TempDir,
    running: Option<Child>,
    /// Variables for its next start.
    pub(crate) environment: Vec<(OsString, OsString)>,
}

impl Cluster {
    /// The server whose files a directory has, or will have.
    pub(crate) fn of(home: tempfile::TempDir) -> Self {
        give(home.path());
        Self {
            home,
            running: None,
            environment: Vec::new(),
        }
    }

    /// Makes the files, with arguments of `initdb`.
    pub(crate) fn make(home: tempfile::TempDir, arguments: &[&str]) -> Self {
        let cluster = Self::of(home);
        let made = cluster
            .program("initdb")
            .arg("-D")
            .arg(cluster.data())
            .args(["--locale=C", "--encoding=UTF8"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        cluster
    }

    /// Its directory.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    fn data(&self) -> PathBuf {
        self.home().join("data")
    }

    /// A program of `PostgreSQL`.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut program = Command::new(programs().unwrap().join(name));
        program.current_dir(self.home());
        if geteuid().is_root() {
            program.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
        }
        program
    }

    /// Whether it takes connections. Starts it with these arguments where it does not run, or has ended because
    /// of what is left of a server that was killed.
    pub(crate) fn runs(&mut self, arguments: &[&str]) -> bool {
        let running = self.running.as_mut();
        if running.is_none_or(|one| one.try_wait().unwrap().is_some()) {
            let mut server = self.program("postgres");
            server.arg("-D").arg(self.data());
            server.args(["-c", "listen_addresses=", "-k"]);
            server.arg(self.home()).args(arguments);
            server.envs(self.environment.iter().cloned());
            server.stdout(Stdio::null()).stderr(Stdio::null());
            self.running = Some(server.spawn().unwrap());
        }
        let said = std::fs::read_to_string(self.data().join("postmaster.pid"));
        let said = said.unwrap_or_default();
        // The file of the one before may still be there.
        let pid = self.running.as_ref().map(|one| one.id().to_string());
        let ours = said.lines().next() == pid.as_deref();
        ours && said.lines().any(|line| line.trim() == "ready")
    }

    /// Kills its first process, as a lack of memory does.
    pub(crate) fn kill(&mut self) {
        let mut running = self.running.take().unwrap();
        running.kill().unwrap();
        running.wait().unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            // At once: nothing of it is kept.
            kill_process(Pid::from_child(running), Signal::QUIT).unwrap();
            running.wait().unwrap();
        }
    }
}

/// Gives a file to the user whom the server is run as.
pub(crate) fn give(path: &Path) {
    if geteuid().is_root() {
        chown(path, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
    }
}

/// The directory of `PostgreSQL`'s programs: the one that is named, or the newest that is installed.
pub(crate) fn programs() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("EDGEPURGE_TEST_POSTGRESQL") {
        return Some(named.into());
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let programs = versions.map(|version| version.unwrap().path().join("bin"));
    programs.filter(|bin| bin.join("initdb").exists()).max()
}
