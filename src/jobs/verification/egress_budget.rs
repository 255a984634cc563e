//! The budget of bytes of one pipeline's edge, on disk. The length that a response announces is taken
//! from the budget and stored in `queue.db` before the body is read; without a length, 256 KiB at a time.
//! Bytes that did not come are given back. So neither a restart nor a kill starts a new hour, but for
//! 64 KiB.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::Clock;
use crate::core::change::PipelineId;
use crate::core::time::Time;
use crate::core::verify::Egress;
use crate::store::{Desk, StoreError};
use crate::verify::Allowance;

/// What may be lost at a crash: so much is fetched before it is noted.
const LOOSE: u64 = 64 << 10;

pub(super) struct EgressBudget {
    egress: Mutex<Level>,
    desk: Desk,
    key: String,
    clock: Clock,
}

struct Level {
    egress: Egress,
    /// What is on disk.
    noted: i64,
}

impl EgressBudget {
    pub(super) async fn open(
        desk: &Desk,
        pipeline: &PipelineId,
        per_hour: u64,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let (key, now) = (format!("egress:{pipeline}"), clock.now());
        let noted = desk.noted(key.clone()).await?;
        let read = noted.as_deref().and_then(|word| {
            let (left, at) = word.split_once(' ')?;
            Some((left.parse().ok()?, at.parse().ok()?))
        });
        let mut egress = match read {
            Some((left, at)) => Egress::restored(per_hour, left, Time::from_millis(at), now),
            None => Egress::new(per_hour, now),
        };
        let noted = egress.left(now);
        Ok(Self {
            egress: Mutex::new(Level { egress, noted }),
            desk: desk.clone(),
            key,
            clock,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.level().egress.left(self.clock.now()) <= 0
    }

    /// Notes what is left, where that differs enough from what is on disk.
    pub(super) async fn note(&self) -> Result<(), StoreError> {
        let word = {
            let (mut level, now) = (self.level(), self.clock.now());
            let left = level.egress.left(now);
            if left.abs_diff(level.noted) < LOOSE {
                return Ok(());
            }
            level.noted = left;
            format!("{left} {}", now.millis())
        };
        self.desk.note(self.key.clone(), word).await?;
        Ok(())
    }

    fn level(&self) -> MutexGuard<'_, Level> {
        self.egress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Allowance for EgressBudget {
    async fn take(&self, bytes: u64) -> u64 {
        let taken = self.level().egress.take(bytes, self.clock.now());
        if let Err(error) = self.note().await {
            // The verdict can't be committed either, and the asset is fetched again then.
            tracing::warn!("the bytes left for verifying can't be noted: {error}");
            self.level().egress.give_back(taken);
            return 0;
        }
        taken
    }

    fn give_back(&self, bytes: u64) {
        self.level().egress.give_back(bytes);
    }

    fn owe(&self, bytes: u64) {
        self.level().egress.owe(bytes);
    }
}
