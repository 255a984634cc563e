//! What happened in a history, and what must hold of it. It knows nothing of edgepurge.

use std::collections::BTreeMap;
use std::time::Duration;

use edgepurge::core::time::Time;
use edgepurge::sandbox::{PurgeRecord, PurgeTarget};

use super::early::{Got, early};
use super::forgotten::losses;
use super::history::Sort;

/// How long before and after a request was in flight a trouble may be why the next one is sent twice: its decision
/// is committed before it is sent, and what became of it after it is known.
const BEFORE: Duration = Duration::from_secs(1);
const AFTER: Duration = Duration::from_secs(5);
/// After all that happens.
const END: Time = Time::from_millis(u64::MAX);

/// Something that asks for a purge of an asset.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    pub(super) asset: String,
    /// Not later than this.
    pub(super) at: Time,
    /// Purges that it may lead to.
    pub(super) purges: usize,
    /// Whether one has to come: a delivery that was not acknowledged may have been lost.
    pub(super) promised: bool,
    /// Whether a delivery asks for it, which waits for no files.
    pub(super) delivered: bool,
}

/// What is purged where everything is.
pub(super) const EVERYTHING: &str = "*";

/// A time in which something was wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trouble {
    pub(super) sort: Sort,
    /// With which node; `None`: with the database.
    pub(super) node: Option<usize>,
    /// A failover is one from the moment on in which the standby did not get everything any more.
    pub(super) from: Time,
    pub(super) to: Time,
}

/// A request that the API got.
#[derive(Clone, Debug)]
pub(super) struct Request {
    assets: Vec<String>,
    purge: Purge,
}

impl Request {
    pub(super) fn purges(&self, asset: &str) -> bool {
        self.assets.iter().any(|one| one == asset)
    }
}

impl From<PurgeRecord> for Request {
    fn from(record: PurgeRecord) -> Self {
        let assets = match record.target {
            PurgeTarget::All => vec![EVERYTHING.to_owned()],
            PurgeTarget::Assets(assets) => assets,
        };
        let purge = Purge {
            at: record.created,
            settled: record.settled.unwrap_or(record.created),
        };
        Self { assets, purge }
    }
}

/// A purge of an asset: when the API was asked for it, and when it was done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Purge {
    pub(super) at: Time,
    settled: Time,
}

/// All that happened.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) causes: Vec<Cause>,
    pub(super) troubles: Vec<Trouble>,
    pub(super) got: Vec<Got>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) faults: Vec<String>,
    /// Purges that were sent twice because of a trouble.
    pub(super) twice: usize,
    /// Purges of which it was known that every node had to have the file.
    pub(super) agreed: usize,
}

/// Judges these requests of a fleet that waits so long for the last node.
pub(super) fn judge(record: &Record, requests: &[Request], wait: Duration) -> Verdict {
    let mut purges: BTreeMap<&str, Vec<Purge>> = BTreeMap::new();
    let mut faults = Vec::new();
    for Request { assets, purge } in requests {
        for asset in assets {
            purges.entry(asset).or_default().push(*purge);
        }
    }
    let of = |asset: &str| purges.get(asset).map_or(&[][..], Vec::as_slice);
    let covered = |asset: &str, from: Time, to: Time| {
        let mut purges = of(asset).iter().chain(of(EVERYTHING));
        purges.any(|purge| (from..=to).contains(&purge.at))
    };
    for cause in record.causes.iter().filter(|cause| cause.promised) {
        if !covered(&cause.asset, cause.at, END) {
            let Cause { asset, at, .. } = cause;
            faults.push(format!(
                "lost: {asset} of {at}; purges: {:?}",
                times(of(asset))
            ));
        }
    }
    let (mut twice, mut agreed) = (0, 0);
    let losses = losses(&record.troubles);
    for (asset, purges) in &purges {
        let causes = record.causes.iter().chain(&losses);
        let causes: Vec<&Cause> = causes.filter(|cause| cause.asset == **asset).collect();
        twice += needless(record, &causes, asset, purges, &mut faults);
        let found = early(record, wait, asset, purges, covered);
        for (purge, early) in purges.iter().zip(found) {
            agreed += usize::from(early == Some(false));
            if early == Some(true) {
                faults.push(format!("early: {asset} at {}", purge.at));
            }
        }
    }
    Verdict {
        faults,
        twice,
        agreed,
    }
}

/// Takes each purge of an asset off what it has a cause in. One that was in flight in a trouble may be sent once more,
/// until the next that has a cause. Returns how many have no cause but a trouble.
fn needless(
    record: &Record,
    causes: &[&Cause],
    asset: &str,
    purges: &[Purge],
    faults: &mut Vec<String>,
) -> usize {
    let in_flight = |of: &Purge| {
        let (from, to) = (of.at.before(BEFORE), of.settled.after(AFTER));
        let mut troubles = record.troubles.iter();
        troubles.any(|trouble| trouble.from <= to && trouble.to >= from)
    };
    let (mut taken, mut twice) = (0, 0);
    // Those that may be sent once more, and the last that has a cause.
    let (mut again, mut last) = (0, 0);
    for (number, purge) in purges.iter().enumerate() {
        let causes = causes.iter().filter(|cause| cause.at <= purge.at);
        let allowed: usize = causes.map(|cause| cause.purges).sum();
        if taken < allowed {
            taken += 1;
            last = number;
        } else if twice < again && purges[last..number].iter().any(in_flight) {
            twice += 1;
        } else {
            let all = times(purges);
            faults.push(format!(
                "needless: {asset} at {}; purges: {all:?}",
                purge.at
            ));
        }
        again += usize::from(in_flight(purge));
    }
    twice
}

