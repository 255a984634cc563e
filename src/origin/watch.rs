//! The kernel's file events, behind a small trait: what they are called elsewhere stays in here.
//! Owns watchers; never decides what an event means for a file.

use std::path::{Path, PathBuf};

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RemoveKind, RenameMode};
use notify::{Config, EventKind, EventKindMask, INotifyWatcher, RecursiveMode, Watcher as _};

use super::hints::Nature;

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Look here.
    Hint {
        path: PathBuf,
        nature: Nature,
        is_dir: bool,
    },
    /// Events were dropped: look everywhere, with a new watch.
    Overflow,
    /// A watch ended on its own, at an unmount: look everywhere, with a new watch.
    Lost,
    /// This directory could not be watched.
    Unwatched(PathBuf),
    /// No more directories can be watched.
    Limit,
}

/// Why a directory is not watched.
#[derive(Debug, thiserror::Error)]
pub(super) enum WatchError {
    /// It is not there any more: nothing is lost.
    #[error("it is not there")]
    Missing,
    /// The limit of watches is reached; what was watched before stays so.
    #[error("the limit of watches is reached")]
    Limit,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Where a watch's events go. It must return at once.
pub(super) type Handler = Box<dyn Fn(Event) + Send + Sync + 'static>;

/// Makes watches.
pub(super) trait WatchBackend: Send + 'static {
    /// A new watch on nothing yet. Events of watches made before go on to their own handlers.
    fn open(&self, handler: Handler) -> Result<Box<dyn Watch>, WatchError>;
}

/// A running watch; it ends when it is dropped.
pub(super) trait Watch: Send {
    /// Watches a directory, everything below it, and what appears there later. When it returns,
    /// everything that was there is covered; call it before listing, and never from the handler.
    fn watch(&mut self, directory: &Path) -> Result<(), WatchError>;
}

/// inotify through `notify`.
#[derive(Debug)]
pub(super) struct Inotify;

impl WatchBackend for Inotify {
    fn open(&self, handler: Handler) -> Result<Box<dyn Watch>, WatchError> {
        // No open, no access, no close of a reader: a web server's reads must cost nothing. No data
        // events: the close tells. Links are followed by the scanner, never by the watch.
        let kinds = EventKindMask::CREATE
            | EventKindMask::REMOVE
            | EventKindMask::MODIFY_NAME
            | EventKindMask::MODIFY_META
            | EventKindMask::ACCESS_CLOSE;
        let config = Config::default()
            .with_event_kinds(kinds)
            .with_follow_symlinks(false);
        let watcher = INotifyWatcher::new(
            move |result: notify::Result<notify::Event>| match result {
                Ok(event) => translate(event, &handler),
                Err(error) => report(error, &handler),
            },
            config,
        )
        .map_err(|error| WatchError::Other(error.to_string()))?;
        Ok(Box::new(InotifyWatch(watcher)))
    }
}

struct InotifyWatch(INotifyWatcher);

impl Watch for InotifyWatch {
    fn watch(&mut self, directory: &Path) -> Result<(), WatchError> {
        self.0
            .watch(directory, RecursiveMode::Recursive)
            .map_err(|error| match error.kind {
                notify::ErrorKind::PathNotFound => WatchError::Missing,
                notify::ErrorKind::MaxFilesWatch => WatchError::Limit,
                notify::ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    WatchError::Missing
                }
                kind => WatchError::Other(notify::Error::new(kind).to_string()),
            })
    }
}

fn translate(event: notify::Event, handler: &Handler) {
    // First of all: this event has no paths.
    if event.need_rescan() {
        handler(Event::Overflow);
        return;
    }
    let (nature, is_dir) = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => (Nature::Complete, false),
        // Both names of a rename were told already, each by its own event.
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return,
        EventKind::Create(CreateKind::Folder) => (Nature::Subtree, true),
        EventKind::Remove(RemoveKind::Other) if event.info() == Some("unmount") => {
            handler(Event::Lost);
            return;
        }
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => (Nature::Complete, false),
        EventKind::Modify(ModifyKind::Metadata(_)) => (Nature::Touched, false),
        // What was not asked for and is not known is looked at like a new file.
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Any | EventKind::Other => {
            (Nature::Created, false)
        }
    };
    for path in event.paths {
        handler(Event::Hint {
            path,
            nature,
            is_dir,
        });
    }
}

fn report(error: notify::Error, handler: &Handler) {
    match error.kind {
        notify::ErrorKind::PathNotFound => {}
        notify::ErrorKind::MaxFilesWatch => handler(Event::Limit),
        // An error without a place: nobody knows what it hides.
        _ if error.paths.is_empty() => handler(Event::Lost),
        _ => {
            for path in error.paths {
                handler(Event::Unwatched(path));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{Flag, MetadataKind};
    use std::sync::{Arc, Mutex};

    fn translated(event: notify::Event) -> Vec<Event> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let handler: Handler = Box::new(move |event| sink.lock().unwrap().push(event));
        translate(event, &handler);
        seen.lock().unwrap().clone()
    }

    #[test]
    fn an_overflow_has_no_path_and_is_seen_all_the_same() {
        let event = notify::Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert_eq!(translated(event), [Event::Overflow]);
    }

    #[test]
    fn a_read_is_nothing_and_a_close_after_writing_is_complete() {
        let event = |kind| notify::Event::new(kind).add_path("/r/a".into());
        let close = |mode| event(EventKind::Access(AccessKind::Close(mode)));
        assert_eq!(translated(close(AccessMode::Read)), []);
        let hint = |nature| Event::Hint {
            path: "/r/a".into(),
            nature,
            is_dir: false,
        };
        assert_eq!(
            translated(close(AccessMode::Write)),
            [hint(Nature::Complete)]
        );
        let chmod = event(EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)));
        assert_eq!(translated(chmod), [hint(Nature::Touched)]);
    }

    #[test]
    fn an_unmount_is_a_lost_watch() {
        let event = notify::Event::new(EventKind::Remove(RemoveKind::Other))
            .add_path("/r/mnt".into())
            .set_info("unmount");
        assert_eq!(translated(event), [Event::Lost]);
    }
}
