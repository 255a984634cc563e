//! What the sandbox reports while it runs, and the log of its API's calls.

use std::collections::VecDeque;

use super::fault::Operation;
use super::ledger::{PurgeStatus, PurgeTarget};
use crate::core::change::PipelineId;
use crate::core::time::Time;

/// How many calls are remembered.
const MAX_CALLS: usize = 10_000;

/// Something that happened in the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A purge request was made.
    RequestCreated {
        /// Its id.
        id: String,
        /// Whose cache.
        pipeline: PipelineId,
        /// What it purges.
        target: PurgeTarget,
    },
    /// A purge request settled; if it is done, the edge has forgotten what it names.
    RequestDone {
        /// Its id.
        id: String,
        /// Whose cache.
        pipeline: PipelineId,
        /// Done or error.
        status: PurgeStatus,
    },
    /// An edge answered.
    Served {
        /// Whose edge.
        pipeline: PipelineId,
        /// The path and query, as in the request line.
        path: String,
        /// The status of the answer.
        status: u16,
        /// Where it came from.
        cache: CacheResult,
    },
}

/// Where an edge's answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheResult {
    /// From the cache.
    HitFresh,
    /// From the origin.
    Miss,
}

impl CacheResult {
    /// The value of `X-Cache`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HitFresh => "hit-fresh",
            Self::Miss => "miss",
        }
    }
}

/// A call to the sandbox's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiCall {
    /// When it came.
    pub at: Time,
    /// Which; `None` for a path or method that there is not.
    pub operation: Option<Operation>,
    /// The path and query.
    pub path: String,
    /// The status of the answer; `None` while there is none, and for a connection that was cut.
    pub status: Option<u16>,
}

/// The last calls, oldest first.
#[derive(Debug, Default)]
pub(super) struct CallLog {
    calls: VecDeque<ApiCall>,
    dropped: usize,
}

impl CallLog {
    /// Notes a call, and returns its number for [`CallLog::answered`].
    pub(super) fn came(&mut self, call: ApiCall) -> usize {
        if self.calls.len() == MAX_CALLS {
            self.calls.pop_front();
            self.dropped += 1;
        }
        self.calls.push_back(call);
        self.dropped + self.calls.len() - 1
    }

    pub(super) fn answered(&mut self, number: usize, status: u16) {
        let at = number.checked_sub(self.dropped);
        if let Some(call) = at.and_then(|at| self.calls.get_mut(at)) {
            call.status = Some(status);
        }
    }

    pub(super) fn all(&self) -> Vec<ApiCall> {
        self.calls.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_bounded_and_answers_find_their_call() {
        let mut log = CallLog::default();
        let call = ApiCall {
            at: Time::ZERO,
            operation: None,
            path: String::new(),
            status: None,
        };
        let first = log.came(call.clone());
        let numbers: Vec<usize> = (0..MAX_CALLS).map(|_| log.came(call.clone())).collect();
        log.answered(first, 500);
        log.answered(numbers[0], 200);
        let calls = log.all();
        assert_eq!(calls.len(), MAX_CALLS);
        assert_eq!(calls[0].status, Some(200));
        assert!(calls[1..].iter().all(|call| call.status.is_none()));
    }
}
