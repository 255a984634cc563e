//! The server: moto, from `PyPI`; and the client: the AWS CLI, which knows nothing of edgepurge.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::bench::{BUCKET, Bench, skip, until};

const ADDRESS: &str = "s3://my-site";
pub(super) const ACCESS_KEY: &str = "SCWXXXXXXXXXXXXXXXXX";

/// No upload takes longer than this on a loaded machine.
const UPLOAD: Duration = Duration::from_mins(5);

/// A server with one bucket, which is empty.
pub(super) struct Server {
    programs: PathBuf,
    port: u16,
    _process: Child,
}

impl Server {
    /// Starts it; `None` where this machine has none.
    pub(super) async fn start() -> Option<Self> {
        let Some(programs) = std::env::var_os("EDGEPURGE_TEST_S3") else {
            skip("EDGEPURGE_TEST_S3 names no directory with moto_server and aws; tests/run does");
            return None;
        };
        drop(rustls::crypto::ring::default_provider().install_default());
        let programs = PathBuf::from(programs);
        // Free now, and taken by it in a moment.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let process = Command::new(programs.join("moto_server"))
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let server = Self {
            programs,
            port,
            _process: process,
        };
        until("the server answers", async || {
            reqwest::get(server.endpoint()).await.ok().map(drop)
        })
        .await;
        server.make_bucket().await;
        Some(server)
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Runs the client, which has to succeed.
    async fn client(&self, arguments: &[&str]) {
        let output = Command::new(self.programs.join("aws"))
            .args(["--endpoint-url", &self.endpoint()])
            .args(arguments)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env(
                "AWS_SECRET_ACCESS_KEY",
                "11111111-1111-4111-8111-111111111111",
            )
            .env("AWS_DEFAULT_REGION", "fr-par")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("LC_ALL", "C.UTF-8")
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(UPLOAD, output).await;
        let output = output.expect("the client ends in time").unwrap();
        assert!(output.status.success(), "aws {arguments:?}: {output:?}");
    }

    /// The calls whose signature is not what Amazon's own library makes of them and this secret.
    pub(super) async fn wrongly_signed(&self, calls: &[String], secret: &str) -> Vec<String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/s3_signature.py");
        let mut judge = Command::new(self.programs.join("python"))
            .arg(script)
            .env("SECRET", secret)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut input = judge.stdin.take().unwrap();
        input.write_all(calls.join("\n").as_bytes()).await.unwrap();
        drop(input);
        let output = tokio::time::timeout(UPLOAD, judge.wait_with_output()).await;
        let output = output.expect("the judge ends in time").unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().count(), calls.len(), "{text}");
        let wrong = text.lines().filter(|line| line.starts_with("wrong"));
        wrong.map(str::to_owned).collect()
    }

    pub(super) async fn make_bucket(&self) {
        let place = "LocationConstraint=fr-par";
        let make = ["s3api", "create-bucket", "--bucket", BUCKET];
        let make = [&make[..], &["--create-bucket-configuration", place]].concat();
        self.client(&make).await;
    }

    /// Has the bucket served as a website.
    pub(super) async fn make_website(&self, index: &str, error: &str) {
        let documents = ["--index-document", index, "--error-document", error];
        self.client(&[&["s3", "website", ADDRESS][..], &documents].concat())
            .await;
    }

    /// Deletes the bucket, with all that is in it.
    pub(super) async fn delete_bucket(&self) {
        self.client(&["s3", "rb", "--force", ADDRESS]).await;
    }

    /// Uploads what differs, by the client's own judgement.
    pub(super) async fn sync(&self, bench: &Bench, more: &[&str]) {
        let site = bench.site();
        let site = site.to_str().unwrap();
        let sync = ["s3", "sync", "--only-show-errors", site, ADDRESS];
        self.client(&[&sync[..], more].concat()).await;
    }

    /// Uploads everything, as it is.
    pub(super) async fn upload(&self, bench: &Bench) {
        let site = bench.site();
        let site = site.to_str().unwrap();
        let copy = ["s3", "cp", "--recursive", "--only-show-errors"];
        self.client(&[&copy[..], &[site, ADDRESS]].concat()).await;
    }

    /// Copies an object onto itself with another `Cache-Control`; its bytes stay as they are.
    pub(super) async fn set_header(&self, key: &str, cache_control: &str) {
        let source = format!("{BUCKET}/{key}");
        let copy = ["s3api", "copy-object", "--bucket", BUCKET, "--key", key];
        let with = ["--copy-source", &source, "--metadata-directive", "REPLACE"];
        let header = [
            "--content-type",
            "text/html",
            "--cache-control",
            cache_control,
        ];
        self.client(&[&copy[..], &with, &header].concat()).await;
    }
}
