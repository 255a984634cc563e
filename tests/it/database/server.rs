//! A real `PostgreSQL` with a password, which only this machine's users reach, through a socket.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio_postgres::{Client, NoTls};

use crate::bench::{Bench, skip, until};

/// The user whom a server of root's is run as, since it refuses to be root's.
const UNPRIVILEGED: u32 = 65_534;
/// The password of its user.
pub(crate) const PASSWORD: &str = "planted-5ec7e75e";

pub(crate) struct Server {
    home: tempfile::TempDir,
    running: Option<Child>,
    /// The port that its next start listens at; its socket is named after it.
    pub(super) port: u16,
}

impl Server {
    /// `None` where `PostgreSQL` is not installed.
    pub(crate) async fn start() -> Option<Self> {
        if programs().is_none() {
            skip("PostgreSQL is not installed; tests/run unpacks it");
            return None;
        }
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut server = Self {
            home,
            running: None,
            port: 5432,
        };
        let password = server.home.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        if rustix::process::geteuid().is_root() {
            let own = Some(UNPRIVILEGED);
            chown(server.home.path(), own, own).unwrap();
            chown(&password, own, own).unwrap();
        }
        let made = server
            .program("initdb")
            .args(["--no-sync", "--locale=C", "--encoding=UTF8"])
            .args(["--auth=scram-sha-256", "--username=edge", "--pwfile"])
            .arg(&password)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        server.run(&[]).await;
        Some(server)
    }

    fn program(&self, name: &str) -> Command {
        let mut program = Command::new(programs().unwrap().join(name));
        program.current_dir(self.home.path());
        if rustix::process::geteuid().is_root() {
            program.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
        }
        program.arg("-D").arg(self.home.path().join("data"));
        program
    }

    /// Starts it with settings, and waits until it takes connections.
    pub(crate) async fn run(&mut self, settings: &[&str]) {
        until("PostgreSQL runs", async || {
            if self
                .running
                .as_mut()
                .is_none_or(|one| one.try_wait().unwrap().is_some())
            {
                let mut program = self.program("postgres");
                program.args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"]);
                program.arg(self.home.path());
                program.args(["-p", &self.port.to_string()]);
                for setting in settings {
                    program.args(["-c", setting]);
                }
                program.stdout(Stdio::null()).stderr(Stdio::null());
                self.running = Some(program.spawn().unwrap());
            }
            let file = self.home.path().join("data/postmaster.pid");
            let said = fs::read_to_string(file).unwrap_or_default();
            let ready = said.lines().any(|line| line.trim() == "ready");
            let ours = said.lines().next() == Some(&self.running.as_ref()?.id().to_string());
            (ready && ours).then_some(())
        })
        .await;
    }

    /// The URL of a user of it, through its socket.
    pub(super) fn url(&self, user: &str, password: &str) -> String {
        let (home, port) = (self.home.path().display(), self.port);
        format!("postgres://{user}:{password}@/postgres?host={home}&port={port}")
    }

    /// A session of its superuser.
    pub(super) async fn session(&self) -> Client {
        let url = self.url("edge", PASSWORD);
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::task::spawn(async { drop(connection.await) });
        client
    }

    /// A new directory of its own.
    pub(super) fn directory(&self, name: &str) -> PathBuf {
        let path = self.home.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    }

    /// Gives it the certificate and the key of a directory, for connections that are encrypted.
    pub(super) fn put_certificate(&self, from: &Path) {
        for (name, as_named) in [("server.pem", "server.crt"), ("server.key", "server.key")] {
            let to = self.home.path().join("data").join(as_named);
            fs::copy(from.join(name), &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
            if rustix::process::geteuid().is_root() {
                chown(&to, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
            }
        }
    }

    /// Kills its first process, as a lack of memory does.
    pub(crate) fn kill(&mut self) {
        let mut running = self.running.take().unwrap();
        running.kill().unwrap();
        running.wait().unwrap();
    }

    /// Points a bench's configuration at it.
    pub(crate) fn serve(&self, bench: &mut Bench, password: &str) {
        write_url(bench, &self.url("edge", password));
    }
}

/// Writes the URL that a bench's configuration names.
pub(super) fn write_url(bench: &mut Bench, url: &str) {
    let file = bench.path("database_url");
    fs::write(&file, url).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    bench.state = format!("database_url_file = \"{}\"", file.display());
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            let pid = rustix::process::Pid::from_child(running);
            rustix::process::kill_process(pid, rustix::process::Signal::QUIT).unwrap();
            running.wait().unwrap();
        }
    }
}

/// The directory of `PostgreSQL`'s programs: the one that is named, or the newest that is installed.
fn programs() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("EDGEPURGE_TEST_POSTGRESQL") {
        return Some(named.into());
    }
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let programs = versions.map(|version| version.unwrap().path().join("bin"));
    programs.filter(|bin| bin.join("initdb").exists()).max()
}
