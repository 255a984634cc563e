//! Assets that change all the time (hot assets).
//!
//! Each asset has a store of eight purges, and gets one back in every `hot_interval`. Eight deploys in half
//! a minute, or twelve in a minute, live on the store; a counter that is rewritten every four seconds has
//! emptied it after three quarters of a minute, and is purged once in each interval from then on. The wait
//! does not grow. The last change is always purged: it waits for one interval at most.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::core::asset::Asset;
use crate::core::time::Time;

/// How many purges of an asset may follow each other at once.
const USUAL: u32 = 8;
/// How many assets are remembered; more at once are not damped.
const REMEMBERED: usize = 10_000;

/// The assets of a pipeline that were purged a short time ago.
#[derive(Clone, Debug)]
pub(super) struct PurgeDamper {
    /// `None`: nothing is damped.
    interval: Option<Duration>,
    /// The store of each.
    stores: BTreeMap<Asset, PurgeStore>,
    /// When those with a full store were last forgotten: not at each purge of a large backlog.
    swept: Time,
}

/// The purges that an asset has left.
#[derive(Clone, Copy, Debug, Default)]
struct PurgeStore {
    /// When it is full again.
    full: Time,
    /// When it was last full: since then the asset is purged again and again.
    since: Time,
}

impl PurgeDamper {
    pub(super) const fn new(interval: Option<Duration>) -> Self {
        Self {
            interval,
            stores: BTreeMap::new(),
            swept: Time::ZERO,
        }
    }

    /// An asset is purged now.
    pub(super) fn purged(&mut self, asset: &Asset, now: Time) {
        let Some(interval) = self.interval else {
            return;
        };
        if let Some(store) = self.stores.get_mut(asset) {
            if store.full <= now {
                store.since = now;
            }
            // A person is never held back, and leaves no debt.
            let most = now.after(interval * USUAL);
            store.full = store.full.max(now).after(interval).min(most);
            return;
        }
        if self.stores.len() >= REMEMBERED && now.since(self.swept) >= interval {
            self.stores.retain(|_, store| store.full > now);
            self.swept = now;
        }
        if self.stores.len() < REMEMBERED {
            let full = now.after(interval);
            let store = PurgeStore { full, since: now };
            self.stores.insert(asset.clone(), store);
        }
    }

    /// Before when it is not to be purged again.
    pub(super) fn holds(&self, asset: &Asset) -> Time {
        let store = self.stores.get(asset).copied().unwrap_or_default();
        store
            .full
            .before(self.interval.unwrap_or_default() * (USUAL - 1))
    }

    /// The hot ones now, since when, and how long each waits between two purges.
    pub(super) fn hot(&self, now: Time) -> impl Iterator<Item = (&Asset, Time, Duration)> {
        // The next purge of a hot one takes a moment from when it is free to go.
        let moment = self.interval.unwrap_or_default() / 2;
        self.stores
            .iter()
            .filter(move |(asset, _)| self.holds(asset).after(moment) > now)
            .map(|(asset, store)| (asset, store.since, self.interval.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    /// The gaps between the purges of an asset that changes every `every` for so long, in seconds.
    fn gaps(damper: &mut PurgeDamper, every: u64, lasts: u64) -> Vec<u64> {
        let asset = Asset::from_stored("/counter.json");
        let began = 1_000_000;
        let mut purges: Vec<u64> = Vec::new();
        let mut held = Time::ZERO;
        for second in 0..lasts {
            let now = Time::from_millis((began + second) * 1_000);
            let changed = second % every == 0;
            held = if changed {
                damper.holds(&asset).max(now)
            } else {
                held
            };
            if held == now {
                damper.purged(&asset, now);
                purges.push(second);
            }
        }
        purges.windows(2).map(|two| two[1] - two[0]).collect()
    }

    #[test]
    fn what_changes_all_the_time_is_purged_once_in_each_interval_and_the_wait_never_grows() {
        for every in [1, 2, 3, 4, 7] {
            let mut damper = PurgeDamper::new(Some(TEN));
            let gaps = gaps(&mut damper, every, 600);
            assert!(gaps.iter().all(|gap| *gap <= 10), "{every}: {gaps:?}");
            let late = &gaps[gaps.len() - 30..];
            assert!(late.iter().all(|gap| *gap == 10), "{every}: {late:?}");
        }
    }

    #[test]
    fn deploys_and_what_changes_more_rarely_than_the_interval_are_not_held() {
        for (every, lasts) in [(4, 35), (5, 60), (1, 8), (10, 3_600), (60, 3_600)] {
            let mut damper = PurgeDamper::new(Some(TEN));
            let gaps = gaps(&mut damper, every, lasts);
            assert!(gaps.iter().all(|gap| *gap == every), "{every}: {gaps:?}");
        }
        let mut damper = PurgeDamper::new(None);
        assert!(gaps(&mut damper, 1, 600).iter().all(|gap| *gap == 1));
        assert_eq!(damper.hot(Time::from_millis(1_000_600_000)).count(), 0);
    }

    #[test]
    fn a_hot_asset_is_named_until_it_rests() {
        let mut damper = PurgeDamper::new(Some(TEN));
        gaps(&mut damper, 1, 300);
        let at = |second: u64| Time::from_millis((1_000_000 + second) * 1_000);
        let hot: Vec<_> = damper.hot(at(300)).collect();
        assert_eq!(hot.len(), 1);
        assert_eq!((hot[0].1, hot[0].2), (at(0), TEN));
        assert_eq!(damper.hot(at(320)).count(), 0);
    }

    #[test]
    fn a_person_who_purges_again_and_again_makes_no_later_change_wait_longer() {
        let asset = Asset::from_stored("/counter.json");
        let mut damper = PurgeDamper::new(Some(TEN));
        let now = Time::from_millis(1_000_000);
        for _ in 0..100 {
            damper.purged(&asset, now);
        }
        assert_eq!(damper.holds(&asset), now.after(TEN));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut damper = PurgeDamper::new(Some(TEN));
        for number in 0..20_000 {
            let asset = Asset::from_stored(&format!("/{number}"));
            damper.purged(&asset, Time::from_millis(number / 1_000));
        }
        assert_eq!(damper.stores.len(), REMEMBERED);
        let later = Time::from_millis(60_000);
        damper.purged(&Asset::from_stored("/new"), later);
        assert_eq!(damper.stores.len(), 1);
    }
}
