//! A real sender: Debian's docker-registry, which tells of every push, through `kind = "generic"` as
//! the example configuration has it for registries.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use ring::digest::{SHA256, digest};
use serde_json::json;
use tokio::process::{Child, Command};

use super::*;
use crate::bench::{LIMIT, skip};

/// A registry behind a Unix socket.
struct Registry {
    socket: PathBuf,
    _process: Child,
}

fn binary() -> Option<PathBuf> {
    let named = std::env::var_os("EDGEPURGE_TEST_REGISTRY").map(PathBuf::from);
    let installed = Path::new("/usr/bin/docker-registry").to_path_buf();
    named
        .into_iter()
        .chain([installed])
        .find(|path| path.exists())
}

impl Registry {
    /// Starts one that tells `webhook` of what happens in it.
    async fn start(binary: &Path, bench: &Bench, webhook: &str) -> Self {
        let socket = bench.path("registry.sock");
        let config = json!({
            "version": "0.1",
            "log": { "level": "warn" },
            "storage": { "filesystem": { "rootdirectory": bench.path("registry") } },
            "http": { "net": "unix", "addr": socket, "relativeurls": true },
            "notifications": { "endpoints": [{
                "name": "edgepurge",
                "url": webhook,
                "headers": { "Authorization": [format!("Bearer {SECRET}")] },
                "timeout": "2s",
                "threshold": 3,
                "backoff": "100ms",
            }]},
        });
        // JSON is YAML.
        let path = bench.path("registry.yml");
        fs::write(&path, config.to_string()).unwrap();
        let process = Command::new(binary)
            .arg("serve")
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(bench.path("registry.log")).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let registry = Self {
            socket,
            _process: process,
        };
        until("the registry answers", async || {
            let (status, _) = registry.call(&["/v2/"], "").await;
            (status == "200").then_some(())
        })
        .await;
        registry
    }

    /// A call: curl's arguments, of which the last is the path. Returns the status and `Location`.
    async fn call(&self, arguments: &[&str], body: &str) -> (String, String) {
        let (path, arguments) = arguments.split_last().unwrap();
        let mut command = Command::new("curl");
        command
            .args([
                "-sS",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code} %header{location}",
            ])
            .arg("--unix-socket")
            .arg(&self.socket)
            .args(arguments);
        if !body.is_empty() {
            command.args(["--data-binary", body]);
        }
        let output = command.arg(format!("http://localhost{path}")).output();
        let output = tokio::time::timeout(LIMIT, output).await.unwrap().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let (status, location) = said.split_once(' ').unwrap_or((&said, ""));
        (status.to_owned(), location.to_owned())
    }

    async fn push_blob(&self, content: &str) -> String {
        let (status, location) = self
            .call(&["-X", "POST", "/v2/site/blobs/uploads/"], "")
            .await;
        assert_eq!(status, "202");
        let digest = format!(
            "sha256:{}",
            data_encoding::HEXLOWER.encode(digest(&SHA256, content.as_bytes()).as_ref())
        );
        let end = format!("{location}&digest={digest}");
        let stream = "Content-Type: application/octet-stream";
        let (status, _) = self.call(&["-X", "PUT", "-H", stream, &end], content).await;
        assert_eq!(status, "201");
        digest
    }

    async fn push_image(&self) {
        const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
        let (config, layer) = ("{}", "not really a layer");
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": config.len(), "digest": self.push_blob(config).await,
            },
            "layers": [{
                "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                "size": layer.len(), "digest": self.push_blob(layer).await,
            }],
        });
        let kind = format!("Content-Type: {MANIFEST}");
        let put = ["-X", "PUT", "-H", &kind, "/v2/site/manifests/latest"];
        let (status, _) = self.call(&put, &manifest.to_string()).await;
        assert_eq!(status, "201");
    }

    async fn pull(&self) {
        let accept = "Accept: application/vnd.docker.distribution.manifest.v2+json";
        let (status, _) = self
            .call(&["-H", accept, "/v2/site/manifests/latest"], "")
            .await;
        assert_eq!(status, "200");
    }
}

/// The lines that the example configuration has for registries, below the route's secret.
fn example() -> String {
    let example = include_str!("../../../config.example.toml");
    let (_, block) = example.split_once("# A registry (").unwrap();
    let lines = block
        .lines()
        .skip(1)
        .map_while(|line| line.strip_prefix('#'));
    let shown = ["event", "events", "purge"];
    lines
        .filter(|line| {
            shown
                .iter()
                .any(|key| line.starts_with(&format!("{key} = ")))
        })
        .fold(String::new(), |all, line| all + line + "\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_tells_of_what_is_pushed_to_it() {
    let Some(binary) = binary() else {
        return skip("docker-registry is not installed; tests/run unpacks it");
    };
    let bench = started("generic", &example()).await;
    let at = address(&bench).await;
    let counted = async |outcome: &str| {
        let line =
            format!("edgepurge_webhooks_total{{route=\"/hooks/www\",outcome=\"{outcome}\"}}");
        metric(&bench, &line).await.unwrap()
    };
    let registry = Registry::start(&binary, &bench, &format!("http://{at}/hooks/www")).await;
    registry.push_image().await;
    until("everything is purged", async || {
        bench.done().contains(&"*".to_owned()).then_some(())
    })
    .await;
    // Two blobs and a manifest.
    until("all of it is told", async || {
        (counted("accepted").await >= 3.0).then_some(())
    })
    .await;
    registry.pull().await;
    until("a pull asks for nothing", async || {
        (counted("ignored").await >= 1.0).then_some(())
    })
    .await;
    for outcome in ["unauthorized", "unreadable", "unavailable"] {
        assert_eq!(counted(outcome).await.to_bits(), 0, "{outcome}");
    }
    assert!(!bench.log().contains(SECRET));
}
