//! The origins and the edge in front of them, as visitors see them.

use std::collections::BTreeMap;

use edgepurge::core::change::PipelineId;
use edgepurge::core::lease::NodeId;

type Key = (PipelineId, String);

/// A version of a file: no two are the same, and a later one is greater. `None`: there is none.
type Version = Option<(u64, bool)>;

/// The files of each node, and the cached ones. The edge caches that a file is not there, too.
#[derive(Debug, Default)]
pub(crate) struct Edge {
    origins: BTreeMap<NodeId, BTreeMap<Key, (u64, bool)>>,
    cached: BTreeMap<Key, Version>,
    versions: u64,
}

/// New bytes of a file, or that it is gone, on its way to the nodes.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    key: Key,
    version: (u64, bool),
}

impl Edge {
    /// A file has new bytes, or is gone: that is nowhere yet.
    pub(crate) fn write(&mut self, pipeline: &PipelineId, asset: &str, there: bool) -> Written {
        self.versions += 1;
        Written {
            key: (pipeline.clone(), asset.to_owned()),
            version: (self.versions, there),
        }
    }

    /// A file reaches a node. What is older than what the node has changes nothing.
    pub(crate) fn arrive(&mut self, node: NodeId, written: &Written) {
        let files = self.origins.entry(node).or_default();
        let version = files.entry(written.key.clone()).or_insert(written.version);
        *version = written.version.max(*version);
    }

    /// A node has the files of another.
    pub(crate) fn copy(&mut self, from: NodeId, to: NodeId) {
        let files = self.origins.get(&from).cloned().unwrap_or_default();
        self.origins.insert(to, files);
    }

    /// A node serves no visitor any more.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.origins.remove(&node);
    }

    fn version(&self, node: NodeId, key: &Key) -> Version {
        let version = self.origins.get(&node)?.get(key)?;
        version.1.then_some(*version)
    }

    /// A visitor fetches an asset: the edge caches what this node has, unless it holds it.
    pub(crate) fn visit(&mut self, node: NodeId, pipeline: &PipelineId, asset: &str) {
        let key = (pipeline.clone(), asset.to_owned());
        let version = self.version(node, &key);
        self.cached.entry(key).or_insert(version);
    }

    /// The cache forgets these; `None`: everything.
    pub(crate) fn purge(&mut self, of: &PipelineId, assets: Option<&[String]>) {
        self.cached.retain(|(pipeline, asset), _| {
            pipeline != of || assets.is_some_and(|assets| !assets.contains(asset))
        });
    }

    /// The assets of which the edge holds another version than a node.
    pub(crate) fn stale(&self) -> Vec<Key> {
        let differs = |(key, cached): &(&Key, &Version)| {
            let mut nodes = self.origins.keys();
            nodes.any(|node| self.version(*node, key) != **cached)
        };
        let stale = self.cached.iter().filter(differs);
        stale.map(|(key, _)| key.clone()).collect()
    }
}
