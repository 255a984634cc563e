//! What may have been purged, and what was.

use std::collections::BTreeMap;

use super::street::urls;
use crate::bench::Seen;

/// Counts between two rests, and over all.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// How often each asset may be purged since the last rest.
    may: BTreeMap<String, u32>,
    /// Kills since the last rest: what was on its way is sent again.
    pub(super) kills: u32,
    all_kills: u32,
    /// Requests that were counted.
    counted: usize,
    purged: u32,
    needed: u32,
}

impl Ledger {
    /// These files change so often that a visitor may see it.
    pub(super) fn changes<'a>(&mut self, paths: impl Iterator<Item = &'a String>, times: u32) {
        for url in paths.flat_map(|path| urls(path)) {
            *self.may.entry(url).or_default() += times;
            self.needed += times;
        }
    }

    /// At rest: nothing was purged that needed no purge.
    pub(super) fn settle(&mut self, requests: &[Seen]) {
        let assets = requests[self.counted..]
            .iter()
            .flat_map(|request| &request.assets);
        let mut purged: BTreeMap<&String, u32> = BTreeMap::new();
        for asset in assets {
            *purged.entry(asset).or_default() += 1;
        }
        let kills = self.kills;
        let needless: Vec<(&&String, &u32)> = purged
            .iter()
            .filter(|(asset, times)| {
                let may = self.may.get(**asset).copied().unwrap_or_default();
                may == 0 || **times > may + kills
            })
            .collect();
        assert!(
            needless.is_empty(),
            "purged more often than they changed: {needless:?}"
        );
        self.purged += purged.values().sum::<u32>();
        self.counted = requests.len();
        self.all_kills += std::mem::take(&mut self.kills);
        self.may.clear();
    }

    /// Purges, and how many were needed.
    pub(super) const fn totals(&self) -> (u32, u32) {
        (self.purged, self.needed)
    }

    pub(super) const fn killed(&self) -> u32 {
        self.all_kills
    }
}
