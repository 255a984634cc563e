//! A real `PostgreSQL` with a password, which only this machine's users reach, through a socket.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio_postgres::{Client, NoTls};

use super::cluster::{Cluster, give, programs};
use crate::bench::{Bench, skip, until};

/// The password of its user.
pub(crate) const PASSWORD: &str = "planted-5ec7e75e";

pub(crate) struct Server {
    cluster: Cluster,
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
        let password = home.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        give(&password);
        let pwfile = format!("--pwfile={}", password.display());
        let made = [
            "--no-sync",
            "--auth=scram-sha-256",
            "--username=edge",
            &pwfile,
        ];
        let mut server = Self {
            cluster: Cluster::make(home, &made),
            port: 5432,
        };
        server.run(&[]).await;
        Some(server)
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
    pub(super) fn url(&self, user: &str, password: &str) -> String {
        let (home, port) = (self.cluster.home().display(), self.port);
        format!("postgres://{user}:{password}@/postgres?host={home}&port={port}")
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

    /// Kills its first process, as a lack of memory does.
    pub(crate) fn kill(&mut self) {
        self.cluster.kill();
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
