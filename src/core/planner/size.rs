//! The number of assets in a purge request of a pipeline: what is configured, or less where the API has
//! taught so.
//!
//! A batch was too large if the API refused it and then took both of its halves. Once an hour one request
//! tries twice as much. The store keeps the learned size (table `learned`).

use std::time::Duration;

use crate::core::time::Time;

/// How often it is tried whether more has become possible.
const PROBE_EVERY: Duration = Duration::from_hours(1);

#[derive(Clone, Copy, Debug)]
struct Learned {
    most: usize,
    at: Time,
}

/// The size of a pipeline's requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    configured: usize,
    learned: Option<Learned>,
}

impl Size {
    pub(super) fn new(configured: usize) -> Self {
        Self {
            configured: configured.max(1),
            learned: None,
        }
    }

    /// The learned size, where it is smaller than the configured one.
    pub(super) fn learned(&self) -> Option<usize> {
        self.learned.map(|learned| learned.most)
    }

    /// How many assets the next request may have. Now and then twice what was learned.
    pub(super) fn most(&self, now: Time) -> usize {
        match self.learned {
            None => self.configured,
            Some(learned) if now.since(learned.at) >= PROBE_EVERY => {
                learned.most.saturating_mul(2).min(self.configured)
            }
            Some(learned) => learned.most,
        }
    }

    /// A request of so many is sent: one that tries more is alone for a while.
    pub(super) fn sent(&mut self, assets: usize, now: Time) {
        if let Some(learned) = &mut self.learned
            && assets > learned.most
        {
            learned.at = now;
        }
    }

    /// So many are possible, and no more; or again more, when the API took them. Returns what is
    /// new.
    pub(super) fn learn(&mut self, assets: usize, now: Time) -> Option<usize> {
        if self.learned() == Some(assets) {
            return None;
        }
        self.learned = (assets < self.configured).then_some(Learned {
            most: assets.max(1),
            at: now,
        });
        Some(assets)
    }

    /// The API took so many: returns what is new.
    pub(super) fn took(&mut self, assets: usize, now: Time) -> Option<usize> {
        self.learned()
            .filter(|most| assets > *most)
            .and_then(|_| self.learn(assets, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_size_is_kept_and_more_is_tried_once_an_hour() {
        let at = |minutes: u64| Time::from_millis(minutes * 60_000);
        let mut size = Size::new(20);
        assert_eq!(size.learn(5, at(0)), Some(5));
        assert_eq!((size.most(at(59)), size.most(at(60))), (5, 10));
        size.sent(10, at(60));
        assert_eq!(size.most(at(60)), 5, "one tries for all");
        assert_eq!(size.took(10, at(61)), Some(10));
        assert_eq!((size.most(at(62)), size.most(at(121))), (10, 20));
        assert_eq!(size.took(20, at(122)), Some(20));
        assert_eq!((size.learned(), size.most(at(123))), (None, 20));
        assert_eq!(size.took(20, at(124)), None);
    }
}
