//! What of a configuration all nodes of a fleet have to have alike: the limits, and the pipelines with all below
//! them. Not where files and secrets are on a node, and how it comes to know of changes.

use std::collections::BTreeMap;

use super::{Config, Setting};
use crate::core::nodes::LIMITS;

/// The parts of `[scaleway]` that are limits.
const LIMIT_KEYS: [&str; 4] = [
    "burst",
    "max_in_flight",
    "requests_per_second",
    "track_timeout",
];
/// What is a node's own in a pipeline.
const OWN: [&str; 6] = [
    "credential",
    "endpoint",
    "root",
    "watch",
    "web_group",
    "write_wait",
];

/// A digest of each part, by what it is called.
#[must_use]
pub fn digests(config: &Config) -> BTreeMap<String, String> {
    let mut parts: BTreeMap<String, blake3::Hasher> = BTreeMap::new();
    for setting in &config.settings {
        if let Some((part, section)) = part(config, setting) {
            let text = format!("{section}.{} = {:?}\n", setting.name, setting.value);
            parts.entry(part).or_default().update(text.as_bytes());
        }
    }
    let parts = parts.into_iter();
    parts
        .map(|(part, hasher)| (part, hasher.finalize().to_hex()[..16].to_owned()))
        .collect()
}

/// The part that a setting is in, if it has to be alike, and its section in there.
fn part<'s>(config: &Config, setting: &'s Setting) -> Option<(String, &'s str)> {
    let name = setting.name.as_str();
    let Some(pipeline) = setting.section.strip_prefix("pipeline[") else {
        let is_limit = setting.section == "scaleway" && LIMIT_KEYS.contains(&name);
        return is_limit.then(|| (LIMITS.to_owned(), ""));
    };
    let (number, section) = pipeline.split_once(']')?;
    let pipeline = config.pipelines.get(number.parse::<usize>().ok()?)?;
    let is_own = OWN.contains(&name) || name.ends_with("_file");
    (!is_own).then(|| (format!("pipeline {}", pipeline.name), section))
}
