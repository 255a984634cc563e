//! The origins and the edge in front of them, as visitors see them.

use std::collections::{BTreeMap, BTreeSet};

use edgepurge::core::agreement::Content;
use edgepurge::core::change::PipelineId;
use edgepurge::core::lease::NodeId;

/// An asset of a pipeline, and the file behind it.
pub(crate) type Key = (PipelineId, String);

/// The file that each node makes for itself: no two have the same.
pub(crate) const HOST: &str = "/host.html";

/// A version of a file: no two are the same, and a later one is greater. `None`: there is none.
type Version = Option<(u64, bool)>;

/// The files of each node, and the cached ones. The edge caches that a file is not there, too.
#[derive(Debug, Default)]
pub(crate) struct Edge {
    origins: BTreeMap<NodeId, BTreeMap<Key, (u64, bool)>>,
    cached: BTreeMap<Key, Version>,
    versions: u64,
    /// What nodes that left had of the file that each makes for itself: no later one takes its place.
    departed: BTreeSet<(u64, bool)>,
}

/// New bytes of a file, or that it is gone, on its way to the nodes.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) key: Key,
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
        let files = self.origins.remove(&node).unwrap_or_default();
        let own = files.into_iter().filter(|((_, name), _)| name == HOST);
        self.departed.extend(own.map(|(_, version)| version));
    }

    fn version(&self, node: NodeId, key: &Key) -> Version {
        let version = self.origins.get(&node)?.get(key)?;
        version.1.then_some(*version)
    }

    /// The version that reached a node last, and whether the file is there in it.
    pub(crate) fn stored(&self, node: NodeId, key: &Key) -> Option<(u64, bool)> {
        self.origins.get(&node)?.get(key).copied()
    }

    /// What a node has of a file, as a look finds it.
    pub(crate) fn content(&self, node: NodeId, key: &Key) -> Content {
        let Some((number, _)) = self.version(node, key) else {
            return Content::Gone;
        };
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        Content::Hash(hash)
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

    /// The assets of which the edge holds another version than a node; of the one that each node makes for
    /// itself, another than all.
    pub(crate) fn stale(&self) -> Vec<Key> {
        let differs = |(key, cached): &(&Key, &Version)| {
            let mut nodes = self.origins.keys();
            let differs = |node: &NodeId| self.version(*node, key) != **cached;
            if key.1 == HOST {
                let departed = cached.is_some_and(|version| self.departed.contains(&version));
                !departed && nodes.all(differs)
            } else {
                nodes.any(differs)
            }
        };
        let stale = self.cached.iter().filter(differs);
        stale.map(|(key, _)| key.clone()).collect()
    }
}
