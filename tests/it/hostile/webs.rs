//! Links to directories that lead to each other: a directory then has more names than anybody can keep
//! fresh. Those with the fewest links are kept, and it is said of the others.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::bench::{Bench, sh, until};

/// A start, and what follows on a change, take no longer than this: a web of links took for ever.
const SOON: Duration = Duration::from_secs(20);
/// Names of one directory that lead through more than one link.
const NAMES: usize = 64;

/// Packages of one page, each with links to some of the others.
fn packages(site: &Path, numbers: std::ops::Range<usize>, leads: impl Fn(usize, usize) -> bool) {
    for package in numbers.clone() {
        let modules = site.join(format!("packages/p{package}/node_modules"));
        fs::create_dir_all(&modules).unwrap();
        fs::write(site.join(format!("packages/p{package}/page.js")), "one").unwrap();
        for other in numbers.clone().filter(|other| leads(package, *other)) {
            symlink(format!("../../p{other}"), modules.join(format!("p{other}"))).unwrap();
        }
    }
}

/// It does next to nothing any more: below a twentieth of a core, measured over a second or more.
async fn idle(bench: &Bench) {
    let (mut since, mut before) = (Instant::now(), bench.processor_time());
    until("the daemon is idle", async || {
        let took = since.elapsed();
        if took < Duration::from_secs(1) {
            return None;
        }
        let busy = bench.processor_time().saturating_sub(before);
        (since, before) = (Instant::now(), bench.processor_time());
        (busy * 20 < took).then_some(())
    })
    .await;
}

