//! The walker on buckets that change, fail and lie, beside a real index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use tokio_util::sync::CancellationToken;

use super::storage::Storage;
use super::walker::{Broken, Pace, Parts, Walker};
use super::*;
use crate::clock::Clock;
use crate::core::change::{FileFact, Kind, PipelineId, Seq};
use crate::core::website::Website;
use crate::lineage::{Beginning, Lineage};
use crate::origin::Index;
use crate::origin::status::OriginStatus;
use crate::origin::tree::ignore::Ignore;
use crate::origin::watch::cookie::Cookies;
use crate::origin::watch::inbox::Inbox;
use crate::origin::worker::batch::Committer;
use crate::s3::{Head, Object, Page, Position, S3Error};
use crate::sink::{FileChange, Sink, SinkFuture};

mod named;

const SECOND: i64 = 1_000_000_000;

/// An object: the number of its bytes, that of its headers, and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stored {
    bytes: u64,
    headers: u8,
    modified_ns: i64,
}

/// What visitors get of it: bytes and headers.
type Seen = Option<(u64, u8)>;

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent faults, each set on its own"
)]
struct World {
    objects: BTreeMap<String, Stored>,
    now_ns: i64,
    /// What the edge keeps of each path; it fetches anew as soon as it is purged.
    edge: BTreeMap<String, Seen>,
    /// How often each path changed for visitors, and was purged.
    changes: BTreeMap<String, u64>,
    /// What changed since its headers were read, and how often such a key was then written again as it was: the headers
    /// of before are not known, so that it counts as changed.
    unread: BTreeSet<String>,
    /// Listings end early, as if they were whole: what they lacked and is written again may have been missing.
    lies: bool,
    doubts: BTreeMap<String, u64>,
    purges: Vec<(Kind, String)>,
    rng: Rng,
    /// Things happen and calls fail while it is listed.
    wild: bool,
    /// All calls are refused.
    denied: bool,
    /// Each listing begins at the first key, whatever is asked for.
    knows_no_ranges: bool,
    /// Pages from this one on are left out, as if the listing ended there.
    ends_at: Option<usize>,
    page: usize,
    calls: u64,
    /// What happened, for who looks for the fault of a seed.
    trace: Vec<String>,
}

impl World {
    fn seen(&self, key: &str) -> Seen {
        let stored = self.objects.get(key)?;
        Some((stored.bytes, stored.headers))
    }

    fn put(&mut self, key: &str, bytes: u64, headers: u8) {
        let before = self.seen(key);
        let modified_ns = self.now_ns;
        let stored = Stored {
            bytes,
            headers,
            modified_ns,
        };
        self.objects.insert(key.to_owned(), stored);
        self.count(key, before);
    }

    fn delete(&mut self, key: &str) {
        let before = self.seen(key);
        self.objects.remove(key);
        self.count(key, before);
    }

    fn count(&mut self, key: &str, before: Seen) {
        let (now, at) = (self.seen(key), self.now_ns);
        self.trace
            .push(format!("{at} {key}: {before:?} to {now:?}"));
        if self.seen(key) != before {
            self.unread.insert(key.to_owned());
            *self.changes.entry(key.to_owned()).or_default() += 1;
        } else if self.lies || self.unread.contains(key) {
            *self.doubts.entry(key.to_owned()).or_default() += 1;
        }
    }

    /// Something that happens to a bucket.
    fn happen(&mut self) {
        self.now_ns += self.rng.i64(1_000_000..4 * SECOND);
        let key = format!("{:02}.html", self.rng.u8(0..40));
        match self.rng.u8(0..10) {
            0..3 => {
                let bytes = self.rng.u64(0..1_000_000);
                self.put(&key, bytes, 0);
            }
            3 => self.delete(&key),
            4 => {
                if let Some(stored) = self.objects.get(&key).copied() {
                    self.put(&key, stored.bytes, stored.headers.wrapping_add(1));
                }
            }
            // Uploaded again as it is.
            _ => {
                if let Some(stored) = self.objects.get(&key).copied() {
                    self.put(&key, stored.bytes, stored.headers);
                }
            }
        }
    }

    fn fail(&mut self) -> Result<(), S3Error> {
        self.calls += 1;
        let refused = || {
            Err(S3Error::Refused {
                status: 403,
                code: "AccessDenied".to_owned(),
                message: String::new(),
            })
        };
        if self.denied {
            return refused();
        }
        if !self.wild {
            return Ok(());
        }
        match self.rng.u8(0..60) {
            0 => refused(),
            1 => Err(S3Error::Malformed("cut short".to_owned())),
            2 | 3 => Err(S3Error::Busy("503 SlowDown".to_owned())),
            4 => Err(S3Error::Unreachable("timed out".to_owned())),
            _ => Ok(()),
        }
    }

