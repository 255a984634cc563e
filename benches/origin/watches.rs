//! A start on a tree of directories, where setting the watches is what there is to do. Beside it,
//! `inotifywait`, which does nothing else.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Options;
use crate::daemon::Site;
use crate::report::{Line, Report, ratio};

const DIRECTORIES: u64 = 100_000;
/// Directories in one directory.
const FAN: u64 = 1_000;
const LIMIT: &str = "/proc/sys/fs/inotify/max_user_watches";

pub(crate) fn run(options: &Options, report: &mut Report) {
    let directories = options.files(DIRECTORIES);
    let root = options.home.join("watches-tree");
    make(&root, directories);
    if let Err(why) = allow(directories * 2) {
        report.note(format!("SKIPPED watches: {why}"));
        return;
    }
    let site = Site::new(&options.scratch("watches"), &root);
    let mut first = site.start();
    report.line(Line::plain("watches: first", directories, first.armed()));
    first.settled();
    first.stop();

    let mut second = site.start();
    let own = second.armed();
    let origin = second.origin().expect("an answer");
    let watched = origin["watched_directories"].as_u64().unwrap();
    assert!(watched > directories, "all are watched: {origin}");
    second.stop();

    let Some(baseline) = inotifywait(&root) else {
        report.note("SKIPPED watches: inotifywait is not there (inotify-tools)".to_owned());
        report.line(Line::plain("watches", directories, own));
        return;
    };
    let baseline = baseline.min(inotifywait(&root).expect("it was there"));
    let times = ratio(own.wall, baseline);
    let mut missed = Vec::new();
    if times > 1.5 {
        missed.push("slower".to_owned());
    }
    report.line(Line {
        baseline: Some(("inotifywait -r -m, wall", baseline)),
        ratio: Some(times),
        target: "<= 1.5",
        missed,
        ..Line::plain("watches", directories, own)
    });
}

/// Directories, and one file for each that holds directories.
fn make(root: &Path, directories: u64) {
    let mark = root.with_extension(format!("{directories}.made"));
    if mark.exists() {
        return;
    }
    if root.exists() {
        fs::remove_dir_all(root).unwrap();
    }
    for number in 0..directories {
        let above = root.join(format!("s{:04}", number / FAN));
        if number % FAN == 0 {
            fs::create_dir_all(&above).unwrap();
            fs::write(above.join("a.css"), "a").unwrap();
        }
        fs::create_dir(above.join(format!("d{:03}", number % FAN))).unwrap();
    }
    fs::write(mark, "").unwrap();
}

/// Sees to it that so many directories can be watched.
fn allow(watches: u64) -> Result<(), String> {
    let text = fs::read_to_string(LIMIT).map_err(|error| format!("{LIMIT}: {error}"))?;
    if text.trim().parse().is_ok_and(|limit: u64| limit >= watches) {
        return Ok(());
    }
    fs::write(LIMIT, watches.to_string())
        .map_err(|error| format!("{LIMIT} is too low and cannot be raised: {error}"))
}

fn inotifywait(root: &Path) -> Option<Duration> {
    let started = Instant::now();
    let spawned = Command::new("inotifywait")
        .args(["-r", "-m"])
        .arg(root)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        other => other.unwrap(),
    };
    let said = BufReader::new(child.stderr.take().unwrap());
    let ready = said
        .lines()
        .any(|line| line.unwrap().contains("Watches established."));
    let took = started.elapsed();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ready, "inotifywait watches");
    Some(took)
}
