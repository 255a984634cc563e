//! The state of the API as a whole: when it is in trouble, or refuses the key, nothing is sent but
//! one probe at the end of each backoff.
//!
//! Calls that were on their way when it was refused count as one refusal. Creating and asking fail
//! apart: where the API answers status calls and takes no requests, the waits between requests grow all
//! the same.

use crate::core::backoff::Backoff;
use crate::core::purge::{Refusal, RequestId};
use crate::core::time::Time;

/// A call that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asked {
    /// A purge request is created.
    Create(RequestId),
    /// Its status is asked for.
    Get(RequestId),
    /// A page of the list is asked for.
    List(u64),
}

impl Asked {
    const fn creates(self) -> bool {
        matches!(self, Self::Create(_))
    }
}

/// Trouble with the API itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The refusal that opened the circuit, or the last probe's.
    pub(super) refusal: Refusal,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Since when.
    pub(super) since: Time,
}

/// Open: only probes pass.
#[derive(Clone, Copy, Debug)]
struct Open {
    retry_at: Time,
    /// The call that tries whether it is over.
    probe: Option<Asked>,
}

/// Closed, calls pass. Creating and asking fail apart: an API that answers questions and takes
/// nothing must not be tried every second because the questions succeed in between.
#[derive(Clone, Debug, Default)]
pub(super) struct Circuit {
    open: Option<Open>,
    trouble: Option<Trouble>,
    refused_creates: u32,
    refused_questions: u32,
}

impl Circuit {
    pub(super) const fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Whether calls pass as usual.
    pub(super) const fn is_closed(&self) -> bool {
        self.open.is_none()
    }

    /// Whether a call may be made now.
    pub(super) fn admits(&self, now: Time) -> bool {
        self.open
            .is_none_or(|open| open.probe.is_none() && open.retry_at <= now)
    }

    /// From when on it admits a call, if no reply comes before; `None`: only a reply helps.
    pub(super) fn reopens(&self) -> Option<Time> {
        match self.open {
            None => Some(Time::ZERO),
            Some(open) if open.probe.is_none() => Some(open.retry_at),
            Some(_) => None,
        }
    }

    /// A call is made: while there is trouble, it is the probe.
    pub(super) fn called(&mut self, call: Asked, now: Time) {
        if let Some(open) = &mut self.open
            && open.retry_at <= now
        {
            open.probe = Some(call);
        }
    }

    /// A call was answered. Answers to calls from before the trouble change nothing, so that many
    /// that fail at once count as one: `false`.
    pub(super) fn reply(
        &mut self,
        call: Asked,
        refusal: Option<&Refusal>,
        now: Time,
        rng: &mut fastrand::Rng,
    ) -> bool {
        if self.open.is_some_and(|open| open.probe != Some(call)) {
            return false;
        }
        let refused = if call.creates() {
            &mut self.refused_creates
        } else {
            &mut self.refused_questions
        };
        let Some(refusal) = refusal.filter(|refusal| refusal.concerns_all()) else {
            *refused = 0;
            self.open = None;
            if self.refused_creates == 0 && self.refused_questions == 0 {
                self.trouble = None;
            }
            return true;
        };
        *refused = refused.saturating_add(1);
        let failures = *refused;
        let wait = match refusal {
            Refusal::RateLimited {
                retry_after: Some(asked),
            } => Backoff::API.clamp(*asked),
            _ => Backoff::API.wait(failures, rng),
        };
        self.open = Some(Open {
            retry_at: now.after(wait),
            probe: None,
        });
        self.trouble = Some(Trouble {
            refusal: refusal.clone(),
            failures: self.refused_creates.max(self.refused_questions),
            since: self.trouble.as_ref().map_or(now, |trouble| trouble.since),
        });
        true
    }
}