fn times(purges: &[Purge]) -> Vec<String> {
    purges.iter().map(|purge| purge.at.to_string()).collect()
}

/// What is wrong where a delivery of an asset came after ten seconds, the asset was purged at these times, and
/// something was wrong with the fleet then.
fn faults(promised: bool, purged: &[u64], trouble: Option<(u64, u64)>) -> Vec<String> {
    let at = |seconds: u64| Time::from_millis(seconds * 1_000);
    let cause = Cause {
        asset: "/a.css".to_owned(),
        at: at(10),
        purges: 1,
        promised,
        delivered: true,
    };
    let trouble = trouble.map(|(from, to)| Trouble {
        sort: Sort::Cut,
        node: Some(0),
        from: at(from),
        to: at(to),
    });
    let record = Record {
        causes: vec![cause],
        troubles: trouble.into_iter().collect(),
        got: Vec::new(),
    };
    let requests = purged.iter().map(|seconds| Request {
        assets: vec!["/a.css".to_owned()],
        purge: Purge {
            at: at(*seconds),
            settled: at(seconds + 1),
        },
    });
    let requests: Vec<Request> = requests.collect();
    judge(&record, &requests, Duration::ZERO).faults
}

#[test]
fn what_is_lost_or_needless_is_found() {
    assert!(faults(true, &[11], None).is_empty());
    for (purged, fault) in [
        (&[][..], "lost: /a.css"),
        (&[9, 11], "needless: /a.css"),
        (&[9], "lost: /a.css"),
        (&[11, 30], "needless: /a.css"),
    ] {
        let found = faults(true, purged, None);
        let said = found.iter().any(|found| found.starts_with(fault));
        assert!(said, "{purged:?}: {found:?}");
    }
}

#[test]
fn what_was_in_flight_in_a_trouble_may_be_sent_twice_and_what_was_not_acknowledged_may_be_lost() {
    assert!(faults(true, &[11, 30], Some((12, 20))).is_empty());
    assert_eq!(faults(true, &[11, 40], Some((25, 35))).len(), 1);
    assert_eq!(faults(true, &[11, 13, 15], Some((12, 20))).len(), 0);
    assert_eq!(faults(true, &[11, 30, 32], Some((12, 20))).len(), 1);
    assert!(faults(false, &[], None).is_empty());
}

/// A node gets a file after 20 seconds, another one at this time, and the third never does; the file is purged then.
fn early_at(seconds: u64, third: Option<u64>, purged: u64) -> bool {
    let at = |seconds: u64| Time::from_millis(seconds * 1_000);
    let times = [Some(20), Some(seconds), third];
    let got = times.into_iter().enumerate().filter_map(|(node, time)| {
        let asset = "/a.css".to_owned();
        Some(Got {
            asset,
            node,
            version: 1,
            at: at(time?),
        })
    });
    let record = Record {
        got: got.collect(),
        ..Record::default()
    };
    let purge = Purge {
        at: at(purged),
        settled: at(purged + 1),
    };
    let request = Request {
        assets: vec!["/a.css".to_owned()],
        purge,
    };
    let verdict = judge(&record, &[request], Duration::from_secs(5));
    verdict
        .faults
        .iter()
        .any(|fault| fault.starts_with("early"))
}

#[test]
fn a_purge_before_the_last_node_has_the_file_is_early_until_the_time_is_over() {
    assert!(early_at(21, None, 22));
    assert!(early_at(21, Some(23), 22));
    assert!(!early_at(21, Some(22), 22));
    assert!(!early_at(21, None, 25));
}

#[test]
fn what_all_nodes_had_is_purged_though_one_has_changed_again_a_moment_ago() {
    let at = |millis: u64| Time::from_millis(20_000 + millis);
    let found = |last: u64, purged: u64| {
        let got = [(0, 1, 0), (1, 1, 0), (2, 1, last), (0, 2, 900)];
        let got = got.map(|(node, version, millis)| Got {
            asset: "/a.css".to_owned(),
            node,
            version,
            at: at(millis),
        });
        let record = Record {
            got: got.to_vec(),
            ..Record::default()
        };
        let purge = Purge {
            at: at(purged),
            settled: at(purged + 100),
        };
        let covered = |_: &str, _, _| true;
        early(&record, Duration::from_secs(5), "/a.css", &[purge], covered)
    };
    assert_eq!(found(100, 1_000), [None]);
    assert_eq!(found(950, 1_000), [Some(true)], "never the same");
    assert_eq!(found(100, 4_000), [Some(true)], "it was noticed long ago");
}
