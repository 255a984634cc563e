//! Many files written anew with the bytes that they had: nothing is purged, however busy the machine is.
//!
//! `FIELD_RUNS=10` for more rounds.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::quick;
use crate::bench::{Bench, sh};
use crate::hostile::machine::has;

const FILES: usize = 5_000;

/// Keeps the processors busy while it lives.
struct Load(Arc<AtomicBool>);

impl Load {
    fn new() -> Self {
        let on = Arc::new(AtomicBool::new(true));
        for _ in 0..2 {
            let on = Arc::clone(&on);
            std::thread::spawn(move || {
                let mut work = 1_u64;
                while on.load(Ordering::Relaxed) {
                    work = std::hint::black_box(work.wrapping_mul(3) + 1);
                }
            });
        }
        Self(on)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn site(bench: &Bench, name: &str, text: &str, files: usize) {
    for number in 0..files {
        let path = bench.path(&format!("{name}/{}/{number}.css", number % 25));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // From a few bytes to more than one read.
        let lines = text.repeat(1 + number % 200);
        fs::write(path, format!("{number}\n{lines}")).unwrap();
    }
}

/// Name, what it needs, and how it is done: `copy` has the same files.
const WAYS: [(&str, &str, &str); 13] = [
    (
        "git checkout",
        "git",
        "for turn in 1 2 3; do find site -name '*.css' -exec touch {} +; git -C site checkout -q -f; done",
    ),
    ("tar", "tar", "tar -C site -xf copy.tar"),
    (
        "tar in place",
        "tar",
        "tar -C site --overwrite -xf copy.tar",
    ),
    ("cp -r", "cp", "cp -r copy/. site/"),
    ("cp -a", "cp", "cp -a copy/. site/"),
    (
        "cp --remove-destination",
        "cp",
        "cp -r --remove-destination copy/. site/",
    ),
    ("rsync", "rsync", "rsync -aI copy/ site/"),
    (
        "rsync --inplace",
        "rsync",
        "rsync -aI --inplace copy/ site/",
    ),
    (
        "rsync -c",
        "rsync",
        "find site -name '*.css' -exec touch {} +; rsync -ac copy/ site/",
    ),
    (
        "sed -i",
        "sed",
        "find site -name '*.css' -exec sed -i 's/a/a/' {} +",
    ),
    (
        "python",
        "python3",
        "cd site; python3 -c '
import pathlib
for path in pathlib.Path(\".\").rglob(\"*.css\"):
    text = path.read_text()
    with open(path, \"w\") as file:
        for line in text.splitlines(True): file.write(line)'",
    ),
    ("unzip", "unzip", "unzip -q -o copy.zip -d site"),
    (
        "install",
        "install",
        "cd copy; for d in *; do install -m 644 $d/* ../site/$d/; done",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_files_that_are_written_anew_with_the_same_bytes_purge_nothing() {
    if !WAYS.iter().all(|(_, tool, _)| has(tool)) || !has("zip") {
        return;
    }
    let mut bench = quick("debounce = \"50ms\"", "").await;
    site(&bench, "site", "a { color: red }\n", FILES);
    sh(
        &bench,
        "cp -r site copy; tar -C copy -cf copy.tar .; (cd copy; zip -q -r ../copy.zip .)
         cd site; git init -q; git add -A
         git -c user.name=t -c user.email=t@example.com commit -q -m one",
    );
    bench.start().await;
    let _load = Load::new();
    let runs = std::env::var("FIELD_RUNS").map_or(1, |runs| runs.parse().unwrap());
    for run in 0..runs {
        for (name, _, script) in WAYS {
            sh(&bench, script);
            // Nothing writes any more: there is nothing to be waited for.
            let waited = bench.run(&["wait", "www", "--timeout", "20s"]).await;
            assert!(waited.status.success(), "{name}, run {run}: {waited:?}");
            let purges = bench.purges();
            assert!(purges.is_empty(), "{name}, run {run}: {purges:?}");
        }
    }
}

/// Other bytes, written in the ways that leave a file in pieces for a moment.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_written_anew_with_other_bytes_are_purged_once_and_not_in_pieces() {
    if !has("git") || !has("python3") {
        return;
    }
    let mut bench = quick(
        "debounce = \"20ms\"\nall_above = \"never\"\nall_after = \"never\"",
        "",
    )
    .await;
    "requests_per_second = 500\nburst = 500\nmax_in_flight = 500".clone_into(&mut bench.scaleway);
    let names = ["one", "two", "three", "four"];
    for name in names {
        site(&bench, name, &format!("{name} {name}\n"), 400);
    }
    sh(
        &bench,
        "cp -r one/. site/; cd site; git init -q; git config user.name t
         git config user.email t@example.com; git add -A; git commit -q -m one; git tag one
         cp -r ../two/. .; git commit -q -a -m two; git tag two; git checkout -q one",
    );
    bench.start().await;
    let _load = Load::new();
    let ways = [
        "git -C site checkout -q two",
        "cp -r three/. site/",
        "python3 -c '
import pathlib
for path in pathlib.Path(\"four\").rglob(\"*.css\"):
    text = path.read_text()
    with open(pathlib.Path(\"site\") / path.relative_to(\"four\"), \"w\") as file:
        for part in range(0, len(text), 50):
            file.write(text[part:part + 50]); file.flush()'",
    ];
    for (nth, way) in ways.into_iter().enumerate() {
        sh(&bench, way);
        bench.rested().await;
        let purges = bench.purges();
        let mut once = purges.clone();
        once.dedup();
        assert_eq!(once.len(), 400, "{way}");
        assert_eq!(purges.len(), 400 * (nth + 1), "{way}: in pieces");
    }
}
