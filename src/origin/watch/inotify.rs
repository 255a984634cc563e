//! The backend on inotify: one instance and one thread for an origin. The thread reads events, finds
//! their paths and hands them over. It looks at no file and adds no watch, so that it empties the
//! kernel's queue as fast as it can.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::watched::{Descriptor, Watched};
use super::{Event, Handler, Watch, WatchBackend, WatchError};
use crate::clock::Clock;
use crate::core::time::Time;
use crate::origin::tree::guard::identity;
use crate::origin::watch::hints::Nature;
use crate::supervise::{Fault, Supervisor};

/// Bytes of events read at once: some hundreds to thousands of events.
const BUFFER: usize = 64 * 1024;

/// How long events gather after the first one came: a program that writes many files would wake the
/// thread for each of them. No look comes sooner than ten times this, and the kernel's queue (16,384
/// events by default) is far from full in that time.
const GATHER: Duration = Duration::from_millis(4);

/// The longest wait until all events are handed over.
const TAKE_IN: Duration = Duration::from_millis(500);

/// No opens, accesses or closes by readers: what a web server reads must cost nothing. Data events are
/// for files that are kept open, or truncated by their path; the kernel merges those in a row.
const FILES: WatchFlags = NAMES
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB);
const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO);
/// To add a directory again never takes events away: it may be watched for its names already, and now
/// for its files, or the other way round.
const HOW: WatchFlags = WatchFlags::ONLYDIR
    .union(WatchFlags::DONT_FOLLOW)
    .union(WatchFlags::EXCL_UNLINK)
    .union(WatchFlags::MASK_ADD);

/// Opens inotify instances.
#[derive(Debug)]
pub(in crate::origin) struct Inotify {
    /// Runs their threads.
    pub(in crate::origin) supervisor: Supervisor,
    /// The name of the threads.
    pub(in crate::origin) name: String,
    /// Dates the events.
    pub(in crate::origin) clock: Clock,
}

impl WatchBackend for Inotify {
    fn open(&self, handler: Handler) -> Result<Arc<dyn Watch>, WatchError> {
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        let kernel = Arc::new(Kernel {
            fd: inotify::init(flags).map_err(other)?,
            call: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(other)?,
            calls: Mutex::default(),
            answered: Condvar::new(),
            watched: Mutex::default(),
        });
        let listener = Listener {
            kernel: Arc::clone(&kernel),
            handler,
            clock: self.clock,
            woken: Time::ZERO,
            written: None,
            moved: None,
        };
        let task = self.name.clone();
        self.supervisor
            .thread(&self.name, move || {
                listener.listen().map_err(|error| Fault {
                    task,
                    message: format!("file events can't be read ({error}): start again"),
                })
            })
            .map_err(WatchError::Other)?;
        Ok(Arc::new(Instance(kernel)))
    }
}

fn other(error: Errno) -> WatchError {
    WatchError::Other(error.into())
}

#[derive(Debug)]
struct Kernel {
    fd: OwnedFd,
    /// Readable when the thread has a call to answer.
    call: OwnedFd,
    calls: Mutex<Calls>,
    answered: Condvar,
    watched: Mutex<Watched>,
}

/// What the thread is called for.
#[derive(Debug, Default)]
struct Calls {
    stop: bool,
    /// How often a caller has asked for all events to be handed over, and how many of those calls are
    /// answered.
    asked: u64,
    done: u64,
}

impl Kernel {
    fn watched(&self) -> MutexGuard<'_, Watched> {
        // A panic stops the process; until then nothing here is half done.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        // A panic stops the process; until then nothing here is half done.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the thread.
    fn call(&self) {
        // The counter is never full.
        rustix::io::write(&self.call, &1_u64.to_ne_bytes()).unwrap_or_default();
    }

    fn end(&self, ended: &[Descriptor]) {
        for descriptor in ended {
            // An error says that the kernel has ended the watch already.
            inotify::remove_watch(&self.fd, *descriptor).unwrap_or_default();
        }
    }
}

struct Instance(Arc<Kernel>);

impl Drop for Instance {
    fn drop(&mut self) {
        self.0.calls().stop = true;
        self.0.call();
    }
}