    fn list(&mut self, position: &Position) -> Result<Page, S3Error> {
        if self.wild {
            for _ in 0..self.rng.u8(0..3) {
                self.happen();
            }
        }
        self.fail()?;
        self.page = match position {
            Position::Start => 0,
            _ => self.page + 1,
        };
        let after = match position {
            Position::Token(key) => key,
            Position::After(key) if !self.knows_no_ranges => key,
            _ => "",
        };
        let mut rest = self.objects.iter().filter(|(key, _)| key.as_str() > after);
        let objects: Vec<Object> = rest
            .by_ref()
            .take(PAGE)
            .map(|(key, stored)| object(key, stored, stored.modified_ns))
            .collect();
        let rest = rest.next().is_some();
        let more = rest && self.ends_at.is_none_or(|end| self.page < end);
        let last = objects.last().map(|object| object.key.clone());
        let next = last.filter(|_| more);
        let listed = format!("listed after {after:?}, rest {rest}, goes on {more}");
        self.trace.push(listed);
        Ok(Page { objects, next })
    }
}

/// The world as the walker sees it, and the sink that purges.
#[derive(Clone, Debug)]
struct Fake(Arc<Mutex<World>>);

const PAGE: usize = 7;

impl Storage for Fake {
    fn prefix(&self) -> &'static str {
        ""
    }

    fn pages(&self, positions: &[Position]) -> Result<Vec<Result<Page, S3Error>>, Broken> {
        let mut world = self.0.lock().unwrap();
        Ok(positions.iter().map(|one| world.list(one)).collect())
    }

    fn website(&self) -> Result<Option<Website>, Broken> {
        Ok(None)
    }

    fn heads(&self, keys: &[String]) -> Result<Vec<Result<Head, S3Error>>, Broken> {
        let mut world = self.0.lock().unwrap();
        let mut heads = Vec::new();
        for key in keys {
            if let Err(error) = world.fail() {
                heads.push(Err(error));
                continue;
            }
            let stored = world.objects.get(key).copied();
            world.trace.push(format!("head of {key}: {stored:?}"));
            let whole = |time: i64| time - time.rem_euclid(SECOND);
            let (now, written) = (world.now_ns, stored.map_or(0, |one| one.modified_ns));
            if whole(now) - whole(written) >= 2 * SECOND {
                world.unread.remove(key);
            }
            heads.push(stored.ok_or(S3Error::Missing).map(|stored| Head {
                object: object(key, &stored, whole(stored.modified_ns)),
                headers: [stored.headers; 32],
                date_ns: whole(world.now_ns),
            }));
        }
        Ok(heads)
    }
}

fn object(key: &str, stored: &Stored, modified_ns: i64) -> Object {
    Object {
        key: key.to_owned(),
        etag: stored.bytes.to_string(),
        size: 10,
        modified_ns,
    }
}

impl Sink for Fake {
    fn files<'a>(
        &'a self,
        _: &'a PipelineId,
        changes: Vec<FileChange>,
    ) -> SinkFuture<'a, Option<Seq>> {
        let mut world = self.0.lock().unwrap();
        for change in changes {
            let path = String::from_utf8(change.path).unwrap();
            let seen = world.seen(&path);
            world.edge.insert(path.clone(), seen);
            world.trace.push(format!("purged {path} {:?}", change.kind));
            world.purges.push((change.kind, path));
        }
        let seq = Seq(world.purges.len() as u64);
        Box::pin(async move { Ok(Some(seq)) })
    }

    fn facts_after<'a>(
        &'a self,
        _: &'a PipelineId,
        _: &'a str,
        _: Seq,
        _: usize,
    ) -> SinkFuture<'a, Vec<(Seq, FileFact)>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn scanning(&self, _: &PipelineId, _: bool) {}
}

/// A bucket that is an origin.
struct Site {
    world: Arc<Mutex<World>>,
    walker: Walker<Fake>,
    status: tokio::sync::watch::Receiver<OriginStatus>,
    clock: Clock,
    _runtime: tokio::runtime::Runtime,
    _state: tempfile::TempDir,
}

