use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const GONE_AFTER: Duration = Duration::from_secs(2);

fn at(seconds: u64) -> Time {
    Time::from_millis(1_000_000 + seconds * 1_000)
}

#[test]
fn few_files_may_always_go_and_many_never_at_once() {
    let may_go = |present, absent| {
        let mut guard = LossGuard::new(50, GONE_AFTER);
        let may = guard.may_go(present, absent, at(100));
        assert_eq!(may, !guard.is_holding());
        may
    };
    assert!(may_go(0, 20));
    assert!(may_go(50, 50));
    assert!(!may_go(49, 51));
}

#[test]
fn a_loss_in_pieces_is_one_loss_and_one_long_after_is_another() {
    let mut guard = LossGuard::new(50, GONE_AFTER);
    assert!(guard.may_go(70, 30, at(100)));
    assert!(guard.clone().may_go(40, 30, at(200)));
    assert!(!guard.may_go(40, 30, at(110)));
}

#[test]
fn what_others_replace_is_not_lost_also_by_fewer() {
    for (gone, came) in [(60, 60), (60, 25), (600, 280)] {
        let mut guard = LossGuard::new(50, GONE_AFTER);
        guard.came(came, at(10));
        assert!(guard.may_go(5 + came, gone, at(12)), "{gone} {came}");
    }
    // What replaced others is used up: a disaster right after a deploy is one.
    let mut guard = LossGuard::new(50, GONE_AFTER);
    guard.came(60, at(10));
    assert!(guard.may_go(65, 60, at(12)));
    assert!(!guard.may_go(5, 60, at(20)));
    // A page that says "back soon" replaces nothing.
    let mut guard = LossGuard::new(50, GONE_AFTER);
    guard.came(1, at(10));
    assert!(!guard.may_go(6, 60, at(12)));
}

#[test]
fn a_single_deletion_after_a_held_loss_goes_through() {
    let mut guard = LossGuard::new(50, GONE_AFTER);
    assert!(!guard.may_go(40, 60, at(100)));
    assert_eq!(guard.verdict(at(98), at(101)), Verdict::Held);
    guard.missed(at(140));
    assert_eq!(guard.verdict(at(140), at(143)), Verdict::Judge);
    assert!(guard.may_go(39, 1, at(143)));
    assert_eq!(guard.verdict(at(140), at(144)), Verdict::Gone);
    // The loss stays held, whatever looks at its files again.
    assert_eq!(guard.verdict(at(98), at(144)), Verdict::Held);
    // What goes missing while the loss still runs is part of it.
    let mut guard = LossGuard::new(50, GONE_AFTER);
    assert!(!guard.may_go(40, 60, at(100)));
    guard.missed(at(105));
    assert_eq!(guard.verdict(at(105), at(108)), Verdict::Held);
}

#[test]
fn no_time_ends_a_loss_but_files_do_and_operators() {
    let mut guard = LossGuard::new(50, GONE_AFTER);
    assert!(!guard.may_go(10, 90, at(100)));
    assert!(!guard.is_over(90, true, at(1_000_000)));
    // Files that come a day later replace nothing.
    guard.came(90, at(90_000));
    assert!(!guard.is_over(90, true, at(90_010)));
    let held = guard.clone();
    guard.back(at(90_020));
    // It may still go on coming back.
    assert!(!guard.is_over(40, false, at(90_021)));
    assert!(guard.is_over(40, false, at(90_030)));
    assert_eq!(guard.verdict(at(99), at(90_031)), Verdict::Gone);
    let mut guard = held;
    guard.accept(at(90_000));
    assert_eq!(guard.verdict(at(99), at(90_000)), Verdict::Gone);
}

#[test]
fn new_names_that_come_slowly_after_a_loss_make_up_for_it() {
    let mut guard = LossGuard::new(50, GONE_AFTER);
    assert!(!guard.may_go(5, 60, at(100)));
    for second in 0..60 {
        guard.came(1, at(110 + second * 20));
    }
    assert!(guard.is_over(60, true, at(1_400)));
    // And are not counted for the next one.
    assert!(!guard.may_go(10, 60, at(9_000)));
}

