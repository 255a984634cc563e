//! More changes at once than the kernel keeps events for: every file has to be found all the same.
//! Beside it, the same writes with nobody watching.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Options;
use crate::daemon::Site;
use crate::report::{Line, Report, Usage, ratio};
use crate::tree::Tree;

const FILES: u64 = 100_000;

pub(crate) fn run(options: &Options, report: &mut Report) {
    let files = options.files(FILES);
    let alone = options.scratch("overflow-alone");
    let before = write(&alone, files);

    let home = options.scratch("overflow");
    let root = home.join("site");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("a.css"), "a").unwrap();
    let site = Site::new(&home, &root);
    let mut daemon = site.start();
    daemon.armed();
    daemon.settled();

    let (cpu, started) = (daemon.cpu(), Instant::now());
    let writing = write(&root, files);
    let settled = daemon.settled();
    let origin = daemon.origin().expect("an answer");
    let own = Usage {
        wall: settled - started,
        cpu: daemon.cpu().saturating_sub(cpu),
        peak_kb: daemon.peak_kb(),
    };
    report.note(format!(
        "overflow: written in {:.2} s, settled {:.2} s later, events lost {} times, scans {}, {} requests, status says {} files indexed",
        writing.as_secs_f64(),
        (own.wall.saturating_sub(writing)).as_secs_f64(),
        origin["lost_events"],
        origin["scans"],
        daemon.requests().len(),
        origin["indexed_files"],
    ));
    daemon.stop();
    let mut missed = Vec::new();
    let indexed = site.indexed();
    if indexed != files + 1 {
        missed.push(format!("{indexed} files indexed"));
    }

    // Whoever writes second may find the disk busier or the caches fuller.
    let after = write(&options.scratch("overflow-alone"), files);
    let baseline = (before + after) / 2;
    report.line(Line {
        baseline: Some(("writing, nobody watches", baseline)),
        ratio: Some(ratio(writing, baseline)),
        target: "every file indexed",
        missed,
        ..Line::plain("overflow", files, own)
    });
}

/// Writes new files into new directories.
fn write(root: &Path, files: u64) -> Duration {
    let tree = Tree {
        root: root.join("new"),
        files,
        per_directory: 100,
        size: 100,
        extension: "css",
    };
    rustix::fs::sync();
    tree.write(|file| tree.content(file))
}
