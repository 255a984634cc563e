//! Filesystem images whose times, inodes and sizes are all the same, and whose bytes are not.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{fresh_after_wait, page, pages, visit};
use crate::bench::Bench;
use crate::hostile::machine::{Mount, has, may_mount};

const KINDS: [(&str, &str); 2] = [("erofs", "mkfs.erofs"), ("squashfs", "mksquashfs")];

/// An image of a tree of pages, one of which has a text of its own.
fn image(bench: &Bench, kind: &str, name: &str, own: &str) -> PathBuf {
    let tree = bench.path(&format!("tree-{name}"));
    pages(&tree, 0..8, "the same");
    fs::write(tree.join("d1/page-5.html"), own).unwrap();
    let image = bench.path(&format!("{name}.{kind}"));
    let mut tool;
    if kind == "erofs" {
        tool = Command::new("mkfs.erofs");
        tool.args(["-T1700000000", "--all-root"])
            .args([&image, &tree]);
    } else {
        tool = Command::new("mksquashfs");
        let times = ["-mkfs-time", "1700000000", "-all-time", "1700000000"];
        tool.args([&tree, &image])
            .args(["-all-root", "-quiet"])
            .args(times);
    }
    let made = tool.output().unwrap();
    assert!(made.status.success(), "{made:?}");
    image
}

fn mount(bench: &Bench, image: &Path, at: &str) -> Mount {
    let at = bench.path(at);
    fs::create_dir_all(&at).unwrap();
    Mount::new(&["-o", "loop,ro", image.to_str().unwrap()], &at).unwrap()
}

/// What can be made and mounted here: a bench, and two images.
async fn benches() -> Vec<(Bench, [PathBuf; 2])> {
    let mut benches = Vec::new();
    if !may_mount() {
        return benches;
    }
    for (kind, tool) in KINDS {
        if !has(tool) {
            continue;
        }
        let bench = Bench::new().await;
        let images = ["one", "two"].map(|own| image(&bench, kind, own, own));
        benches.push((bench, images));
    }
    benches
}

fn urls() -> Vec<String> {
    (0..8).map(page).collect()
}

/// Only the page that differs was purged, and the edge has it.
async fn only_what_differs(bench: &Bench, times: usize) {
    fresh_after_wait(bench, &urls()).await;
    assert_eq!(bench.purges(), vec!["/d1/page-5.html"; times]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_swapped_between_mounted_images_purges_what_differs() {
    for (mut bench, images) in benches().await {
        let mounts = [
            mount(&bench, &images[0], "m1"),
            mount(&bench, &images[1], "m2"),
        ];
        fs::remove_dir(bench.site()).unwrap();
        symlink("m1", bench.site()).unwrap();
        bench.start().await;
        visit(&bench, &urls()).await;
        for (times, to) in ["m2", "m1", "m2"].into_iter().enumerate() {
            symlink(to, bench.path("next")).unwrap();
            fs::rename(bench.path("next"), bench.site()).unwrap();
            only_what_differs(&bench, times + 1).await;
        }
        bench.kill().await;
        for mount in mounts {
            mount.off().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_mounted_over_the_other_purges_what_differs_and_again_when_it_goes() {
    for (mut bench, images) in benches().await {
        let below = mount(&bench, &images[0], "site");
        bench.start().await;
        visit(&bench, &urls()).await;
        let over = mount(&bench, &images[1], "site");
        only_what_differs(&bench, 1).await;
        over.off().await;
        only_what_differs(&bench, 2).await;
        bench.kill().await;
        below.off().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_takes_the_place_of_the_other_over_a_restart_purges_what_differs() {
    for (mut bench, images) in benches().await {
        let first = mount(&bench, &images[0], "site");
        bench.start().await;
        visit(&bench, &urls()).await;
        assert_eq!(bench.terminate().await, Some(0));
        first.off().await;
        let second = mount(&bench, &images[1], "site");
        bench.start().await;
        only_what_differs(&bench, 1).await;
        bench.kill().await;
        second.off().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_the_same_bytes_purges_nothing() {
    for (mut bench, images) in benches().await {
        let copy = bench.path("copy");
        fs::copy(&images[0], &copy).unwrap();
        let below = mount(&bench, &images[0], "site");
        bench.start().await;
        let over = mount(&bench, &copy, "site");
        only_what_differs(&bench, 0).await;
        bench.kill().await;
        over.off().await;
        below.off().await;
    }
}
