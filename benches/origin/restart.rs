//! A start where nothing changed meanwhile, beside `find`, which looks at the same files and
//! remembers nothing.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Options;
use crate::daemon::Site;
use crate::report::{Line, Report, ratio};
use crate::tree::Tree;

const FILES: u64 = 1_000_000;
const MEMORY_KB: u64 = 64 * 1_024;

pub(crate) fn run(options: &Options, report: &mut Report) {
    let tree = Tree {
        root: options.home.join("restart-tree"),
        files: options.files(FILES),
        per_directory: 100,
        size: 100,
        extension: "html",
    };
    tree.make();
    let site = Site::new(&options.scratch("restart"), &tree.root);

    let mut first = site.start();
    let own = first.armed();
    let indexed = first.origin().expect("an answer")["indexed_files"].clone();
    assert_eq!(indexed, tree.files, "every file is indexed");
    report.line(Line::plain("restart: first", tree.files, own));
    // Second looks at files that were young are of the first start.
    first.settled();
    first.stop();

    let baseline = find(&tree.root).min(find(&tree.root)).min(find(&tree.root));
    let mut second = site.start();
    let own = second.armed();
    let origin = second.origin().expect("an answer");
    let mut missed = Vec::new();
    let scan = &origin["last_scan"];
    assert_eq!(scan["reason"], "start", "{origin}");
    assert_eq!(scan["files"], tree.files, "{origin}");
    let differing = ["new", "changed", "gone"].map(|name| scan[name].as_u64().unwrap());
    assert_eq!(differing, [0; 3], "nothing changed: {origin}");
    if origin["unchanged"] != 0 {
        missed.push(format!("{} files were read again", origin["unchanged"]));
    }
    let times = ratio(own.wall, baseline);
    if times > 1.0 {
        missed.push("slower than find".to_owned());
    }
    if own.peak_kb >= MEMORY_KB {
        missed.push("memory".to_owned());
    }
    report.note(format!("restart: its scan took {} ms", scan["took_ms"]));
    report.line(Line {
        baseline: Some(("find -printf, wall", baseline)),
        ratio: Some(times),
        target: "<= 1.0, < 64 MB",
        missed,
        ..Line::plain("restart", tree.files, own)
    });
    second.stop();
}

fn find(root: &Path) -> Duration {
    let started = Instant::now();
    let status = Command::new("find")
        .arg(root)
        .args(["-type", "f", "-printf", "%p %s %T@\\n"])
        .stdout(Stdio::null())
        .status()
        .expect("find is there");
    assert!(status.success(), "find: {status}");
    started.elapsed()
}
