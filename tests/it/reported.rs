//! What `status --format json` reports: the one place that knows the keys which these tests read.

use serde_json::Value;

/// Whether nothing is queued, in flight or failed, no origin is unseen, and no alarm is on.
pub(crate) fn fresh(status: &Value) -> bool {
    status.get("fresh").unwrap_or(&status["settled"]) == true
}

/// The first origin of the first pipeline.
pub(crate) fn origin(status: &Value) -> &Value {
    &status["pipelines"][0]["origins"][0]
}

/// How many of its files were never read.
pub(crate) fn unread(status: &Value) -> u64 {
    origin(status)["unread_files"].as_u64().unwrap()
}

/// What it waits for: paths, each with the state that it is in.
pub(crate) fn waiting(status: &Value) -> Vec<(String, String)> {
    let word = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let waiting = origin(status)["waiting"].as_array();
    let waiting = waiting.into_iter().flatten();
    waiting
        .map(|one| (word(one, "path"), word(one, "state")))
        .collect()
}

/// The reasons of the alarms.
pub(crate) fn alarms(status: &Value) -> Vec<String> {
    let alarms = status["alarms"].as_array().into_iter().flatten();
    alarms
        .map(|alarm| alarm["reason"].as_str().unwrap().to_owned())
        .collect()
}
