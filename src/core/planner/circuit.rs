//! The state of the API as a whole: when it is in trouble, or refuses the key, nothing is sent but
//! one probe at the end of each backoff.

use crate::core::backoff::Backoff;
use crate::core::purge::{Refusal, RequestId};
use crate::core::time::Time;

/// Trouble with the API itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The refusal that opened the circuit, or the last probe's.
    pub(super) refusal: Refusal,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Since when.
    pub(super) since: Time,
    retry_at: Time,
    /// The call that tries whether it is over.
    probe: Option<RequestId>,
}

/// Closed, calls pass; with trouble, only probes do.
#[derive(Clone, Debug, Default)]
pub(super) struct Circuit(Option<Trouble>);

/// Whether the refusal says that the API as a whole can't or won't serve now.
const fn is_trouble(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::RateLimited { .. }
        | Refusal::Transient(_)
        | Refusal::UnknownOutcome(_)
        | Refusal::Unauthorized(_) => true,
        Refusal::Forbidden(_) | Refusal::NotFound(_) | Refusal::Invalid(_) => false,
    }
}

impl Circuit {
    pub(super) const fn trouble(&self) -> Option<&Trouble> {
        self.0.as_ref()
    }

    /// Whether a call may be made now.
    pub(super) fn admits(&self, now: Time) -> bool {
        self.0
            .as_ref()
            .is_none_or(|trouble| trouble.probe.is_none() && trouble.retry_at <= now)
    }

    /// From when on it admits a call, if no reply comes before; `None`: only a reply helps.
    pub(super) fn reopens(&self) -> Option<Time> {
        match &self.0 {
            None => Some(Time::ZERO),
            Some(trouble) if trouble.probe.is_none() => Some(trouble.retry_at),
            Some(_) => None,
        }
    }

    /// A call is made: while there is trouble, it is the probe.
    pub(super) fn called(&mut self, id: RequestId, now: Time) {
        if let Some(trouble) = &mut self.0
            && trouble.retry_at <= now
        {
            trouble.probe = Some(id);
        }
    }

    /// A call was answered. Answers to calls from before the trouble change nothing, so that many
    /// that fail at once count as one.
    pub(super) fn reply(
        &mut self,
        id: RequestId,
        refusal: Option<&Refusal>,
        now: Time,
        rng: &mut fastrand::Rng,
    ) {
        let refusal = refusal.filter(|refusal| is_trouble(refusal));
        let (failures, since) = match &self.0 {
            None => (0, now),
            Some(trouble) if trouble.probe == Some(id) => (trouble.failures, trouble.since),
            Some(_) => return,
        };
        self.0 = refusal.map(|refusal| {
            let failures = failures.saturating_add(1);
            let wait = match refusal {
                Refusal::RateLimited {
                    retry_after: Some(asked),
                } => Backoff::API.clamp(*asked),
                _ => Backoff::API.wait(failures, rng),
            };
            Trouble {
                refusal: refusal.clone(),
                failures,
                since,
                retry_at: now.after(wait),
                probe: None,
            }
        });
    }
}
