//! Links that lead out of the origin: a change of the target is one of the link.

use std::fs;

use crate::bench::{Bench, sh, until};

async fn purges_are(bench: &Bench, expected: &[&str]) {
    until(&format!("purged are {expected:?}"), async || {
        (bench.purges() == expected).then_some(())
    })
    .await;
}

/// No scan helped.
async fn by_itself(bench: &Bench) {
    let scans = bench.of_origin().await["scans"].clone();
    let helped = ["rescan", "request", "lost_watch"].map(|scan| scans[scan].as_u64());
    assert_eq!(helped, [Some(0); 3], "{scans}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_behind_a_link_is_changed_replaced_removed_and_comes_back() {
    let mut bench = Bench::new().await;
    sh(
        &bench,
        "mkdir shared; echo 1 > shared/logo.css; ln -s ../shared/logo.css site/logo.css",
    );
    bench.start().await;
    sh(&bench, "echo 2 > shared/logo.css");
    purges_are(&bench, &["/logo.css"]).await;
    sh(
        &bench,
        "echo 3 > shared/next; mv shared/next shared/logo.css",
    );
    purges_are(&bench, &["/logo.css"; 2]).await;
    sh(&bench, "rm shared/logo.css");
    purges_are(&bench, &["/logo.css"; 3]).await;
    sh(&bench, "echo 4 > shared/logo.css");
    purges_are(&bench, &["/logo.css"; 4]).await;
    by_itself(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_whose_directory_is_missing_or_replaced_is_found() {
    let mut bench = Bench::new().await;
    sh(
        &bench,
        "ln -s ../shared/deep/logo.css site/logo.css; ln -s ../shared/deep/media site/media",
    );
    bench.write("a.css", "one");
    bench.start().await;
    // The directory appears, and with it what two links lead to.
    sh(
        &bench,
        "mkdir -p next/media; echo 1 > next/logo.css; echo 1 > next/media/m.css; mkdir shared; mv next shared/deep",
    );
    purges_are(&bench, &["/logo.css", "/media/m.css"]).await;
    // From now on it is watched.
    sh(&bench, "echo 2 > shared/deep/media/m.css");
    purges_are(&bench, &["/logo.css", "/media/m.css", "/media/m.css"]).await;
    // An ancestor is replaced: one file differs.
    sh(
        &bench,
        "cp -a shared shared2; echo 3 > shared2/deep/logo.css; mv shared old; mv shared2 shared",
    );
    purges_are(
        &bench,
        &["/logo.css", "/logo.css", "/media/m.css", "/media/m.css"],
    )
    .await;
    sh(
        &bench,
        "echo 4 > shared/deep/media/m.css; echo 5 > old/deep/media/m.css",
    );
    purges_are(
        &bench,
        &[
            "/logo.css",
            "/logo.css",
            "/media/m.css",
            "/media/m.css",
            "/media/m.css",
        ],
    )
    .await;
    bench.rested().await;
    assert_eq!(bench.purges().len(), 5);
    by_itself(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_leads_over_a_link_outside_follows_its_swap() {
    let mut bench = Bench::new().await;
    for release in ["1", "2"] {
        for file in ["same", "own"] {
            let content = if file == "own" { release } else { "same" };
            let path = bench.path(&format!("releases/{release}/assets/{file}.css"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
    sh(
        &bench,
        "ln -s releases/1 current; ln -s ../current/assets site/assets; ln -s ../current/assets/own.css site/own.css",
    );
    bench.start().await;
    sh(&bench, "ln -s releases/2 new; mv -T new current");
    purges_are(&bench, &["/assets/own.css", "/own.css"]).await;
    fs::write(bench.path("releases/2/assets/same.css"), "2").unwrap();
    purges_are(&bench, &["/assets/own.css", "/assets/same.css", "/own.css"]).await;
    by_itself(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_leads_nowhere_yet_is_found_also_where_it_must_stay_in_the_origin() {
    let mut bench = Bench::new().await;
    bench.origin = "follow_symlinks = \"root\"".to_owned();
    sh(
        &bench,
        "mkdir site/.data outside; echo 1 > outside/b.css
         ln -s .data/v/a.css site/a.css; ln -s ../outside/b.css site/b.css",
    );
    bench.start().await;
    sh(
        &bench,
        "mkdir site/.data/v; echo 1 > site/.data/v/a.css; echo 2 > outside/b.css",
    );
    purges_are(&bench, &["/a.css"]).await;
    sh(&bench, "echo 2 > site/.data/v/a.css");
    purges_are(&bench, &["/a.css"; 2]).await;
    by_itself(&bench).await;
}