/// A whole life of a web: a start, the alarm, a change of one page, rest.
async fn live(count: usize, leads: impl Fn(usize, usize) -> bool) {
    let mut bench = Bench::new().await;
    packages(&bench.site(), 0..count, &leads);
    let began = Instant::now();
    bench.start().await;
    assert!(
        began.elapsed() < SOON,
        "{count}: ready after {:?}",
        began.elapsed()
    );
    let said = bench.alarm("links").await;
    assert!(said.contains("node_modules/p"), "{said}");
    assert!(
        said.contains("ignore") && said.contains("follow_symlinks"),
        "{said}"
    );
    assert!(
        bench.of_origin().await["unfollowed_directories"]
            .as_u64()
            .unwrap()
            > 0
    );

    let began = Instant::now();
    bench.write("packages/p1/page.js", "two");
    bench.rested().await;
    assert!(
        began.elapsed() < SOON,
        "{count}: fresh after {:?}",
        began.elapsed()
    );
    let purges = bench.purges();
    let linked: Vec<String> = (0..count)
        .filter(|package| *package != 1 && leads(*package, 1))
        .map(|package| format!("/packages/p{package}/node_modules/p1/page.js"))
        .collect();
    assert!(
        purges.contains(&"/packages/p1/page.js".to_owned()),
        "{purges:?}"
    );
    for name in &linked {
        assert!(purges.contains(name), "{name}: {purges:?}");
    }
    assert!(
        purges.iter().all(|asset| asset.ends_with("/p1/page.js")),
        "{purges:?}"
    );
    assert!(
        purges.len() <= 1 + linked.len() + NAMES,
        "{} assets",
        purges.len()
    );
    idle(&bench).await;

    // The same names, however often they are looked for.
    for _ in 0..2 {
        let scanned = bench.run(&["scan", "www", "--apply"]).await;
        assert!(scanned.status.success(), "{scanned:?}");
    }
    assert_eq!(bench.terminate().await, Some(0));
    bench.start().await;
    bench.rested().await;
    bench.alarm("links").await;
    assert_eq!(bench.purges(), purges);
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_that_all_link_to_each_other_are_ready_soon_and_purge_few_names() {
    for count in [8, 11, 24] {
        live(count, |package, other| package != other).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_that_link_on_and_on_are_ready_soon_and_purge_few_names() {
    for count in [13, 16, 32] {
        live(count, |package, other| package > other).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_not_followed_any_more_are_not_gone_and_are_back_with_the_room() {
    let mut bench = Bench::new().await;
    packages(&bench.site(), 0..4, |package, other| package != other);
    bench.start().await;
    bench.no_alarm().await;
    let longest = "packages/p0/node_modules/p1/node_modules/p2/node_modules/p3/page.js";
    bench.write("packages/p3/page.js", "two");
    bench.purged(&format!("/{longest}")).await;
    bench.rested().await;
    let before = bench.purges();

    packages(&bench.path("more"), 4..10, |package, other| {
        package != other
    });
    for old in 0..4 {
        for new in 4..10 {
            let (to, at) = (format!("../../p{old}"), format!("p{old}"));
            let modules = bench.path(&format!("more/packages/p{new}/node_modules"));
            symlink(to, modules.join(at)).unwrap();
        }
    }
    sh(
        &bench,
        "mv more/packages/* site/packages/; cd site/packages; for old in 0 1 2 3; do for new in 4 5 6 7 8 9; do ln -s ../../p$new p$old/node_modules/p$new; done; done",
    );
    let said = bench.alarm("links").await;
    assert!(said.contains("10 directories"), "{said}");
    bench.rested().await;
    // What is new is purged; nothing of what was there is, though some of it is not followed any more.
    let purges = bench.purges();
    let new = |asset: &&String| (4..10).any(|new| asset.contains(&format!("/p{new}/")));
    let old: Vec<_> = purges.iter().filter(|asset| !new(asset)).cloned().collect();
    assert_eq!(old, before);
    let left = "packages/p9/node_modules/p8/node_modules/p3/page.js";
    let told = bench
        .run(&["explain", bench.site().join(left).to_str().unwrap()])
        .await;
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(
        told.contains("packages/p9/node_modules/p8/node_modules/p3, which is not followed"),
        "{told}"
    );

    sh(
        &bench,
        "cd site/packages; rm -rf p[4-9] p?/node_modules/p[4-9]",
    );
    bench.no_alarm().await;
    bench.rested().await;
    let many = bench.purges().len();
    bench.write("packages/p3/page.js", "three");
    bench.purged(&format!("/{longest}")).await;
    bench.rested().await;
    assert_eq!(bench.purges().len(), many + 1 + 3 + 6 + 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_in_what_many_links_lead_to_and_links_behind_links_are_followed_as_ever() {
    let mut bench = Bench::new().await;
    sh(
        &bench,
        "cd site; mkdir -p themes/plain/css lib/fonts tenants releases/5/app shared/media/v3 docs/3.2
         echo 1 > themes/plain/css/a.css; echo 1 > lib/fonts/f.css
         ln -s ../../lib themes/plain/lib
         for n in $(seq 3000); do ln -s ../themes/plain tenants/$n; done
         echo 1 > releases/5/app/index.js; echo 1 > shared/media/v3/m.css
         ln -s releases/5 current; ln -s ../../shared/media releases/5/media; ln -s v3 shared/media/latest
         echo 1 > docs/3.2/d.css; for name in latest stable 3; do ln -s 3.2 docs/$name; done
         mkdir -p node_modules/.pnpm node_modules/store/a-1/node_modules/a node_modules/store/b-1/node_modules/b
         echo 1 > node_modules/store/b-1/node_modules/b/b.js
         ln -s store/a-1/node_modules/a node_modules/a; ln -s ../../b-1/node_modules/b node_modules/store/a-1/node_modules/b
         ln -s store/b-1/node_modules/b node_modules/b",
    );
    bench.start().await;
    bench.no_alarm().await;
    sh(
        &bench,
        "cd site; echo 2 > shared/media/v3/m.css; echo 2 > docs/3.2/d.css; echo 2 > node_modules/store/b-1/node_modules/b/b.js",
    );
    bench.rested().await;
    let mut expected = vec!["/shared/media/v3/m.css", "/shared/media/latest/m.css"];
    expected.extend([
        "/releases/5/media/v3/m.css",
        "/releases/5/media/latest/m.css",
    ]);
    expected.extend(["/current/media/v3/m.css", "/current/media/latest/m.css"]);
    expected.extend([
        "/docs/3.2/d.css",
        "/docs/latest/d.css",
        "/docs/stable/d.css",
        "/docs/3/d.css",
    ]);
    expected.extend([
        "/node_modules/b/b.js",
        "/node_modules/store/a-1/node_modules/b/b.js",
    ]);
    expected.push("/node_modules/store/b-1/node_modules/b/b.js");
    expected.sort_unstable();
    assert_eq!(bench.purges(), expected);
    // A new link behind a link, without anything else.
    sh(
        &bench,
        "cd site; mkdir next; echo 1 > next/n.css; ln -s ../../next releases/5/next",
    );
    for name in [
        "/next/n.css",
        "/releases/5/next/n.css",
        "/current/next/n.css",
    ] {
        bench.purged(name).await;
    }
    bench.rested().await;
    bench.write("lib/fonts/f.css", "2");
    bench.rested().await;
    // So many that they are one.
    assert_eq!(
        bench.purges().iter().filter(|asset| *asset == "*").count(),
        1
    );
    bench.no_alarm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_the_root_itself_is_followed_once() {
    let mut bench = Bench::new().await;
    bench.write("pool/a.css", "one");
    bench.write("pool/b.css", "one");
    sh(&bench, "ln -s . site/debian");
    bench.start().await;
    bench.write("pool/a.css", "two");
    bench.rested().await;
    assert_eq!(bench.purges(), ["/debian/pool/a.css", "/pool/a.css"]);
    // Also what changes while it does not run.
    assert_eq!(bench.terminate().await, Some(0));
    bench.write("pool/b.css", "two");
    bench.start().await;
    bench.rested().await;
    let four = [
        "/debian/pool/a.css",
        "/debian/pool/b.css",
        "/pool/a.css",
        "/pool/b.css",
    ];
    assert_eq!(bench.purges(), four);
    // And a link of that sort that is made.
    sh(&bench, "ln -s .. site/pool/up");
    bench.purged("/pool/up/pool/a.css").await;
    bench.rested().await;
    bench.no_alarm().await;
    bench.write("pool/b.css", "three");
    bench.rested().await;
    let b: Vec<_> = bench
        .purges()
        .into_iter()
        .filter(|asset| asset.ends_with("b.css"))
        .collect();
    let names = [
        "/debian/pool/b.css",
        "/debian/pool/b.css",
        "/pool/b.css",
        "/pool/b.css",
    ];
    assert_eq!(b[..4], names);
    assert!(b.contains(&"/pool/up/pool/b.css".to_owned()), "{b:?}");
}
