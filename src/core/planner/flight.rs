//! A purge request in flight: submitted or accepted, not yet settled.

use std::time::Duration;

use crate::core::change::PipelineId;
use crate::core::purge::{OpenRequest, RequestId, Scope};
use crate::core::time::Time;

/// The first wait before asking for the status of an accepted request, while nothing is known of
/// how long they take.
const FIRST_POLL: Duration = Duration::from_millis(500);
/// The shortest wait, where they are known to be quick.
const FASTEST_POLL: Duration = Duration::from_millis(100);
/// The longest wait between two questions.
const SLOWEST_POLL: Duration = Duration::from_secs(15);

/// How long requests usually take, learned from those that were done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usual(Option<Duration>);

impl Usual {
    /// One was done, after at least and at most so long. What lies between the two teaches nothing: a
    /// backlog asks late, and must not make a single request seem slow.
    pub(super) fn took(&mut self, least: Duration, most: Duration) {
        self.0 = Some(match self.0 {
            None => most,
            Some(usual) => (usual * 3 + usual.clamp(least.min(most), most)) / 4,
        });
    }

    /// A part of what is usual, as a wait.
    fn part(self, times: u32, of: u32) -> Duration {
        self.0.map_or(FIRST_POLL, |usual| {
            (usual * times / of).clamp(FASTEST_POLL, SLOWEST_POLL)
        })
    }

    /// When to ask first: a little before it is usually done, so that few questions are needed and
    /// it is known soon.
    fn first_poll(self) -> Duration {
        self.part(4, 5)
    }

    /// The wait that grows after it.
    pub(super) fn interval(self) -> Duration {
        self.part(1, 5)
    }

    /// The wait between two lists for many that are due one after the other.
    pub(super) fn pause(self) -> Duration {
        self.part(1, 3)
    }
}

/// Where a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// On its way to the API; the outcome is not known yet.
    Submitting,
    /// It may have reached the API or not: it is looked for in the API's list.
    Doubtful {
        /// Why the outcome is unknown.
        why: String,
        /// A request there that is older than this, by the API's clock, is not this one.
        api_since: Time,
    },
    /// The API has it.
    Accepted {
        /// The API's id for it.
        remote_id: String,
        /// Since when.
        accepted: Time,
        /// When to ask next; `None` while a question is on its way.
        poll_at: Option<Time>,
        /// When the last question was sent.
        asked: Time,
        /// When it was certainly not done.
        pending: Time,
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
    /// A request for its changes was overdue before: this is the last one.
    pub(super) overdue: bool,
    /// It is overdue itself, and only waited for.
    pub(super) stuck: bool,
    /// Half of which refused batch it is.
    pub(super) trial: Option<u64>,
    pub(super) api_since: Option<Time>,
    /// A list did not show it: it is asked for alone.
    pub(super) alone: bool,
    pub(super) stage: Stage,
    /// Why its status could not be had the last time.
    pub(super) trouble: Option<String>,
}

impl Flight {
    /// One that outlived the process. Times from a clock that was ahead count as now.
    pub(super) fn restored(request: OpenRequest, now: Time) -> Self {
        let mut flight = Self {
            id: request.id,
            pipeline: request.pipeline,
            scope: request.scope,
            first_seen: request.first_seen.min(now),
            opened: request.opened.min(now),
            attempt: request.attempt,
            overdue: request.overdue,
            stuck: false,
            trial: None,
            api_since: request.api_since,
            alone: false,
            stage: Stage::Submitting,
            trouble: None,
        };
        if let Some(remote_id) = request.remote_id {
            flight.accept(remote_id, Usual::default(), now);
        }
        flight
    }

    pub(super) fn accept(&mut self, remote_id: String, usual: Usual, now: Time) {
        self.stage = Stage::Accepted {
            remote_id,
            accepted: now,
            poll_at: Some(now.after(usual.first_poll())),
            asked: self.opened,
            pending: now,
            interval: usual.interval(),
        };
    }

    /// Whether the API has it is unknown. `false`: it could not be recognised in the list either.
    pub(super) fn doubt(&mut self, why: &str) -> bool {
        let Some(api_since) = self.api_since else {
            return false;
        };
        self.stage = Stage::Doubtful {
            why: why.to_owned(),
            api_since,
        };
        true
    }

    pub(super) const fn is_doubtful(&self) -> bool {
        matches!(self.stage, Stage::Doubtful { .. })
    }

    pub(super) fn remote_id(&self) -> Option<&str> {
        match &self.stage {
            Stage::Accepted { remote_id, .. } => Some(remote_id),
            Stage::Submitting | Stage::Doubtful { .. } => None,
        }
    }

    /// How long the API has worked on it if it is done now: at least, and at most. `None` where it
    /// was never asked for.
    pub(super) fn took(&self, now: Time) -> Option<(Duration, Duration)> {
        match &self.stage {
            Stage::Accepted {
                accepted, pending, ..
            } if *accepted < now => Some((pending.since(*accepted), now.since(*accepted))),
            _ => None,
        }
    }

    pub(super) fn poll_at(&self) -> Option<Time> {
        match &self.stage {
            Stage::Accepted { poll_at, .. } => *poll_at,
            Stage::Submitting | Stage::Doubtful { .. } => None,
        }
    }

    /// A question is sent: returns the id to ask for.
    pub(super) fn poll(&mut self, now: Time) -> Option<String> {
        match &mut self.stage {
            Stage::Accepted {
                remote_id,
                poll_at,
                asked,
                ..
            } => {
                *poll_at = None;
                *asked = now;
                Some(remote_id.clone())
            }
            Stage::Submitting | Stage::Doubtful { .. } => None,
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
                *poll_at = Some(now.after(*interval));
                *interval = (*interval * 3 / 2).min(SLOWEST_POLL);
                true
            }
            Stage::Accepted { .. } | Stage::Submitting | Stage::Doubtful { .. } => false,
        }
    }

    /// The answer to the last question was that it is not done.
    pub(super) fn was_pending(&mut self) {
        if let Stage::Accepted { asked, pending, .. } = &mut self.stage {
            *pending = (*pending).max(*asked);
        }
    }

    /// The list did not show it: it is asked for alone, now.
    pub(super) fn poll_alone(&mut self, now: Time) {
        if let Stage::Accepted {
            poll_at: poll_at @ None,
            ..
        } = &mut self.stage
        {
            *poll_at = Some(now);
            self.alone = true;
        }
    }

    /// Whether the last question was sent when the request was older than `limit`.
    pub(super) fn asked_after(&self, limit: Duration) -> bool {
        match &self.stage {
            Stage::Accepted { asked, .. } => asked.since(self.opened) >= limit,
            Stage::Submitting | Stage::Doubtful { .. } => false,
        }
    }
}