#[test]
fn a_small_filesystem_that_is_not_mounted_is_a_loss_too() {
    assert!(vanished(15, 15, 50));
    assert!(vanished(1, 1, 50));
    assert!(!vanished(0, 0, 50));
    // What lies below it now is another content of the same place.
    assert!(!vanished(5, 15, 50));
}

/// A style of deploy: what is there from which second on.
#[derive(Clone, Debug)]
enum Deploy {
    /// Some files get other bytes.
    InPlace,
    /// Everything is deleted; so many seconds later the same names come back, this many a second.
    Refill { hole: u64, rate: usize },
    /// The names of so many files change; the new come first, or the old go first.
    Hashed { fewer: bool, delete_first: bool },
    /// So many files are deleted.
    Delete(usize),
}

fn deploys() -> impl Strategy<Value = Deploy> {
    prop_oneof![
        Just(Deploy::InPlace),
        (0_u64..30, 1_usize..200).prop_map(|(hole, rate)| Deploy::Refill { hole, rate }),
        (any::<bool>(), any::<bool>()).prop_map(|(fewer, delete_first)| Deploy::Hashed {
            fewer,
            delete_first
        }),
        (1_usize..200).prop_map(Deploy::Delete),
    ]
}

/// An origin as the guard sees it, second by second, and what was purged.
struct Origin {
    now: u64,
    /// Files that are there.
    disk: BTreeMap<String, u64>,
    /// Files of the index, and since when they are absent.
    index: BTreeMap<String, Option<Time>>,
    guard: LossGuard,
    /// Files whose 404 an edge keeps, and since which second it does.
    cached_404: BTreeMap<String, u64>,
    gone_purged: Vec<(u64, String)>,
    names: u64,
}

impl Origin {
    fn new(files: usize) -> Self {
        let mut origin = Self {
            now: 0,
            disk: BTreeMap::new(),
            index: BTreeMap::new(),
            guard: LossGuard::new(50, GONE_AFTER),
            cached_404: BTreeMap::new(),
            gone_purged: Vec::new(),
            names: 0,
        };
        for _ in 0..files {
            let name = origin.name();
            origin.disk.insert(name.clone(), 0);
            origin.index.insert(name, None);
        }
        origin
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("{:06}", self.names)
    }

    /// A second passes: a visitor asks for everything, then the origin is looked at.
    fn second(&mut self) {
        self.now += 1;
        let now = at(self.now);
        for name in self.index.keys() {
            if !self.disk.contains_key(name) {
                self.cached_404.entry(name.clone()).or_insert(self.now);
            }
        }
        let new: Vec<String> = self
            .disk
            .keys()
            .filter(|name| !self.index.contains_key(*name))
            .cloned()
            .collect();
        for name in &new {
            self.index.insert(name.clone(), None);
            self.cached_404.remove(name);
        }
        self.guard.came(u64::try_from(new.len()).unwrap(), now);
        let mut judged = Vec::new();
        for (name, absent) in &mut self.index {
            match (self.disk.contains_key(name), *absent) {
                (true, Some(since)) => {
                    self.guard.back(now);
                    // What was absent for less than `gone_after` is not to count.
                    let short = |since| at(self.now).since(at(since)) <= GONE_AFTER;
                    if was_missed(since, now, GONE_AFTER)
                        || self.cached_404.get(name).copied().is_some_and(short)
                    {
                        self.cached_404.remove(name);
                    }
                    *absent = None;
                }
                (true, None) => {}
                (false, None) => {
                    self.guard.missed(now);
                    *absent = Some(now);
                }
                (false, Some(since)) => match self.guard.verdict(since, now) {
                    Verdict::Wait(_) | Verdict::Held => {}
                    verdict => judged.push((name.clone(), verdict)),
                },
            }
        }
        self.go(&judged);
        self.check(false);
    }

    fn go(&mut self, judged: &[(String, Verdict)]) {
        let now = at(self.now);
        let from = self.guard.judged_until();
        let open = self.index.values().flatten();
        let open = open.filter(|since| from.is_none_or(|until| **since > until));
        let open = u64::try_from(open.count()).unwrap();
        let present = self.index.values().filter(|absent| absent.is_none());
        let present = u64::try_from(present.count()).unwrap();
        let to_judge = judged.iter().any(|(_, verdict)| *verdict == Verdict::Judge);
        let may = !to_judge || self.guard.may_go(present, open, now);
        for (name, verdict) in judged {
            if may || *verdict == Verdict::Gone {
                self.index.remove(name);
                self.gone_purged.push((self.now, name.clone()));
                self.cached_404.remove(name);
            }
        }
    }

