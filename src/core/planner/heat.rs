//! Assets that change all the time: after a few purges close to each other they are purged at
//! growing intervals, so that one restless file does not use up the rate of all others. Its last
//! change is always purged: it only waits.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::core::asset::Asset;
use crate::core::time::Time;

/// The wait of an asset that has become hot,
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// doubling up to this.
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// So many purges close to each other are still usual: a deploy that writes a file twice, a person
/// who saves again and again.
const USUAL: u32 = 5;
/// How many assets are remembered; more at once are not damped.
const REMEMBERED: usize = 10_000;

#[derive(Clone, Copy, Debug)]
struct Purged {
    last: Time,
    /// Purges close to each other, this one included.
    times: u32,
}

impl Purged {
    fn wait(self) -> Duration {
        match self.times.checked_sub(USUAL + 1) {
            None => Duration::ZERO,
            Some(doublings) => FIRST_WAIT
                .saturating_mul(1 << doublings.min(16))
                .min(LONGEST_WAIT),
        }
    }

    /// Until when the next purge counts as close to this one.
    fn cools(self) -> Time {
        self.last.after((self.wait() * 2).max(FIRST_WAIT))
    }
}

/// The assets of a pipeline that were purged a short time ago.
#[derive(Clone, Debug, Default)]
pub(super) struct Heat {
    assets: BTreeMap<Asset, Purged>,
    /// When those that have cooled were last forgotten: not at each purge of a large backlog.
    swept: Time,
}

impl Heat {
    /// An asset is purged now.
    pub(super) fn purged(&mut self, asset: &Asset, now: Time) {
        if let Some(known) = self.assets.get_mut(asset) {
            let close = known.cools() > now;
            known.times = if close {
                known.times.saturating_add(1)
            } else {
                1
            };
            known.last = now;
            return;
        }
        if self.assets.len() >= REMEMBERED && now.since(self.swept) >= FIRST_WAIT {
            self.assets.retain(|_, known| known.cools() > now);
            self.swept = now;
        }
        if self.assets.len() < REMEMBERED {
            self.assets.insert(
                asset.clone(),
                Purged {
                    last: now,
                    times: 1,
                },
            );
        }
    }

    /// Before when it is not to be purged again.
    pub(super) fn holds(&self, asset: &Asset) -> Time {
        self.assets
            .get(asset)
            .filter(|known| known.wait() > Duration::ZERO)
            .map_or(Time::ZERO, |known| known.last.after(known.wait()))
    }

    /// The hot ones now, and how long each waits between two purges.
    pub(super) fn hot(&self, now: Time) -> impl Iterator<Item = (&Asset, Duration)> {
        self.assets
            .iter()
            .filter(move |(_, known)| known.wait() > Duration::ZERO && known.cools() > now)
            .map(|(asset, known)| (asset, known.wait()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_double_and_end_when_it_calms_down() {
        let asset = Asset::from_stored("/counter.json");
        let mut heat = Heat::default();
        let mut now = Time::from_millis(1_000_000);
        let mut waits = Vec::new();
        for _ in 0..12 {
            heat.purged(&asset, now);
            let next = heat.holds(&asset).max(now.after(Duration::from_secs(1)));
            waits.push(next.since(now).as_secs());
            now = next;
        }
        assert_eq!(waits, [1, 1, 1, 1, 1, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(heat.hot(now).count(), 1);
        let later = now.after(Duration::from_mins(11));
        assert_eq!(heat.hot(later).count(), 0);
        heat.purged(&asset, later);
        assert_eq!(heat.holds(&asset), Time::ZERO);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut heat = Heat::default();
        for number in 0..20_000 {
            let asset = Asset::from_stored(&format!("/{number}"));
            heat.purged(&asset, Time::from_millis(number / 1_000));
        }
        assert_eq!(heat.assets.len(), REMEMBERED);
        let later = Time::from_millis(60_000);
        heat.purged(&Asset::from_stored("/new"), later);
        assert_eq!(heat.assets.len(), 1);
    }
}
