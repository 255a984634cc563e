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
        0..=399 => What::Change,
        400..=409 => What::Restless,
        410..=619 => What::Visit,
        620..=639 => What::Crash,
        640..=649 => What::Reload,
        650..=659 => What::RefuseKey,
        660..=674 => What::Outage,
        675..=684 => What::Narrow,
        685..=709 => What::Scan,
        710..=739 => What::Duplicate,
        740..=779 => What::Stranger,
        780..=819 => What::Trap,
        _ => What::Nothing,
    }
}
