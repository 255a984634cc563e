//! Looks at named objects, in the same world as the listings.

use super::*;
use crate::core::delivery::Names;
use crate::origin::status::{ScanReason, ScanSummary};
use crate::origin::watch::inbox::Request;

fn set(names: &[&str]) -> BTreeSet<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

fn objects(names: &[&str]) -> Names {
    Names {
        objects: set(names),
        ..Names::default()
    }
}

fn paths(names: &[&str]) -> Names {
    Names {
        paths: set(names),
        ..Names::default()
    }
}

impl Site {
    /// One look; what it found, or `None` where the bucket is to be listed.
    fn look(&mut self, names: Names) -> Option<ScanSummary> {
        self.world().now_ns += SECOND;
        let (answer, mut summary) = tokio::sync::oneshot::channel();
        self.walker.looks.push(Request {
            reason: ScanReason::Webhook,
            accept_loss: false,
            names: Some(Arc::new(names)),
            answer,
        });
        self.walker.look_now(self.clock.now()).unwrap();
        self.walker.report.publish();
        summary.try_recv().ok()
    }

    fn listings(&self) -> usize {
        let world = self.world();
        let listed = world.trace.iter().filter(|line| line.starts_with("listed"));
        listed.count()
    }
}

#[test]
fn of_what_is_named_only_what_differs_is_purged_and_nothing_is_listed() {
    let mut site = Site::new(&KEYS, 1);
    let listings = site.listings();
    {
        let mut world = site.world();
        world.put("03.html", 2, 0);
        world.put("05.html", 1, 1);
        world.put("06.html", 1, 0);
        world.put("new.html", 1, 0);
        world.delete("07.html");
        world.calls = 0;
    }
    let names = [
        "03.html", "04.html", "05.html", "06.html", "07.html", "new.html",
    ];
    let found = site.look(objects(&names)).unwrap();
    assert_eq!(
        (found.files, found.new, found.changed, found.gone),
        (6, 1, 2, 1)
    );
    assert_eq!(site.world().calls, 6);
    let mut purged = site.purged();
    purged.sort();
    let expected = [
        (Kind::New, "new.html"),
        (Kind::Changed, "03.html"),
        (Kind::Changed, "05.html"),
        (Kind::Gone, "07.html"),
    ];
    let mut expected = expected.map(|(kind, path)| (kind, path.to_owned()));
    expected.sort();
    assert_eq!(purged, expected);
    let look = site.status().bucket.unwrap().last_look.unwrap();
    assert_eq!((look.objects, look.first.as_str()), (6, "03.html"));

    // Named again, at once and when headers are known.
    for _ in 0..2 {
        site.look(objects(&names)).unwrap();
        assert_eq!(site.purged(), []);
        site.read_headers();
    }
    assert_eq!(site.listings(), listings);
    // And a listing has nothing to add.
    assert!(site.list());
    assert_eq!(site.purged(), []);
}

#[test]
fn headers_that_change_twice_in_a_second_are_purged_twice() {
    let mut site = Site::new(&KEYS, 1);
    for headers in 1..4 {
        let mut world = site.world();
        // In the second of the first write.
        world.put("03.html", 2, headers);
        world.now_ns -= SECOND;
        drop(world);
        site.look(objects(&["03.html"])).unwrap();
        assert_eq!(site.purged(), [(Kind::Changed, "03.html".to_owned())]);
    }
    site.world().put("03.html", 2, 9);
    site.read_headers();
    assert_eq!(site.purged(), [(Kind::Changed, "03.html".to_owned())]);
    site.read_headers();
    assert_eq!(site.purged(), []);
    assert!(site.walker.unsettled.is_empty());
}

#[test]
fn what_may_be_a_directory_or_can_not_be_asked_for_is_listed() {
    let mut site = Site::new(&KEYS, 1);
    site.world().put("blog/a.html", 1, 0);
    // An object for certain, that is not there and never was.
    assert!(site.look(objects(&["blog"])).is_some());
    assert_eq!(site.purged(), []);
    assert!(site.look(paths(&["03.html", "blog"])).is_none());
    assert!(site.list());
    assert_eq!(site.purged(), [(Kind::New, "blog/a.html".to_owned())]);

    site.world().put("03.html", 2, 0);
    site.world().denied = true;
    assert!(site.look(objects(&["03.html"])).is_none());
    site.world().denied = false;
    assert!(site.list());
    assert_eq!(site.purged(), [(Kind::Changed, "03.html".to_owned())]);
}

#[test]
fn a_key_that_is_left_out_is_not_looked_at() {
    let mut site = Site::new(&KEYS, 1);
    site.world().calls = 0;
    let names = ["folder/", "a//b", ".git/config", "~.html~"];
    let found = site.look(objects(&names)).unwrap();
    assert!(found.files <= 1, "{found:?}");
    assert!(site.look(paths(&[".git/config"])).is_some());
    assert_eq!(site.purged(), []);
}

#[test]
fn a_sudden_loss_is_held_however_it_is_named() {
    let (mut site, keys) = emptied();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for _ in 0..2 {
        let found = site.look(objects(&keys)).unwrap();
        assert!(found.held && found.gone == 0, "{found:?}");
        assert_eq!(site.purged(), []);
        assert_eq!(site.status().held.unwrap().files, 50);
    }
    for key in &keys[..50] {
        site.world().put(key, 1, 0);
    }
    let found = site.look(objects(&keys)).unwrap();
    assert!(!found.held, "{found:?}");
    assert!(site.list());
    // They were missing, so that an edge may have kept the 404.
    assert_eq!(site.purged().len(), 50);
    assert!(site.status().held.is_none());
}

#[test]
fn whatever_happens_a_look_at_what_happened_leaves_nothing_stale_and_nothing_needless() {
    let (mut total, mut widened) = (0, 0);
    for seed in 0..100 {
        let mut site = Site::new(&KEYS, seed);
        for _ in 0..15 {
            let mut touched = BTreeSet::new();
            let happens = site.world().rng.u8(1..4);
            for _ in 0..happens {
                let mut world = site.world();
                let at = world.trace.len();
                world.happen();
                let what = world.trace.get(at).and_then(|line| line.split(' ').nth(1));
                touched.extend(what.map(|key| key.trim_end_matches(':').to_owned()));
            }
            let names: Vec<&str> = touched.iter().map(String::as_str).collect();
            site.world().wild = seed % 2 == 0;
            let looked = site.look(objects(&names));
            site.world().wild = false;
            if looked.is_none() {
                widened += 1;
                assert!(site.list(), "seed {seed}");
            }
            if seed % 3 == 0 {
                site.read_headers();
            }
        }
        site.read_headers();
        let world = site.world();
        for key in world.changes.keys() {
            let edge = world.edge.get(key).copied().unwrap_or(None);
            let trace = world.trace.join("\n");
            assert_eq!(
                edge,
                world.seen(key),
                "seed {seed}: {key} is stale:\n{trace}"
            );
            let count = |counts: &BTreeMap<String, u64>| counts.get(key).copied().unwrap_or(0);
            let most = count(&world.changes) + count(&world.doubts);
            let purged = world.purges.iter().filter(|(_, path)| path == key).count();
            assert!(
                purged as u64 <= most,
                "seed {seed}: {key} was purged {purged} times:\n{trace}"
            );
            total += purged;
        }
    }
    assert!(
        total > 300 && widened > 10,
        "{total} purges, {widened} listings"
    );
}