    fn check(&mut self, complete: bool) {
        if let Some(until) = self.guard.held_until() {
            let held = self.index.values().flatten();
            let held = held.filter(|since| **since <= until).count();
            self.guard
                .is_over(u64::try_from(held).unwrap(), complete, at(self.now));
        }
    }

    fn seconds(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.second();
        }
    }

    fn delete(&mut self, count: usize) -> Vec<String> {
        let names: Vec<String> = self.disk.keys().take(count).cloned().collect();
        self.disk.retain(|name, _| !names.contains(name));
        names
    }

    fn add(&mut self, count: usize) {
        for _ in 0..count {
            let name = self.name();
            self.disk.insert(name, self.now);
        }
    }

    fn deploy(&mut self, deploy: &Deploy) {
        let files = self.disk.len();
        match *deploy {
            Deploy::InPlace => {}
            Deploy::Refill { hole, rate } => {
                let names = self.delete(files);
                self.seconds(hole);
                for some in names.chunks(rate) {
                    let some = some.iter().cloned();
                    self.disk.extend(some.map(|name| (name, 0)));
                    self.second();
                }
            }
            Deploy::Hashed {
                fewer,
                delete_first,
            } => {
                let changed = files * 9 / 10;
                let new = if fewer { changed.div_ceil(2) } else { changed };
                if delete_first {
                    self.delete(changed);
                    self.seconds(5);
                    self.add(new);
                } else {
                    self.add(new);
                    self.second();
                    self.delete(changed);
                }
            }
            Deploy::Delete(count) => {
                self.delete(count.min(files * 2 / 5));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever is deployed, and however fast one deploy follows the other: at the end nothing is
    /// held, and no 404 that a visitor got is kept for a file that is there.
    #[test]
    fn every_style_of_deploy_ends_fresh(
        files in 1_usize..150,
        deploys in prop::collection::vec((deploys(), 0_u64..90), 1..8),
    ) {
        let mut origin = Origin::new(files);
        for (deploy, pause) in &deploys {
            origin.deploy(deploy);
            origin.seconds(*pause);
        }
        origin.seconds(10);
        let held = origin.guard.is_holding();
        // Two that leave fewer files may be a loss together: then it is told, and not purged.
        let shrinks = |deploy: &Deploy| {
            matches!(deploy, Deploy::Delete(_) | Deploy::Hashed { fewer: true, .. })
        };
        let shrunk = deploys.iter().filter(|(deploy, _)| shrinks(deploy)).count();
        prop_assert!(!held || shrunk > 1, "held after {deploys:?}");
        for name in origin.disk.keys() {
            prop_assert!(!origin.cached_404.contains_key(name), "{name} after {deploys:?}");
        }
        if !held {
            for name in origin.index.keys() {
                prop_assert!(origin.disk.contains_key(name), "{name} is never purged");
            }
        }
    }

    /// A disaster purges nothing, however long it lasts and whatever was deployed before, and a
    /// person's deletion after it goes through.
    #[test]
    fn a_disaster_purges_nothing_and_hides_no_takedown(
        files in 50_usize..150,
        before in prop::collection::vec((deploys(), 8_u64..90), 0..4),
        share in 60_usize..101,
        times in 1_u64..4,
    ) {
        let mut origin = Origin::new(files);
        for (deploy, pause) in &before {
            origin.deploy(deploy);
            origin.seconds(*pause);
        }
        prop_assume!(origin.disk.len() >= 40 && !origin.guard.is_holding());
        let purged = origin.gone_purged.len();
        let lost = origin.disk.len() * share / 100;
        origin.delete(lost);
        origin.seconds(times * 120);
        prop_assert!(origin.guard.is_holding());
        prop_assert_eq!(origin.gone_purged.len(), purged);
        if let Some(name) = origin.disk.keys().next().cloned() {
            origin.disk.remove(&name);
            origin.seconds(5);
            prop_assert!(origin.gone_purged.iter().any(|(_, gone)| *gone == name));
        }
    }
}
