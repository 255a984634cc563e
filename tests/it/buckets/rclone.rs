//! Another client: rclone, from Debian.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use super::server::{ACCESS_KEY, SECRET_KEY, Server, UPLOAD};
use crate::bench::{BUCKET, Bench, skip};

/// rclone, with the server as its remote `bucket`.
pub(super) struct Rclone {
    program: PathBuf,
    endpoint: String,
}

impl Rclone {
    /// `None` where this machine has none.
    pub(super) fn of(server: &Server) -> Option<Self> {
        let Some(program) = std::env::var_os("EDGEPURGE_TEST_RCLONE") else {
            skip("EDGEPURGE_TEST_RCLONE names no rclone; tests/run does");
            return None;
        };
        Some(Self {
            program: PathBuf::from(program),
            endpoint: server.endpoint(),
        })
    }

    /// Makes the bucket what the site is. Where only the time of a file differs, the client copies its object onto
    /// itself.
    pub(super) async fn sync(&self, bench: &Bench) {
        let site = bench.site();
        let remote = format!("bucket:{BUCKET}");
        self.run(&["sync", site.to_str().unwrap(), &remote]).await;
    }

    /// Uploads a file or folder of the site into a folder of the bucket, also where it is the same.
    pub(super) async fn upload(&self, bench: &Bench, from: &str, to: &str, more: &[&str]) {
        let from = bench.site().join(from);
        let remote = format!("bucket:{BUCKET}/{to}");
        let upload = ["copy", "--ignore-times", from.to_str().unwrap(), &remote];
        self.run(&[&upload[..], more].concat()).await;
    }

    /// Runs the client, which has to succeed.
    async fn run(&self, arguments: &[&str]) {
        let output = Command::new(&self.program)
            .args(arguments)
            .env_clear()
            .env("RCLONE_CONFIG", "/dev/null")
            .env("RCLONE_CONFIG_BUCKET_TYPE", "s3")
            .env("RCLONE_CONFIG_BUCKET_PROVIDER", "Other")
            // s3rver answers before an object is whole.
            .env("RCLONE_CONFIG_BUCKET_NO_HEAD", "true")
            .env("RCLONE_CONFIG_BUCKET_REGION", "fr-par")
            .env("RCLONE_CONFIG_BUCKET_ENDPOINT", &self.endpoint)
            .env("RCLONE_CONFIG_BUCKET_ACCESS_KEY_ID", ACCESS_KEY)
            .env("RCLONE_CONFIG_BUCKET_SECRET_ACCESS_KEY", SECRET_KEY)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(UPLOAD, output).await;
        let output = output.expect("the client ends in time").unwrap();
        assert!(output.status.success(), "rclone {arguments:?}: {output:?}");
    }
}
