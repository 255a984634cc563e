//! A purge request in flight: submitted or accepted, not yet settled.

use std::time::Duration;

use crate::core::change::PipelineId;
use crate::core::purge::{OpenRequest, RequestId, Scope};
use crate::core::time::Time;

/// The first wait before asking for the status of an accepted request.
const FIRST_POLL: Duration = Duration::from_millis(500);
/// The longest wait between two questions.
const SLOWEST_POLL: Duration = Duration::from_secs(15);

/// Where a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// On its way to the API; nobody knows yet.
    Submitting,
    /// The API has it.
    Accepted {
        /// The API's id for it.
        remote_id: String,
        /// When to ask next; `None` while a question is on its way.
        poll_at: Option<Time>,
        /// The wait before the next question.
        interval: Duration,
    },
}

/// A purge request in flight.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) id: RequestId,
    pub(super) pipeline: PipelineId,
    pub(super) scope: Scope,
    pub(super) first_seen: Time,
    pub(super) opened: Time,
    pub(super) attempt: u32,
    pub(super) stage: Stage,
    /// Why its status could not be had the last time.
    pub(super) trouble: Option<String>,
}

impl Flight {
    pub(super) const fn submitting(
        id: RequestId,
        pipeline: PipelineId,
        scope: Scope,
        (first_seen, opened): (Time, Time),
        attempt: u32,
    ) -> Self {
        Self {
            id,
            pipeline,
            scope,
            first_seen,
            opened,
            attempt,
            stage: Stage::Submitting,
            trouble: None,
        }
    }

    /// One that outlived the process. Times from a clock that was ahead count as now.
    pub(super) fn restored(request: OpenRequest, now: Time) -> Self {
        let times = (request.first_seen.min(now), request.opened.min(now));
        let mut flight = Self::submitting(
            request.id,
            request.pipeline,
            request.scope,
            times,
            request.attempt,
        );
        if let Some(remote_id) = request.remote_id {
            flight.accept(remote_id, now);
        }
        flight
    }

    pub(super) fn accept(&mut self, remote_id: String, now: Time) {
        self.stage = Stage::Accepted {
            remote_id,
            poll_at: Some(now.after(FIRST_POLL)),
            interval: FIRST_POLL,
        };
    }

    pub(super) fn poll_at(&self) -> Option<Time> {
        match &self.stage {
            Stage::Accepted { poll_at, .. } => *poll_at,
            Stage::Submitting => None,
        }
    }

    /// A question is sent: returns the id to ask for.
    pub(super) fn poll(&mut self) -> Option<String> {
        match &mut self.stage {
            Stage::Accepted {
                remote_id, poll_at, ..
            } => {
                *poll_at = None;
                Some(remote_id.clone())
            }
            Stage::Submitting => None,
        }
    }

    /// A question came back, and the next waits longer. `false`: none was on its way.
    pub(super) fn poll_returned(&mut self, now: Time) -> bool {
        match &mut self.stage {
            Stage::Accepted {
                poll_at: poll_at @ None,
                interval,
                ..
            } => {
                *interval = (*interval * 3 / 2).min(SLOWEST_POLL);
                *poll_at = Some(now.after(*interval));
                true
            }
            Stage::Accepted { .. } | Stage::Submitting => false,
        }
    }
}