impl Instance {
    fn watch(&self, directory: &Path, what: WatchFlags) -> Result<(), WatchError> {
        // The lock keeps the thread from an event of this watch until the watch has its path.
        let mut watched = self.0.watched();
        let descriptor =
            inotify::add_watch(&self.0.fd, directory, what | HOW).map_err(|error| match error {
                Errno::NOENT | Errno::NOTDIR | Errno::LOOP => WatchError::Missing,
                Errno::ACCESS | Errno::PERM => WatchError::Denied,
                Errno::NOSPC => WatchError::Limit,
                error => other(error),
            })?;
        let files = what.contains(WatchFlags::CLOSE_WRITE);
        watched.set(descriptor, directory, files, |before| {
            let both = identity(before).ok().zip(identity(directory).ok());
            both.is_some_and(|(before, now)| before.same_directory(&now))
        });
        Ok(())
    }
}

impl Watch for Instance {
    fn add(&self, directory: &Path) -> Result<(), WatchError> {
        self.watch(directory, FILES)
    }

    fn add_names(&self, directory: &Path) -> Result<(), WatchError> {
        self.watch(directory, NAMES)
    }

    fn take_in(&self) {
        let mut calls = self.0.calls();
        calls.asked += 1;
        let this = calls.asked;
        self.0.call();
        // A thread that has not answered by then is in the middle of a flood.
        let waited = self
            .0
            .answered
            .wait_timeout_while(calls, TAKE_IN, |calls| calls.done < this && !calls.stop);
        drop(waited);
    }

    fn begin_round(&self) {
        self.0.watched().begin_round();
    }

    fn end_round(&self) {
        let ended = self.0.watched().end_round();
        self.0.end(&ended);
    }

    fn directories(&self) -> u64 {
        self.0.watched().files()
    }
}

