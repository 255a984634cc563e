//! A history: what happens to the world from outside, step by step, each with a seed of its own, so
//! that leaving one out does not change the others.

/// How long, on average, between two steps, in milliseconds.
const PACES: [u64; 4] = [200, 1_000, 1_500, 4_000];

#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) seed: u64,
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Milliseconds that pass before it.
    pub(crate) wait: u64,
    pub(crate) what: What,
    /// Feeds what it decides.
    pub(crate) seed: u64,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Files change, deploys and people ask.
    Change,
    /// One file changes again and again.
    Restless,
    /// Visitors fill the cache.
    Visit,
    /// The process dies.
    Crash,
    /// It is started with another configuration.
    Reload,
    /// The key is refused for a while.
    RefuseKey,
    /// The API is down for a while.
    Outage,
    /// The API refuses everything, or one pipeline, for some seconds.
    Refuse,
    /// The API takes fewer assets in a request for a while.
    Narrow,
    /// A scan begins or ends.
    Scan,
    /// A reply comes twice.
    Duplicate,
    /// Somebody else purges the same.
    Stranger,
    /// Somebody else purges a file just before it changes, and then our own request for it is lost.
    Trap,
    /// The same, and a webhook tells of the change while the file is queued for an older one.
    Shared,
    /// A person holds a pipeline back, for a time or until resumed.
    Pause,
    /// A person ends that.
    Resume,
    /// A deploy holds a pipeline back, goes on to, is done, or dies.
    Deploy,
    /// A person wants what is failed to be tried again.
    Retry,
    /// A person gives up what is queued and failed.
    Drop,
    /// A node does not reach the store for a while. This and what follows is of several nodes.
    Cut,
    /// It does again.
    Heal,
    /// A node's process stands still for a while.
    Freeze,
    /// A node's process dies, and is started again later.
    Kill,
    /// A node joins, with a copy of the files.
    Join,
    /// A node stops for good.
    Leave,
    /// A file changes that is another on each node.
    HostFile,
    /// A standby falls behind; the next time it takes over.
    Failover,
    Nothing,
}

impl History {
    pub(crate) fn random(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let pace = PACES[rng.usize(0..PACES.len())];
        let steps = (0..rng.usize(20..150))
            .map(|_| Step {
                wait: rng.u64(1..pace * 2),
                what: what(rng.u32(0..1_000)),
                seed: rng.u64(..),
            })
            .collect();
        Self {
            seed: rng.u64(..),
            steps,
        }
    }
}

const fn what(dice: u32) -> What {
    match dice {
        0..=364 => What::Change,
        365..=379 => What::Refuse,
        380..=391 => What::Restless,
        392..=591 => What::Visit,
        592..=611 => What::Crash,
        612..=627 => What::Reload,
        628..=637 => What::RefuseKey,
        638..=652 => What::Outage,
        653..=662 => What::Narrow,
        663..=687 => What::Scan,
        688..=717 => What::Duplicate,
        718..=752 => What::Stranger,
        753..=787 => What::Trap,
        788..=812 => What::Shared,
        813..=827 => What::Pause,
        828..=842 => What::Resume,
        843..=877 => What::Deploy,
        878..=892 => What::Retry,
        893..=898 => What::Drop,
        899..=913 => What::Cut,
        914..=918 => What::Heal,
        919..=933 => What::Freeze,
        934..=948 => What::Kill,
        949..=953 => What::Join,
        954..=958 => What::Leave,
        959..=973 => What::HostFile,
        974..=993 => What::Failover,
        _ => What::Nothing,
    }
}
