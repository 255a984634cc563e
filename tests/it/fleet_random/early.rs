//! A file is not purged before the last live node has it, unless the batch waited for `fleet_wait`.

use std::time::Duration;

use edgepurge::core::time::Time;

use super::history::NODES;
use super::judge::{Cause, Purge, Record, Trouble};

/// For so long after a trouble it is not judged who is waited for: a node may have just come to life, or a leader may
/// make sure that a request was sent.
const CALM: Duration = Duration::from_secs(12);
/// A change is noticed within this time, so that a purge before does not cover it.
const NOTICED: Duration = Duration::from_secs(2);
/// Requests of one batch are sent within this time.
const TOGETHER: Duration = Duration::from_secs(2);

/// A node got a version of a file, not before this.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) asset: String,
    pub(super) node: usize,
    pub(super) version: usize,
    pub(super) at: Time,
}

/// Whether a node still had an older version of a file at each of its purges; `None` where there is an excuse.
/// `covered` says whether an asset was purged in a time.
pub(super) fn early(
    record: &Record,
    wait: Duration,
    asset: &str,
    purges: &[Purge],
    covered: impl Fn(&str, Time, Time) -> bool,
) -> Vec<Option<bool>> {
    let mut diverged: Option<Time> = None;
    let mut found = Vec::new();
    for (number, purge) in purges.iter().enumerate() {
        let at = purge.at;
        let since = number.checked_sub(1).map(|before| purges[before].at);
        if diverged.is_some_and(|from| were_the_same(record, asset, from, at)) {
            diverged = None;
        }
        // What all have got since the last purge is purged though one of them has changed again, unnoticed yet.
        let lately = at.before(NOTICED).max(since.unwrap_or_default());
        let differs = !is_the_same(record, asset, at);
        let agreed = were_the_same(record, asset, lately, at);
        let mut troubles = record.troubles.iter();
        let near = |one: &Trouble| one.from <= at && one.to >= at.before(CALM);
        let asked = |one: &Cause| {
            let of = one.delivered && one.asset == asset;
            of && one.at <= at && since.is_none_or(|since| since <= one.at)
        };
        let waited = |one: &Got| {
            let (from, to) = (one.at.after(NOTICED), at.before(TOGETHER));
            one.at <= at.before(wait) && !covered(&one.asset, from, to)
        };
        let excused = troubles.any(near)
            || diverged.is_some()
            || differs && agreed
            || record.causes.iter().any(asked)
            || record.got.iter().any(waited);
        let is_file = record.got.iter().any(|one| one.asset == asset);
        found.push((is_file && !excused).then_some(differs));
        if differs && !agreed {
            diverged = diverged.or(Some(at));
        }
    }
    found
}

fn is_the_same(record: &Record, asset: &str, at: Time) -> bool {
    let mut has = [0; NODES];
    let got = record.got.iter();
    for one in got.filter(|one| one.asset == asset && one.at <= at) {
        has[one.node] = one.version;
    }
    has.iter().all(|one| *one == has[0])
}

/// Whether all nodes had the same version at any moment of this time.
fn were_the_same(record: &Record, asset: &str, from: Time, to: Time) -> bool {
    let got = record.got.iter().filter(|one| one.asset == asset);
    let mut moments = got.map(|one| one.at).filter(|at| (from..=to).contains(at));
    moments.any(|at| is_the_same(record, asset, at))
}