/// Waits until one of these is readable, or for this long.
fn wait(readable: &[&OwnedFd], time: Option<Duration>) -> io::Result<()> {
    let time = time.and_then(|time| Timespec::try_from(time).ok());
    let fds = readable.iter();
    let mut fds: Vec<_> = fds.map(|fd| PollFd::new(*fd, PollFlags::IN)).collect();
    match poll(&mut fds, time.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// An event as the kernel gives it.
struct Raw<'a> {
    descriptor: Descriptor,
    what: ReadFlags,
    cookie: u32,
    name: &'a [u8],
}

/// A write to a file.
struct Written {
    descriptor: Descriptor,
    name: Vec<u8>,
}

struct Listener {
    kernel: Arc<Kernel>,
    handler: Handler,
    clock: Clock,
    /// When the first event came of those that are read now.
    woken: Time,
    /// A write that is not handed over yet: most are followed by another to the same file, or by its
    /// close, which says more.
    written: Option<Written>,
    /// The cookie and the paths of a directory that was moved, until the next event says where to.
    moved: Option<(u32, Vec<PathBuf>)>,
}

impl Listener {
    fn listen(mut self) -> io::Result<()> {
        let kernel = Arc::clone(&self.kernel);
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(&kernel.fd, &mut buffer);
        loop {
            wait(&[&kernel.call, &kernel.fd], None)?;
            self.woken = self.clock.now();
            wait(&[&kernel.call], Some(GATHER))?;
            let asked = {
                let calls = kernel.calls();
                if calls.stop {
                    return Ok(());
                }
                calls.asked
            };
            // A call that comes from here on makes it readable again.
            rustix::io::read(&kernel.call, &mut [0; 8]).unwrap_or_default();
            loop {
                match reader.next() {
                    Ok(event) => {
                        let name = event.file_name().map_or(&b""[..], |name| name.to_bytes());
                        self.take_in_turn(&Raw {
                            descriptor: event.wd(),
                            what: event.events(),
                            cookie: event.cookie(),
                            name,
                        });
                    }
                    Err(Errno::AGAIN) => break,
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            self.hand_over_write();
            kernel.calls().done = asked;
            kernel.answered.notify_all();
        }
    }

    /// Takes an event. A write waits for the next event, and is dropped if that is about the same file
    /// and says as much.
    fn take_in_turn(&mut self, raw: &Raw<'_>) {
        let more = ReadFlags::MODIFY | ReadFlags::CLOSE_WRITE;
        let of_same = |written: &mut Written| {
            written.descriptor == raw.descriptor
                && written.name == raw.name
                && more.contains(raw.what)
        };
        if self.written.take_if(of_same).is_none() {
            self.hand_over_write();
        }
        if raw.what == ReadFlags::MODIFY {
            self.written = Some(Written {
                descriptor: raw.descriptor,
                name: raw.name.to_vec(),
            });
        } else {
            self.take(raw);
        }
    }

    fn hand_over_write(&mut self) {
        if let Some(Written { descriptor, name }) = self.written.take() {
            self.take(&Raw {
                descriptor,
                what: ReadFlags::MODIFY,
                cookie: 0,
                name: &name,
            });
        }
    }

    fn take(&mut self, raw: &Raw<'_>) {
        if raw.what.contains(ReadFlags::QUEUE_OVERFLOW) {
            (self.handler)(Event::Overflow);
            return;
        }
        if raw.what.contains(ReadFlags::UNMOUNT) {
            (self.handler)(Event::Lost);
            return;
        }
        let paths = self.paths(raw);
        self.follow_move(raw, &paths);
        if raw.what.contains(ReadFlags::IGNORED) {
            self.kernel.watched().remove(raw.descriptor);
            return;
        }
        let is_dir = raw.what.contains(ReadFlags::ISDIR);
        let Some(nature) = nature(raw.what) else {
            return;
        };
        // It may have waited for others to gather, but no longer than that.
        let at = self.woken.max(self.clock.now().before(GATHER));
        for path in paths {
            (self.handler)(Event::Hint {
                path,
                nature,
                is_dir,
                at,
            });
        }
    }

    /// The paths that an event is about: one for each path of its directory.
    fn paths(&self, raw: &Raw<'_>) -> Vec<PathBuf> {
        let watched = self.kernel.watched();
        let directories = watched.paths(raw.descriptor);
        directories
            .map(|directory| {
                if raw.name.is_empty() {
                    directory.to_path_buf()
                } else {
                    directory.join(OsStr::from_bytes(raw.name))
                }
            })
            .collect()
    }

    /// A directory that is renamed brings two events in a row: where it was, and where it is. It has
    /// left if the second does not come, or comes from a directory that is watched for names alone.
    fn follow_move(&mut self, raw: &Raw<'_>, paths: &[PathBuf]) {
        if let Some((cookie, before)) = self.moved.take() {
            let arrived = raw.what.contains(ReadFlags::MOVED_TO) && raw.cookie == cookie;
            let mut watched = self.kernel.watched();
            let arrived = arrived && watched.has_files(raw.descriptor);
            let mut ended = Vec::new();
            for (nth, from) in before.iter().enumerate() {
                // The two directories may have different numbers of paths: the look at the new
                // path adds it.
                match paths.get(nth).filter(|_| arrived) {
                    Some(to) => watched.rename(from, to),
                    None => ended.extend(watched.left(from)),
                }
            }
            drop(watched);
            self.kernel.end(&ended);
        }
        if raw.what.contains(ReadFlags::MOVED_FROM | ReadFlags::ISDIR) {
            self.moved = Some((raw.cookie, paths.to_vec()));
        }
    }
}

fn nature(what: ReadFlags) -> Option<Nature> {
    let is_dir = what.contains(ReadFlags::ISDIR);
    let appears = ReadFlags::CREATE | ReadFlags::MOVED_TO;
    if what.intersects(appears) && is_dir {
        Some(Nature::Subtree)
    } else if what.intersects(
        ReadFlags::CLOSE_WRITE | ReadFlags::MOVED_TO | ReadFlags::MOVED_FROM | ReadFlags::DELETE,
    ) {
        Some(Nature::Complete)
    } else if what.contains(ReadFlags::MODIFY) && is_dir {
        // Its modification time was set and its access time was not: `fsnotify_change` of the kernel.
        Some(Nature::Touched)
    } else if what.contains(ReadFlags::MODIFY) {
        Some(Nature::Written)
    } else if what.contains(ReadFlags::CREATE) {
        Some(Nature::Created)
    } else if what.contains(ReadFlags::ATTRIB) {
        Some(Nature::Touched)
    } else {
        None
    }
}
