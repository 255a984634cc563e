//! A real `PostgreSQL` with a password, which only this machine's users reach, through a socket.

use std::cell::Cell;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio_postgres::{Client, NoTls};

use rustix::process::{Pid, Signal, kill_process};

use super::cluster::{Cluster, give, programs};
use crate::bench::{Bench, skip, until};

/// The password of its user.
pub(crate) const PASSWORD: &str = "planted-5ec7e75e";

pub(crate) struct Server {
    cluster: Cluster,
    /// The port that its next start listens at; its socket is named after it.
    pub(super) port: u16,
    /// What sends to its standby, where that is stopped.
    stopped: Cell<Option<Pid>>,
}

impl Server {
    /// `None` where `PostgreSQL` is not installed.
    pub(crate) async fn start() -> Option<Self> {
        if programs().is_none() {
            skip("PostgreSQL is not installed; tests/run unpacks it");
            return None;
        }
        let home = home();
        let password = home.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        give(&password);
        // It takes seconds, and other histories of the same task go on meanwhile.
        let make = move || {
            let pwfile = format!("--pwfile={}", password.display());
            let made = [
                "--no-sync",
                "--auth=scram-sha-256",
                "--username=edge",
                &pwfile,
            ];
            Cluster::make(home, &made)
        };
        let cluster = tokio::task::spawn_blocking(make).await.unwrap();
        let mut server = Self {
            cluster,
            port: 5432,
            stopped: Cell::default(),
        };
        server.run(&[]).await;
        Some(server)
    }

    /// A standby of it, which has all that it has.
    pub(crate) async fn standby(&self) -> Self {
        self.standby_with(|_| {}).await
    }

    /// The same, whose clock is wrong by so much: libfaketime is there.
    pub(crate) async fn standby_at(&self, faketime: &Path, by: &str) -> Self {
        let shift = |cluster: &mut Cluster| {
            // Where its user may read it.
            let library = cluster.home().join("faketime.so");
            fs::copy(faketime, &library).unwrap();
            give(&library);
            cluster.environment = vec![
                ("LD_PRELOAD".into(), library.into()),
                ("FAKETIME".into(), by.into()),
                ("FAKETIME_DONT_FAKE_MONOTONIC".into(), "1".into()),
            ];
        };
        self.standby_with(shift).await
    }

    async fn standby_with(&self, shape: impl FnOnce(&mut Cluster)) -> Self {
        let home = home();
        let (from, to) = (self.cluster.home().join("data"), home.path().join("data"));
        let session = self.session().await;
        let begun = session.query("SELECT pg_backup_start('standby', true)", &[]);
        begun.await.unwrap();
        // A file that goes away meanwhile is in the log of the server.
        let mut copy = tokio::process::Command::new("cp");
        copy.arg("-a").arg(from).arg(&to).status().await.unwrap();
        let ended = session.query_one("SELECT labelfile FROM pg_backup_stop(false)", &[]);
        let label: String = ended.await.unwrap().get(0);
        let (at, port) = (self.cluster.home().display(), self.port);
        let primary =
            format!("primary_conninfo = 'host={at} port={port} user=edge password={PASSWORD}'\n");
        fs::remove_file(to.join("postmaster.pid")).unwrap();
        for (name, text) in [
            ("backup_label", &label),
            ("standby.signal", &String::new()),
            ("postgresql.auto.conf", &primary),
        ] {
            fs::write(to.join(name), text).unwrap();
            give(&to.join(name));
        }
        let mut standby = Self {
            cluster: Cluster::of(home),
            port: self.port,
            stopped: Cell::default(),
        };
        shape(&mut standby.cluster);
        standby.run(&[]).await;
        self.sender().await;
        standby
    }

    /// The process that sends to the standby.
    async fn sender(&self) -> Pid {
        let session = self.session().await;
        let pid = until("the standby follows", async || {
            let sql = "SELECT pid FROM pg_stat_replication WHERE state = 'streaming'";
            session.query_opt(sql, &[]).await.unwrap()
        })
        .await;
        Pid::from_raw(pid.get(0)).unwrap()
    }

    /// Sends nothing to the standby any more, which does not notice for a while.
    pub(crate) async fn stop_sending(&self) {
        let sender = self.sender().await;
        kill_process(sender, Signal::STOP).unwrap();
        self.stopped.set(Some(sender));
    }

