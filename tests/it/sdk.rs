//! Scaleway's own SDKs take the sandbox for the API: what they create, get, wait for and list is
//! what it has. So a client that works with the sandbox speaks the language that they speak.

use std::path::Path;
use std::time::Duration;

use edgepurge::clock::Clock;
use edgepurge::core::change::PipelineId;
use edgepurge::sandbox::{PipelineSettings, Sandbox, SandboxSettings};
use edgepurge::supervise::Supervisor;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::bench::{LIMIT, PIPELINE, skip};

const OTHER: &str = "22222222-2222-4222-8222-222222222222";
const OTHER_PROJECT: &str = "66666666-6666-4666-8666-666666666666";
const OTHER_ORGANIZATION: &str = "77777777-7777-4777-8777-777777777777";

/// Runs a client's script against a sandbox, and holds what it says against what the sandbox has.
async fn agrees(mut client: Command) {
    let site = tempfile::tempdir().unwrap();
    let (supervisor, _faults) = Supervisor::new();
    let mut settings = SandboxSettings::new(Clock::start());
    settings.purge_delay = Duration::from_millis(100);
    settings.pipelines = [PIPELINE, OTHER]
        .map(|id| PipelineSettings::new(PipelineId::new(id), site.path()))
        .into();
    OTHER_PROJECT.clone_into(&mut settings.pipelines[1].project_id);
    OTHER_ORGANIZATION.clone_into(&mut settings.pipelines[1].organization_id);
    let sandbox = Sandbox::start(settings, &supervisor).await.unwrap();

    client
        .env("API_URL", sandbox.api_url())
        .env("API_KEY", sandbox.secret_key().expose_secret())
        .env("NO_PROXY", "127.0.0.1")
        .env("PIPELINE", PIPELINE)
        .env("OTHER_PIPELINE", OTHER)
        .env("OTHER_PROJECT", OTHER_PROJECT)
        .env("OTHER_ORGANIZATION", OTHER_ORGANIZATION)
        .kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, client.output());
    let output = output.await.expect("the client ends in time").unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();

    let ids: Vec<String> = sandbox.requests().into_iter().map(|r| r.id).collect();
    assert_eq!(ids.len(), 7);
    let first = |status: &str| {
        json!({
            "id": ids[0], "pipeline": PIPELINE, "status": status,
            "assets": ["/a.css", "/b?c=%C3%A9"], "dated": true,
        })
    };
    // The SDKs tell a field that was not in the reply in different ways.
    let present = |mut value: Value| {
        let absent = [Value::Null, json!(false), json!([])];
        let fields = value.as_object_mut().unwrap();
        fields.retain(|_, field| !absent.contains(field));
        value
    };
    assert_eq!(present(said["made"].clone()), first("pending"));
    assert_eq!(present(said["waited"].clone()), first("done"));
    assert_eq!(said["got"]["id"], json!(ids[0]));
    assert_eq!(
        present(said["whole"].clone()),
        json!({"id": ids[1], "pipeline": OTHER, "status": "done", "all": true, "dated": true})
    );
    let refusals = json!({"unknown request": 404, "no target": 400, "bad asset": 400});
    assert_eq!(said["refusals"], refusals);

    let reversed: Vec<&String> = ids.iter().rev().collect();
    assert_eq!(said["oldest first"], json!(ids));
    assert_eq!(said["newest first"], json!(reversed));
    assert_eq!(said["page"], json!(ids[3..6]));
    assert_eq!(said["total"], json!(7));
    for filter in ["pipeline", "project", "organization"] {
        assert_eq!(said[filter], json!([ids[1]]), "{filter}");
    }
    supervisor.stop().await;
}

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/sdk")
        .join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_takes_the_sandbox_for_the_api() {
    let Some(python) = std::env::var_os("EDGEPURGE_TEST_PYTHON") else {
        skip("EDGEPURGE_TEST_PYTHON names no Python with the package `scaleway`; tests/run does");
        return;
    };
    let mut client = Command::new(python);
    client.arg(script("purge.py"));
    agrees(client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_javascript_sdk_takes_the_sandbox_for_the_api() {
    let Some(modules) = std::env::var_os("EDGEPURGE_TEST_NODE_MODULES") else {
        skip("EDGEPURGE_TEST_NODE_MODULES has no @scaleway/sdk-edge-services; tests/run does");
        return;
    };
    let mut client = Command::new("node");
    client.arg(script("purge.mjs")).env("NODE_MODULES", modules);
    agrees(client).await;
}
