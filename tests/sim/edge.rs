//! The origin and the edge in front of it, as visitors see them.

use std::collections::BTreeMap;

use edgepurge::core::change::PipelineId;

type Key = (PipelineId, String);

/// The origin's versions and the cached ones. Version 0 is no file: the edge caches the 404, too.
#[derive(Debug, Default)]
pub(crate) struct Edge {
    origin: BTreeMap<Key, u64>,
    cached: BTreeMap<Key, u64>,
    versions: u64,
}

impl Edge {
    /// A file has new bytes.
    pub(crate) fn write(&mut self, pipeline: &PipelineId, asset: &str) {
        self.versions += 1;
        let key = (pipeline.clone(), asset.to_owned());
        self.origin.insert(key, self.versions);
    }

    /// A file is gone: visitors get a 404, which is version 0.
    pub(crate) fn remove(&mut self, pipeline: &PipelineId, asset: &str) {
        let key = (pipeline.clone(), asset.to_owned());
        self.origin.insert(key, 0);
    }

    /// A visitor fetches an asset: the edge caches what the origin has, unless it holds it.
    pub(crate) fn visit(&mut self, pipeline: &PipelineId, asset: &str) {
        let key = (pipeline.clone(), asset.to_owned());
        let version = self.origin.get(&key).copied().unwrap_or(0);
        self.cached.entry(key).or_insert(version);
    }

    /// The cache forgets these; `None`: everything.
    pub(crate) fn purge(&mut self, of: &PipelineId, assets: Option<&[String]>) {
        self.cached.retain(|(pipeline, asset), _| {
            pipeline != of || assets.is_some_and(|assets| !assets.contains(asset))
        });
    }

    /// The assets of which the edge holds another version than the origin.
    pub(crate) fn stale(&self) -> Vec<Key> {
        self.cached
            .iter()
            .filter(|(key, version)| self.origin.get(key).copied().unwrap_or(0) != **version)
            .map(|(key, _)| key.clone())
            .collect()
    }
}
