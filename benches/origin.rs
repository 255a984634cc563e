//! What it costs to notice changes in large trees: the real binary on trees made here, each beside
//! the plainest program that does the same part of the work.
//!
//! `cargo bench --bench origin -- [CASE...] [--files N] [--keep DIR]`
//!
//! Cases: restart, rewrite, watches, overflow, bucket; all of them unless named. `--files` makes every tree
//! that large. `--keep` makes the trees in DIR and finds them there the next time.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measuring program speaks, trusts itself, and reads the clock"
)]

#[path = "origin/bucket.rs"]
mod bucket;
#[path = "origin/daemon.rs"]
mod daemon;
#[path = "origin/overflow.rs"]
mod overflow;
#[path = "origin/report.rs"]
mod report;
#[path = "origin/restart.rs"]
mod restart;
#[path = "origin/rewrite.rs"]
mod rewrite;
#[path = "origin/storage.rs"]
mod storage;
#[path = "origin/tree.rs"]
mod tree;
#[path = "origin/watches.rs"]
mod watches;

use std::path::PathBuf;

use report::Report;

/// Where the trees are, and how large.
struct Options {
    home: PathBuf,
    files: Option<u64>,
}

impl Options {
    fn files(&self, default: u64) -> u64 {
        self.files.unwrap_or(default)
    }

    /// An empty directory for a daemon and what it writes.
    fn scratch(&self, name: &str) -> PathBuf {
        let path = self.home.join(name);
        if path.exists() {
            std::fs::remove_dir_all(&path).unwrap();
        }
        std::fs::create_dir_all(&path).unwrap();
        path
    }
}

type Case = fn(&Options, &mut Report);

const CASES: [(&str, Case); 5] = [
    ("restart", restart::run),
    ("rewrite", rewrite::run),
    ("watches", watches::run),
    ("overflow", overflow::run),
    ("bucket", bucket::run),
];

fn main() {
    let mut wanted = Vec::new();
    let mut files = None;
    let mut keep = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // Cargo's own.
            "--bench" => {}
            "--files" => {
                let number = arguments.next().expect("--files takes a number");
                files = Some(number.parse().expect("--files takes a number"));
            }
            "--keep" => {
                keep = Some(PathBuf::from(
                    arguments.next().expect("--keep takes a directory"),
                ));
            }
            name => {
                let case = CASES.iter().find(|(known, _)| *known == name);
                wanted.push(*case.unwrap_or_else(|| panic!("there is no case {name}")));
            }
        }
    }
    if wanted.is_empty() {
        wanted = CASES.to_vec();
    }
    let temporary = keep
        .is_none()
        .then(|| tempfile::tempdir().expect("a temporary directory"));
    let home = keep
        .or_else(|| temporary.as_ref().map(|dir| dir.path().to_owned()))
        .unwrap();
    std::fs::create_dir_all(&home).unwrap();
    let options = Options {
        home: home.canonicalize().unwrap(),
        files,
    };
    let mut report = Report::default();
    for (name, run) in wanted {
        println!("{name} ...");
        run(&options, &mut report);
    }
    println!("\n{report}");
}
