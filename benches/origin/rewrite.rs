//! A deploy that writes every file anew: with the same bytes, then with a few others. Beside it,
//! what it takes to read and hash the files once.

use std::fs;
use std::time::{Duration, Instant};

use crate::Options;
use crate::daemon::{Daemon, Site, cpu};
use crate::report::{Line, Report, Usage, ratio};
use crate::tree::Tree;

const FILES: u64 = 100_000;
/// Files that differ the second time.
const DIFFERENT: u64 = 12;
/// Requests that these fill, five assets each.
const REQUESTS: usize = 3;

pub(crate) fn run(options: &Options, report: &mut Report) {
    let tree = Tree {
        root: options.home.join("rewrite-tree"),
        files: options.files(FILES),
        per_directory: 100,
        size: 4_096,
        extension: "css",
    };
    tree.make();
    // A run before may have left other bytes; and the time is what rewriting takes by itself.
    let alone = tree.write(|file| tree.content(file));
    rustix::fs::sync();
    report.note(format!(
        "rewrite: written in {:.2} s with nobody watching",
        alone.as_secs_f64()
    ));
    let baseline = hash(&tree);
    let site = Site::new(&options.scratch("rewrite"), &tree.root);
    let mut daemon = site.start();
    report.line(Line::plain("rewrite: first", tree.files, daemon.armed()));
    daemon.settled();

    let own = rewritten(&mut daemon, report, || {
        tree.write(|file| tree.content(file))
    });
    let mut missed = Vec::new();
    let needless = daemon.requests().len();
    if needless > 0 {
        missed.push(format!("{needless} needless requests"));
    }
    let times = ratio(own.cpu, baseline);
    if times > 2.0 {
        missed.push("CPU".to_owned());
    }
    report.line(Line {
        baseline: Some(("read and BLAKE3, CPU", baseline)),
        ratio: Some(times),
        target: "<= 2.0 of CPU, 0 requests",
        missed,
        ..Line::plain("rewrite: same", tree.files, own)
    });

    let every = (tree.files / DIFFERENT).max(1);
    let differs = |file: u64| file % every == every / 2 && file / every < DIFFERENT;
    let own = rewritten(&mut daemon, report, || {
        tree.write(|file| {
            let mut content = tree.content(file);
            if differs(file) {
                content[0] = b'!';
            }
            content
        })
    });
    let requests = daemon.requests();
    let mut purged: Vec<String> = requests.concat();
    purged.sort();
    let mut expected: Vec<String> = (0..tree.files)
        .filter(|file| differs(*file))
        .map(|file| tree.asset(file))
        .collect();
    expected.sort();
    let mut missed = Vec::new();
    if purged != expected {
        missed.push(format!("purged {} assets: {purged:?}", purged.len()));
    }
    if requests.len() != REQUESTS {
        missed.push(format!("{} requests", requests.len()));
    }
    let times = ratio(own.cpu, baseline);
    report.line(Line {
        baseline: Some(("read and BLAKE3, CPU", baseline)),
        ratio: Some(times),
        target: "12 assets, 3 requests",
        missed,
        ..Line::plain("rewrite: 12 differ", tree.files, own)
    });
    daemon.stop();
}

/// What the daemon takes for what is written meanwhile, from the first write until it settled.
fn rewritten(
    daemon: &mut Daemon<'_>,
    report: &mut Report,
    write: impl FnOnce() -> Duration,
) -> Usage {
    let (before, started) = (daemon.cpu(), Instant::now());
    let writing = write();
    let settled = daemon.settled();
    let origin = daemon.origin().expect("an answer");
    report.note(format!(
        "rewrite: written in {:.2} s, {} looks with the same bytes, events lost {} times, scans {}",
        writing.as_secs_f64(),
        origin["unchanged"],
        origin["lost_events"],
        origin["scans"],
    ));
    Usage {
        wall: settled - started,
        cpu: daemon.cpu().saturating_sub(before),
        peak_kb: daemon.peak_kb(),
    }
}

/// The CPU time that this process takes to read and hash every file once.
fn hash(tree: &Tree) -> Duration {
    let before = cpu("self");
    let mut all = 0_u8;
    for file in 0..tree.files {
        let content = fs::read(tree.path(file)).unwrap();
        all ^= blake3::hash(&content).as_bytes()[0];
    }
    std::hint::black_box(all);
    cpu("self").saturating_sub(before)
}