    /// From now on it is the one that can write.
    pub(crate) async fn promote(&self) {
        let session = self.session().await;
        let promoted = session.query_one("SELECT pg_promote(true, 20)", &[]).await;
        assert!(promoted.unwrap().get::<_, bool>(0));
    }

    /// Changes a setting of a server that runs.
    pub(crate) async fn set(&self, setting: &str) {
        let session = self.session().await;
        let set = format!("ALTER SYSTEM SET {setting}");
        session.execute(&set, &[]).await.unwrap();
        session
            .execute("SELECT pg_reload_conf()", &[])
            .await
            .unwrap();
    }

    /// From its next start on it admits users from these addresses.
    pub(crate) fn admit(&self, addresses: &str) {
        let rules = self.cluster.home().join("data/pg_hba.conf");
        let mut rules = fs::File::options().append(true).open(rules).unwrap();
        writeln!(rules, "host all all {addresses} scram-sha-256").unwrap();
    }

    /// Ends all sessions of a node.
    pub(crate) async fn cut(&self) {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'edgepurge %'";
        self.session().await.execute(sql, &[]).await.unwrap();
    }

    /// Starts it with settings, and waits until it takes connections.
    pub(crate) async fn run(&mut self, settings: &[&str]) {
        let port = self.port.to_string();
        let mut arguments = vec!["-p", &port, "-c", "fsync=off"];
        arguments.extend(settings.iter().flat_map(|setting| ["-c", setting]));
        until("PostgreSQL runs", async || {
            self.cluster.runs(&arguments).then_some(())
        })
        .await;
    }

    /// The URL of a user of it, through its socket.
    pub(crate) fn url(&self, user: &str, password: &str) -> String {
        let (home, port) = (self.cluster.home().display(), self.port);
        format!("postgres://{user}:{password}@/postgres?host={home}&port={port}")
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        let name = format!(".s.PGSQL.{}", self.port);
        self.cluster.home().join(name)
    }

    /// Points a bench's configuration at a server by a socket in this directory.
    pub(crate) fn serve_by(host: &Path, bench: &mut Bench) {
        let host = host.display();
        write_url(
            bench,
            &format!("postgres://edge:{PASSWORD}@/postgres?host={host}"),
        );
    }

    /// A session of its superuser.
    pub(crate) async fn session(&self) -> Client {
        let url = self.url("edge", PASSWORD);
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::task::spawn(async { drop(connection.await) });
        client
    }

    /// A new directory of its own.
    pub(super) fn directory(&self, name: &str) -> PathBuf {
        let path = self.cluster.home().join(name);
        fs::create_dir(&path).unwrap();
        path
    }

    /// Gives it the certificate and the key of a directory, for connections that are encrypted.
    pub(super) fn put_certificate(&self, from: &Path) {
        for (name, as_named) in [("server.pem", "server.crt"), ("server.key", "server.key")] {
            let to = self.cluster.home().join("data").join(as_named);
            fs::copy(from.join(name), &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
            give(&to);
        }
    }

    /// Kills its first process, as a lack of memory does. The others end when they notice; one that is stopped can't.
    pub(crate) fn kill(&mut self) {
        self.cluster.kill();
        if let Some(sender) = self.stopped.take() {
            kill_process(sender, Signal::KILL).unwrap();
        }
    }

    /// Writes its URL, and that of another one, into the file that a bench's configuration names. Of the two,
    /// the one that can write is taken.
    pub(crate) fn serve_with(&self, other: &Self, bench: &Bench) {
        let [home, others] = [self, other].map(|one| one.cluster.home().display().to_string());
        let port = self.port;
        let url =
            format!("postgres://edge:{PASSWORD}@/postgres?host={home}&host={others}&port={port}");
        fs::write(bench.path("database_url"), url).unwrap();
    }

    /// Writes its URL into the file that a bench's configuration names.
    pub(crate) fn serve_alone(&self, bench: &Bench) {
        fs::write(bench.path("database_url"), self.url("edge", PASSWORD)).unwrap();
    }

    /// Points a bench's configuration at it.
    pub(crate) fn serve(&self, bench: &mut Bench, password: &str) {
        write_url(bench, &self.url("edge", password));
    }
}

/// A directory for a server.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    home
}

/// Writes the URL that a bench's configuration names.
pub(crate) fn write_url(bench: &mut Bench, url: &str) {
    let file = bench.path("database_url");
    fs::write(&file, url).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    bench.state = format!("database_url_file = \"{}\"", file.display());
}
