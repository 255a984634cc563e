//! What a watch has to give, whatever library or system call is below it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::{Event, Inotify, Watch, WatchBackend};
use crate::clock::Clock;
use crate::origin::watch::hints::Nature;
use crate::supervise::Supervisor;

/// Longer than an event takes on a loaded machine.
const LIMIT: Duration = Duration::from_mins(1);

/// A temporary directory, a watch, and the events of it.
struct Watched {
    base: tempfile::TempDir,
    watch: Arc<dyn Watch>,
    events: Receiver<Event>,
}

/// An event in short: where, what, and whether it is about a directory.
type Short = (String, Nature, bool);

fn short(path: &str, nature: Nature, is_dir: bool) -> Short {
    (path.to_owned(), nature, is_dir)
}

impl Watched {
    /// Nothing is watched yet, but for the base.
    fn new() -> Self {
        let backend = Inotify {
            supervisor: Supervisor::default(),
            name: "events".to_owned(),
            clock: Clock::start(),
        };
        let (sender, events) = channel();
        let watch = backend.open(Box::new(move |event| {
            sender.send(event).unwrap_or_default();
        }));
        let watched = Self {
            base: tempfile::tempdir().unwrap(),
            watch: watch.unwrap(),
            events,
        };
        watched.watch.add(watched.base.path()).unwrap();
        watched
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    fn directory(&self, name: &str) {
        fs::create_dir_all(self.path(name)).unwrap();
    }

    fn add(&self, name: &str) {
        self.watch.add(&self.path(name)).unwrap();
    }

    fn write(&self, name: &str) {
        fs::write(self.path(name), "x").unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// The events since the last call. One of a file of its own comes after all of them.
    fn events(&self) -> Vec<Short> {
        self.write("end");
        fs::remove_file(self.path("end")).unwrap();
        let mut events = Vec::new();
        let mut ends = 0;
        while ends < 3 {
            let event = self.events.recv_timeout(LIMIT).unwrap();
            let Event::Hint {
                path,
                nature,
                is_dir,
                ..
            } = event
            else {
                panic!("{event:?}");
            };
            let path = path.strip_prefix(self.base.path()).unwrap();
            if path == Path::new("end") {
                // It is made, closed, and deleted.
                ends += 1;
            } else {
                events.push(short(path.to_str().unwrap(), nature, is_dir));
            }
        }
        events
    }

    /// The files that are complete, by the events since the last call.
    fn complete(&self) -> Vec<String> {
        let events = self.events().into_iter();
        let complete = events.filter(|(_, nature, _)| *nature == Nature::Complete);
        complete.map(|(path, ..)| path).collect()
    }
}

#[test]
fn a_directory_with_two_names_is_reported_under_both() {
    let watched = Watched::new();
    watched.directory("real/below");
    symlink("real", watched.path("link")).unwrap();
    watched.add("real/below");
    watched.add("link/below");
    watched.events();
    watched.write("link/below/page");
    assert_eq!(watched.complete(), ["real/below/page", "link/below/page"]);
}

#[test]
fn what_is_written_right_after_a_rename_is_reported_under_the_new_name() {
    let watched = Watched::new();
    watched.directory("a/below");
    watched.add("a");
    watched.add("a/below");
    watched.events();
    watched.rename("a", "b");
    watched.write("b/page");
    watched.write("b/below/page");
    assert_eq!(watched.complete(), ["a", "b/page", "b/below/page"]);
}

/// As it is with the targets of links: the directories above them are not watched.
#[test]
fn a_path_that_is_added_again_is_watched_in_the_directory_that_has_it_now() {
    let watched = Watched::new();
    watched.directory("above/target");
    watched.add("above/target");
    watched.rename("above", "before");
    watched.directory("above/target");
    watched.events();
    watched.add("above/target");
    watched.write("above/target/page");
    assert_eq!(watched.complete(), ["above/target/page"]);
}

#[test]
fn no_event_is_lost_while_directories_are_added_again() {
    const DIRECTORIES: usize = 64;
    const ROUNDS: usize = 20;
    let watched = Watched::new();
    let directories: Vec<String> = (0..DIRECTORIES).map(|n| format!("d{n}")).collect();
    for directory in &directories {
        watched.directory(directory);
        watched.add(directory);
    }
    watched.events();
    let mut written = Vec::new();
    for round in 0..ROUNDS {
        watched.watch.begin_round();
        watched.watch.add(watched.base.path()).unwrap();
        for (nth, directory) in directories.iter().enumerate() {
            // One that is added again soon, and one that was just added.
            for other in [DIRECTORIES - 1 - nth, nth] {
                let page = format!("d{other}/page-{round}-{nth}");
                watched.write(&page);
                written.push(page);
            }
            watched.add(directory);
        }
        watched.watch.end_round();
    }
    assert_eq!(watched.complete(), written);
}

#[test]
fn a_directory_that_is_watched_for_its_names_reports_no_write() {
    let watched = Watched::new();
    watched.directory("way");
    watched.watch.add_names(&watched.path("way")).unwrap();
    watched.events();
    watched.write("way/log");
    watched.write("way/log");
    assert_eq!(watched.events(), [short("way/log", Nature::Created, false)]);
    assert_eq!(watched.watch.directories(), 1);
    watched.add("way");
    watched.write("way/log");
    assert_eq!(watched.complete(), ["way/log"]);
}

#[test]
fn a_directory_that_moves_in_is_reported_with_all_below_and_a_file_as_complete() {
    let watched = Watched::new();
    watched.directory("in");
    watched.directory("out/made");
    watched.write("out/page");
    watched.add("in");
    watched.events();
    watched.rename("out/made", "in/made");
    watched.rename("out/page", "in/page");
    let expected = [
        short("in/made", Nature::Subtree, true),
        short("in/page", Nature::Complete, false),
    ];
    assert_eq!(watched.events(), expected);
}