impl Site {
    /// A bucket of these keys, listed once, with its headers read.
    fn new(keys: &[&str], seed: u64) -> Self {
        let mut world = World {
            objects: BTreeMap::new(),
            now_ns: 1_000 * SECOND,
            edge: BTreeMap::new(),
            changes: BTreeMap::new(),
            unread: BTreeSet::new(),
            lies: false,
            doubts: BTreeMap::new(),
            purges: Vec::new(),
            rng: Rng::with_seed(seed),
            wild: false,
            denied: false,
            knows_no_ranges: false,
            ends_at: None,
            page: 0,
            calls: 0,
            trace: Vec::new(),
        };
        for key in keys {
            world.put(key, 1, 0);
        }
        world.now_ns += 10 * SECOND;
        world.changes.clear();
        let edge = keys.iter().map(|key| ((*key).to_owned(), Some((1, 0))));
        world.edge = edge.collect();
        let world = Arc::new(Mutex::new(world));
        let state = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.unwrap();
        let (walker, status, clock) = walker(&world, state.path(), &runtime, &[]);
        let mut site = Self {
            world,
            walker,
            status,
            clock,
            _runtime: runtime,
            _state: state,
        };
        site.list();
        site.read_headers();
        site
    }

    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// One listing; whether it came to its end.
    fn list(&mut self) -> bool {
        self.world().now_ns += SECOND;
        match self.walker.list(self.clock.now()) {
            Ok(()) => true,
            Err(Broken::Storage(_)) => false,
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Reads every header that can be read, once each.
    fn read_headers(&mut self) {
        self.world().now_ns += 5 * SECOND;
        let wild = std::mem::replace(&mut self.world().wild, false);
        self.read_all_headers();
        self.world().wild = wild;
    }

    fn read_all_headers(&mut self) {
        self.walker.headers_after.clear();
        loop {
            let rows = self
                .walker
                .index()
                .some_unread(&self.walker.headers_after, 1);
            if rows.unwrap().is_empty() {
                return;
            }
            let now = self.clock.now();
            self.walker.read_headers(now).unwrap();
            if self.walker.headers_after.is_empty() {
                return;
            }
        }
    }

    fn purged(&self) -> Vec<(Kind, String)> {
        std::mem::take(&mut self.world().purges)
    }

    fn status(&self) -> OriginStatus {
        self.status.borrow().clone()
    }
}

fn walker(
    world: &Arc<Mutex<World>>,
    state: &std::path::Path,
    runtime: &tokio::runtime::Runtime,
    ignored: &[&str],
) -> (
    Walker<Fake>,
    tokio::sync::watch::Receiver<OriginStatus>,
    Clock,
) {
    let pipeline = PipelineId::new("11111111-1111-4111-8111-111111111111");
    let queue = Lineage {
        epoch: "one".to_owned(),
        last: Seq(world.lock().unwrap().purges.len() as u64),
        beginning: if state.join("index.db").exists() {
            Beginning::Continued
        } else {
            Beginning::New
        },
        pruned: BTreeMap::new(),
    };
    let index = Arc::new(Index::open(state, &queue, &[]).unwrap());
    let ignored: Vec<String> = ignored.iter().map(|&one| one.to_owned()).collect();
    let ignore = Arc::new(Ignore::new(&ignored).unwrap());
    let clock = Clock::start();
    let cookies = Cookies::new(std::path::Path::new(""));
    let inbox = Inbox::new(Arc::clone(&ignore), cookies, Duration::ZERO, clock);
    let (published, status) = tokio::sync::watch::channel(OriginStatus::default());
    let fake = Fake(Arc::clone(world));
    let name: Arc<str> = "site".into();
    let walker = Walker::new(Parts {
        storage: fake.clone(),
        settings: BucketOrigin {
            pipeline: pipeline.clone(),
            name: Arc::clone(&name),
            bucket: crate::s3::BucketSettings {
                endpoint: url::Url::parse("http://127.0.0.1:1").unwrap(),
                region: "fr-par".to_owned(),
                name: "site".to_owned(),
                prefix: String::new(),
                timeout: Duration::from_secs(1),
                keys: Arc::new(|| Err("none".to_owned())),
            },
            poll: Duration::from_mins(5),
            max_loss_percent: 50,
            ignore: ignored,
            observer: None,
        },
        ignore,
        committer: Committer {
            pipeline: pipeline.clone(),
            origin: Arc::clone(&name),
            sink: Arc::new(fake),
            index: index.origin(&pipeline, &name).unwrap(),
            inbox: Arc::new(inbox),
            runtime: runtime.handle().clone(),
            stopping: CancellationToken::new(),
        },
        clock,
        pace: Pace {
            object: Duration::ZERO,
            busy: Duration::ZERO,
            range: u64::MAX,
        },
        published,
    });
    (walker.unwrap(), status, clock)
}

const KEYS: [&str; 12] = [
    "00.html", "01.html", "02.html", "03.html", "04.html", "05.html", "06.html", "07.html",
    "08.html", "09.html", "10.html", "11.html",
];

#[test]
fn only_what_differs_is_purged_and_an_upload_of_the_same_never() {
    let mut site = Site::new(&KEYS, 1);
    assert_eq!(site.purged(), [], "a first listing purges nothing");
    {
        let mut world = site.world();
        for key in KEYS {
            world.put(key, 1, 0);
        }
        world.now_ns += 10 * SECOND;
    }
    assert!(site.list());
    assert_eq!(site.purged(), [], "the same bytes and headers");
    assert_eq!(site.status().unchanged_total, 12);
    {
        let mut world = site.world();
        world.put("01.html", 2, 0);
        world.put("03.html", 1, 7);
        world.put("05.html", 1, 0);
        world.put("09b.html", 1, 0);
        world.delete("11.html");
        world.now_ns += 10 * SECOND;
    }
    assert!(site.list());
    let purged: BTreeSet<_> = site.purged().into_iter().collect();
    let expected = [
        (Kind::Changed, "01.html"),
        (Kind::Changed, "03.html"),
        (Kind::New, "09b.html"),
        (Kind::Gone, "11.html"),
    ];
    let expected = expected.map(|(kind, key)| (kind, key.to_owned()));
    assert_eq!(purged, BTreeSet::from(expected));
    let calls = site.world().calls;
    assert!(site.list());
    assert_eq!(site.purged(), []);
    assert_eq!(site.world().calls - calls, 2, "two pages, and no headers");
}

#[test]
fn a_listing_that_lacks_a_page_or_breaks_off_makes_nothing_gone() {
    let mut site = Site::new(&KEYS, 2);
    site.world().ends_at = Some(0);
    assert!(site.list());
    assert_eq!(site.purged(), []);
    site.world().denied = true;
    assert!(!site.list());
    assert_eq!(site.purged(), []);
    {
        let mut world = site.world();
        (world.denied, world.ends_at) = (false, None);
        world.delete("10.html");
    }
    assert!(site.list());
    assert_eq!(site.purged(), [(Kind::Gone, "10.html".to_owned())]);
}

/// A bucket of 60 objects of which the first 50 are gone, and their keys.
fn emptied() -> (Site, Vec<String>) {
    let keys: Vec<String> = (0..60).map(|key| format!("{key:02}.html")).collect();
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let site = Site::new(&names, 3);
    for key in &names[..50] {
        site.world().delete(key);
    }
    (site, keys)
}

#[test]
fn a_bucket_that_is_emptied_is_an_alarm_until_it_is_accepted() {
    let (mut site, _) = emptied();
    for _ in 0..2 {
        assert!(site.list());
        assert_eq!(site.purged(), []);
        assert_eq!(site.status().held.unwrap().files, 50);
    }
    site.world().delete("55.html");
    let (answer, mut summary) = tokio::sync::oneshot::channel();
    site.walker
        .requests
        .push(crate::origin::watch::inbox::Request {
            reason: crate::origin::status::ScanReason::Request,
            accept_loss: true,
            names: None,
            answer,
        });
    assert!(site.list());
    assert_eq!(summary.try_recv().unwrap().gone, 51);
    assert_eq!(site.purged().len(), 51);
    assert!(site.status().held.is_none());
}

#[test]
fn keys_that_no_url_leads_to_are_left_out_and_counted() {
    let mut site = Site::new(&["a/", "a//b", "a/../b", "a/b", "ok.html"], 4);
    let bucket = site.status().bucket.unwrap();
    assert_eq!(bucket.refused_keys, 3);
    assert_eq!(bucket.first_refused.as_deref(), Some("a/"));
    assert_eq!(site.status().indexed_files, 2);
    site.world().put("a//b", 9, 9);
    assert!(site.list());
    assert_eq!(site.purged(), []);
}

#[test]
fn a_large_bucket_is_listed_in_several_ranges_at_once() {
    let keys: Vec<String> = (0..60).map(|key| format!("{key:02}.html")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut site = Site::new(&keys, 7);
    site.walker.pace.range = 10;
    for seen in [false, true] {
        {
            let mut world = site.world();
            world.put("00.html", u64::from(seen) + 2, 0);
            world.put("15.html", u64::from(seen) + 2, 0);
            world.put(&format!("44b{seen}.html"), 1, 0);
            world.delete(if seen { "45.html" } else { "59.html" });
            world.now_ns += 10 * SECOND;
            world.trace.clear();
            // A server that knows no ranges is listed in one.
            world.knows_no_ranges = seen;
        }
        assert!(site.list());
        let purged: BTreeSet<String> = site.purged().into_iter().map(|(_, key)| key).collect();
        let added = format!("44b{seen}.html");
        let gone = if seen { "45.html" } else { "59.html" };
        let expected = ["00.html", "15.html", &added, gone].map(str::to_owned);
        assert_eq!(purged, BTreeSet::from(expected));
        let first = |line: &&String| line.starts_with("listed after");
        let world = site.world();
        let begun: Vec<&String> = world.trace.iter().filter(first).take(4).collect();
        for (line, after) in begun.iter().zip(["", "15.html", "30.html", "45.html"]) {
            let known = format!("listed after {after:?}");
            assert_eq!(
                line.starts_with(&known),
                !seen || after.is_empty(),
                "{begun:?}"
            );
        }
    }
}

#[test]
fn a_header_that_changes_behind_the_same_second_is_not_missed() {
    let mut site = Site::new(&["a.html"], 5);
    let second = site.world().now_ns / SECOND * SECOND + 20 * SECOND;
    {
        let mut world = site.world();
        world.now_ns = second;
        world.put("a.html", 1, 0);
        world.now_ns = second + SECOND / 2 - SECOND;
    }
    assert!(site.list());
    assert_eq!(site.purged(), []);
    {
        let mut world = site.world();
        world.now_ns = second + 900_000_000;
        world.put("a.html", 1, 1);
        world.now_ns += 10 * SECOND;
    }
    assert!(site.list());
    assert_eq!(site.purged(), [(Kind::Changed, "a.html".to_owned())]);
}

/// Histories of a bucket that changes while it is listed, and whose listings fail and end early: at the end
/// the edge has what the bucket has, and nothing was purged more often than it changed.
#[test]
fn whatever_happens_while_it_is_listed_nothing_is_lost_and_nothing_needless() {
    let (mut broken, mut total) = (0, 0);
    for seed in 0..200 {
        let mut site = Site::new(&KEYS, seed);
        {
            let mut world = site.world();
            (world.wild, world.lies) = (true, seed % 2 == 0);
            world.knows_no_ranges = seed % 7 == 0;
        }
        if seed % 3 > 0 {
            site.walker.pace.range = seed % 3 * 2;
        }
        for _ in 0..12 {
            {
                let mut world = site.world();
                let end = world.rng.usize(0..8);
                world.ends_at = world.lies.then_some(end);
            }
            broken += u32::from(!site.list());
            site.read_headers();
        }
        {
            let mut world = site.world();
            (world.wild, world.ends_at) = (false, None);
            world.now_ns += 10 * SECOND;
        }
        assert!(site.list(), "seed {seed}");
        site.read_headers();
        assert!(site.list(), "seed {seed}");
        let world = site.world();
        let keys: BTreeSet<&String> = world.changes.keys().chain(world.edge.keys()).collect();
        for key in keys {
            let edge = world.edge.get(key).copied().unwrap_or(None);
            assert_eq!(edge, world.seen(key), "seed {seed}: {key} is stale");
            let purges = world.purges.iter().filter(|(_, path)| path == key).count();
            let count = |counts: &BTreeMap<String, u64>| counts.get(key).copied().unwrap_or(0);
            let (changes, doubts) = (count(&world.changes), count(&world.doubts));
            assert!(
                purges as u64 <= changes + doubts,
                "seed {seed}: {key} changed {changes} times and was purged {purges} times:\n{}",
                world.trace.join("\n")
            );
            total += purges;
        }
    }
    assert!(broken > 100, "{broken} listings broke off");
    assert!(total > 1_000, "{total} purges");
}

#[test]
fn keys_that_enter_or_leave_by_the_configuration_are_not_purged() {
    let site = Site::new(&["a.html", "b.txt"], 6);
    let Site {
        world,
        walker: old,
        _runtime: runtime,
        _state: state,
        clock,
        ..
    } = site;
    drop(old);
    let (mut walker_, status, _) = walker(&world, state.path(), &runtime, &["*.txt"]);
    walker_.list(clock.now()).unwrap();
    assert_eq!(status.borrow().indexed_files, 1);
    drop(walker_);
    let (mut walker_, status, _) = walker(&world, state.path(), &runtime, &[]);
    walker_.list(clock.now()).unwrap();
    assert_eq!(status.borrow().indexed_files, 2);
    assert_eq!(world.lock().unwrap().purges, []);
}
