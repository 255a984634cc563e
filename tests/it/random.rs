//! Random changes, random kills: nothing is lost, and nothing is purged that nobody touched.
//!
//! `RANDOM_SEED=k` replays one seed; the operations are printed where it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::bench::Bench;

const SEEDS: std::ops::Range<u64> = 0..3;
/// Kills of each seed.
const KILLS: usize = 10;
/// Operations between two kills.
const OPERATIONS: usize = 120;

/// What a web server would serve: the bytes of every path, or that it may not be read.
type Served = BTreeMap<String, Option<Vec<u8>>>;

/// The model: a walk of its own that knows nothing of edgepurge.
fn served(root: &Path) -> Served {
    fn walk(path: &Path, name: &str, open: bool, seen: &mut Vec<PathBuf>, served: &mut Served) {
        let Ok(metadata) = fs::metadata(path) else {
            return;
        };
        let mode = metadata.permissions().mode();
        if metadata.is_file() {
            let readable = open && mode & 0o004 != 0;
            served.insert(name.to_owned(), readable.then(|| fs::read(path).unwrap()));
        } else if metadata.is_dir() {
            let real = fs::canonicalize(path).unwrap();
            if seen.contains(&real) {
                return;
            }
            seen.push(real);
            for entry in fs::read_dir(path).unwrap() {
                let entry = entry.unwrap();
                let child = format!("{name}/{}", entry.file_name().to_str().unwrap());
                walk(
                    &entry.path(),
                    &child,
                    open && mode & 0o001 != 0,
                    seen,
                    served,
                );
            }
            seen.pop();
        }
    }
    let mut found = Served::new();
    walk(root, "", true, &mut Vec::new(), &mut found);
    found
}

struct Operations {
    rng: fastrand::Rng,
    root: PathBuf,
    trace: String,
}

impl Operations {
    fn name(&mut self) -> String {
        let directory = ["", "a/", "a/b/", "c/", "c/d/e/"][self.rng.usize(0..5)];
        format!("{directory}{}.css", self.rng.u32(0..12))
    }

    fn directory(&mut self) -> &'static str {
        ["a", "a/b", "c", "c/d", "c/d/e"][self.rng.usize(0..5)]
    }

    /// One operation; whether it worked is all the same.
    fn step(&mut self) {
        let (name, other) = (self.name(), self.name());
        let (directory, another) = (self.directory(), self.directory());
        let (path, onto) = (self.root.join(&name), self.root.join(&other));
        let (dir, dir_onto) = (self.root.join(directory), self.root.join(another));
        let content = format!("{}", self.rng.u32(0..6));
        let parent = path.parent().unwrap().to_owned();
        let (what, _) = match self.rng.u32(0..100) {
            0..=34 => (
                "write",
                fs::create_dir_all(&parent).and_then(|()| fs::write(&path, &content)),
            ),
            35..=44 => ("append", append(&path, &content)),
            45..=49 => ("truncate", fs::File::create(&path).map(drop)),
            50..=59 => (
                "replace",
                fs::create_dir_all(&parent).and_then(|()| {
                    let temporary = parent.join(".new.tmp");
                    fs::write(&temporary, &content)?;
                    fs::rename(&temporary, &path)
                }),
            ),
            60..=65 => ("rename", fs::rename(&path, &onto)),
            66..=69 => ("rename directory", fs::rename(&dir, &dir_onto)),
            70..=73 => ("hard link", fs::hard_link(&path, &onto)),
            74..=76 => ("link", symlink(&path, &onto)),
            77..=78 => ("link directory", symlink(&dir, self.root.join("linked"))),
            79 => (
                "unlink directory",
                fs::remove_file(self.root.join("linked")),
            ),
            80..=85 => ("remove", fs::remove_file(&path)),
            86..=87 => ("remove all", fs::remove_dir_all(&dir)),
            88..=90 => ("close", mode(&path, 0o600)),
            91..=93 => ("open", mode(&path, 0o644)),
            94..=95 => (
                "touch",
                fs::read(&path).and_then(|bytes| fs::write(&path, bytes)),
            ),
            _ => (
                "tree at once",
                (0..3).try_for_each(|number| {
                    let deep = dir.join(format!("t{number}/u"));
                    fs::create_dir_all(&deep)?;
                    fs::write(deep.join("x.css"), &content)
                }),
            ),
        };
        writeln!(
            self.trace,
            "{what}: {name} {other} {directory} {another} {content}"
        )
        .unwrap();
    }
}

fn append(path: &Path, content: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut file = fs::File::options().append(true).open(path)?;
    file.write_all(content.as_bytes())
}

fn mode(path: &Path, mode: u32) -> std::io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Everything at rest: each path that is not as it was is purged, and nothing that was never
/// there. Returns what is served now.
async fn rest(bench: &Bench, before: &Served, ever: &BTreeSet<String>, seen: &mut usize) -> Served {
    bench.settle().await;
    let mut now = served(&bench.site());
    now.retain(|path, _| !path.starts_with("/settled-"));
    let purges: BTreeSet<String> = bench.requests()[*seen..]
        .iter()
        .flat_map(|request| request.assets.clone())
        .filter(|asset| !asset.starts_with("/settled-"))
        .collect();
    *seen = bench.requests().len();
    for path in before.keys().chain(now.keys()) {
        if before.get(path) != now.get(path) {
            assert!(purges.contains(path), "{path} changed and was not purged");
        }
    }
    for purged in &purges {
        let known = ever.contains(purged) || now.contains_key(purged);
        assert!(known, "{purged} was purged, and nobody touched it");
    }
    now
}

async fn history(seed: u64) {
    let mut bench = Bench::new().await;
    // Roots that come and go are another test.
    // What is tried here is noticing, not the rate.
    "requests_per_second = 100\nburst = 100\nmax_in_flight = 100".clone_into(&mut bench.scaleway);
    "max_loss = \"100%\"\ngone_after = \"200ms\"".clone_into(&mut bench.origin);
    let mut operations = Operations {
        rng: fastrand::Rng::with_seed(seed),
        root: bench.site(),
        trace: String::new(),
    };
    for _ in 0..OPERATIONS {
        operations.step();
    }
    bench.start().await;
    let mut told = 0;
    let mut before = served(&bench.site());
    let mut ever: BTreeSet<String> = before.keys().cloned().collect();
    for _ in 0..KILLS {
        for _ in 0..OPERATIONS {
            operations.step();
            ever.extend(served(&bench.site()).into_keys());
        }
        bench.kill().await;
        for _ in 0..OPERATIONS / 4 {
            operations.step();
            ever.extend(served(&bench.site()).into_keys());
        }
        bench.start().await;
        for _ in 0..OPERATIONS / 4 {
            operations.step();
            ever.extend(served(&bench.site()).into_keys());
        }
        // Printed by the test harness where what follows fails.
        println!("{}--- at rest ---", std::mem::take(&mut operations.trace));
        before = rest(&bench, &before, &ever, &mut told).await;
        ever = before.keys().cloned().collect();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_changes_and_kills_lose_nothing_and_purge_nothing_needless() {
    let seed = std::env::var("RANDOM_SEED")
        .ok()
        .map(|seed| seed.parse().unwrap());
    let seeds = seed.map_or(SEEDS, |seed| seed..seed + 1);
    for seed in seeds {
        println!("seed {seed}");
        history(seed).await;
    }
}
