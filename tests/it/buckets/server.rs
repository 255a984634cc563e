//! The servers: moto, from `PyPI`, and s3rver, from npm; and a client: the AWS CLI. None of them knows edgepurge.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::bench::{BUCKET, Bench, skip, until};

const ADDRESS: &str = "s3://my-site";
pub(super) const ACCESS_KEY: &str = "SCWXXXXXXXXXXXXXXXXX";
pub(super) const SECRET_KEY: &str = "11111111-1111-4111-8111-111111111111";

/// No upload takes longer than this on a loaded machine.
pub(super) const UPLOAD: Duration = Duration::from_mins(5);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It takes every key and signature, and writes keys in a listing percent-encoded, as it is asked to.
    Moto,
    /// It takes every signature of [`ACCESS_KEY`], keeps objects as files, writes keys in a listing as XML, and has
    /// another namespace than Amazon's. Its times have whole seconds.
    S3rver,
}

/// A server with one bucket, which is empty.
pub(super) struct Server {
    programs: PathBuf,
    port: u16,
    home: TempDir,
    _process: Child,
}

impl Server {
    /// Starts moto; `None` where this machine has none.
    pub(super) async fn start() -> Option<Self> {
        Self::of(Kind::Moto).await
    }

    /// Starts a server; `None` where this machine has none.
    pub(super) async fn of(kind: Kind) -> Option<Self> {
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
        let home = tempfile::tempdir().unwrap();
        let mut command = match kind {
            Kind::Moto => moto(&programs, port),
            Kind::S3rver => s3rver(&home, port)?,
        };
        let process = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let server = Self {
            programs,
            port,
            home,
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

    /// Puts an object into s3rver as it keeps it: as a file.
    pub(super) fn put(&self, key: &str, body: &str) {
        let file = self.home.path().join(BUCKET).join(key);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let named = |what: &str| format!("{}._S3rver_{what}", file.display());
        fs::remove_file(named("object.md5")).unwrap_or_default();
        fs::write(named("object"), body).unwrap();
    }

    /// Deletes an object of s3rver.
    pub(super) fn delete(&self, key: &str) {
        let file = self.home.path().join(BUCKET).join(key);
        fs::remove_file(format!("{}._S3rver_object", file.display())).unwrap();
    }

    /// Runs the client, which has to succeed.
    async fn client(&self, arguments: &[&str]) {
        let output = Command::new(self.programs.join("aws"))
            .args(["--endpoint-url", &self.endpoint()])
            .args(arguments)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
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

fn moto(programs: &Path, port: u16) -> Command {
    let mut command = Command::new(programs.join("moto_server"));
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    command
}

/// `None` where this machine has none.
fn s3rver(home: &TempDir, port: u16) -> Option<Command> {
    let modules = std::env::var("EDGEPURGE_TEST_NODE_MODULES").unwrap_or_default();
    if !Path::new(&modules).join("s3rver").exists() {
        skip("EDGEPURGE_TEST_NODE_MODULES has no s3rver; tests/run does");
        return None;
    }
    let mut command = Command::new("node");
    command
        // It encrypts the tokens of its pages with DES.
        .arg("--openssl-legacy-provider")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/s3rver.mjs"))
        .arg(home.path())
        .arg(port.to_string())
        .env("NODE_MODULES", modules)
        .env("ACCESS_KEY", ACCESS_KEY);
    Some(command)
}
