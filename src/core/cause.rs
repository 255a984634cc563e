//! What is waited for: the same words for a pipeline in `status`, and for a delivery that is asked about.

use serde::{Deserialize, Serialize};

use super::time::Time;

/// Something that a pipeline waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// A short word.
    pub word: CauseWord,
    /// What is waited for, for a person.
    pub text: String,
    /// When it is over by itself, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

impl Cause {
    /// A cause of which it is not known when it is over.
    #[must_use]
    pub const fn new(word: CauseWord, text: String) -> Self {
        Self {
            word,
            text,
            until: None,
        }
    }
}

/// The kinds of causes, in the order in which they are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseWord {
    /// An origin is not watched and compared yet.
    Unseen,
    /// What is gone is not believed.
    Held,
    /// Files are being written.
    Writing,
    /// Files are being read, or are still to be.
    Reading,
    /// Places are still to be looked at.
    Looking,
    /// Other nodes are still to do a round.
    Round,
    /// What is queued is not sent.
    Paused,
    /// Assets wait for a purge request.
    Queued,
    /// The open batch waits for more changes, or for a scan.
    Debounce,
    /// The open batch waits until the nodes of the fleet have its files.
    Nodes,
    /// The time between two purges of everything is not over.
    Cooldown,
    /// The rate of calls to the API is used up.
    Rate,
    /// As many requests are in flight as may be.
    Room,
    /// Assets that change all the time wait for their turn.
    Hot,
    /// What the API refused is tried again later.
    Backoff,
    /// The API does not accept the key.
    Auth,
    /// Purge requests are not settled.
    InFlight,
    /// The API does not take what is queued, or does not answer what became of what is in flight.
    Refused,
    /// Assets are given up.
    Failed,
    /// A delivery's `delay` is not over.
    Delay,
}

impl CauseWord {
    /// Whether it is waited for until what changed is noticed; everything else comes after that.
    #[must_use]
    pub const fn is_noticing(self) -> bool {
        use CauseWord::{Held, Looking, Reading, Round, Unseen, Writing};
        matches!(self, Unseen | Held | Writing | Reading | Looking | Round)
    }

    /// Whether only the planner knows it, which the leader has.
    #[must_use]
    pub const fn is_planned(self) -> bool {
        use CauseWord::{Auth, Backoff, Cooldown, Debounce, Hot, Nodes, Rate, Room};
        matches!(
            self,
            Debounce | Nodes | Cooldown | Rate | Room | Hot | Backoff | Auth
        )
    }
}
