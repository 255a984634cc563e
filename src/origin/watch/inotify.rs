//! inotify itself. One instance and one thread for an origin; the thread reads, finds the name, and
//! hands over: it looks at no file and adds no watch, so that the kernel's queue is always emptied.

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

use super::labels::{Labels, Number};
use super::{Event, Handler, Watch, WatchBackend, WatchError};
use crate::clock::Clock;
use crate::core::time::Time;
use crate::origin::guard::identity;
use crate::origin::hints::Nature;
use crate::supervise::{Fault, Supervisor};

/// Bytes of events read at once: some hundreds to thousands of them.
const BUFFER: usize = 64 * 1024;

/// So long after events came, the next are left to gather: whoever writes many files would wake
/// this thread for each of them. No look comes sooner than ten times this, and the kernel's queue
/// (16,384 events, where nobody changed it) is far from full in that time.
const GATHER: Duration = Duration::from_millis(4);

/// The longest wait until all events are handed over.
const TAKE_IN: Duration = Duration::from_millis(500);

/// No open, no access, no close of a reader: a web server's reads must cost nothing. Data events, for
/// files that are kept open or cut by their path; the kernel makes one of those that follow each other.
const FILES: WatchFlags = NAMES
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB);
const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO);
/// A directory may be watched for its names by one, and for its files by another.
const HOW: WatchFlags = WatchFlags::ONLYDIR
    .union(WatchFlags::DONT_FOLLOW)
    .union(WatchFlags::EXCL_UNLINK)
    .union(WatchFlags::MASK_ADD);

/// Opens inotify instances.
#[derive(Debug)]
pub(in crate::origin) struct Inotify {
    /// Runs their threads.
    pub(in crate::origin) supervisor: Supervisor,
    /// How those are called.
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
            labels: Mutex::default(),
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
                listener.listen().map_err(|error| Fault::Failed {
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
    /// Readable when the thread is called.
    call: OwnedFd,
    calls: Mutex<Calls>,
    answered: Condvar,
    labels: Mutex<Labels>,
}

/// What the thread is called for.
#[derive(Debug, Default)]
struct Calls {
    stop: bool,
    /// The last time that somebody waits until all events are handed over, and the last one for which
    /// that is done.
    asked: u64,
    done: u64,
}

impl Kernel {
    fn labels(&self) -> MutexGuard<'_, Labels> {
        // A panic stops the process; until then nothing here is half done.
        self.labels.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn end(&self, numbers: &[Number]) {
        for number in numbers {
            // One that ended by itself meanwhile is as good.
            inotify::remove_watch(&self.fd, *number).unwrap_or_default();
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
        // No event of this watch is looked at before it has its name.
        let mut labels = self.0.labels();
        let number =
            inotify::add_watch(&self.0.fd, directory, what | HOW).map_err(|error| match error {
                Errno::NOENT | Errno::NOTDIR | Errno::LOOP => WatchError::Missing,
                Errno::ACCESS | Errno::PERM => WatchError::Denied,
                Errno::NOSPC => WatchError::Limit,
                error => other(error),
            })?;
        let files = what.contains(WatchFlags::CLOSE_WRITE);
        labels.set(number, directory, files, |before| {
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
        // A thread that does not come so far in this time is in the middle of a flood.
        let waited = self
            .0
            .answered
            .wait_timeout_while(calls, TAKE_IN, |calls| calls.done < this && !calls.stop);
        drop(waited);
    }

    fn begin_round(&self) {
        self.0.labels().begin_round();
    }

    fn end_round(&self) {
        let ended = self.0.labels().end_round();
        self.0.end(&ended);
    }

    fn directories(&self) -> u64 {
        self.0.labels().files()
    }
}

/// Waits until one of these is readable, or the time is over.
fn wait(readable: &[&OwnedFd], time: Option<Duration>) -> io::Result<()> {
    let time = time.and_then(|time| Timespec::try_from(time).ok());
    let fds = readable.iter();
    let mut fds: Vec<_> = fds.map(|fd| PollFd::new(*fd, PollFlags::IN)).collect();
    match poll(&mut fds, time.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What is read of one event.
struct Told<'a> {
    number: Number,
    what: ReadFlags,
    cookie: u32,
    name: &'a [u8],
}

/// A write to a file.
struct Written {
    number: Number,
    name: Vec<u8>,
}

struct Listener {
    kernel: Arc<Kernel>,
    handler: Handler,
    clock: Clock,
    /// When the first of the events came that are read now.
    woken: Time,
    /// A write that is not handed over yet: most are followed by another of the same file, or by its
    /// close, which says more.
    written: Option<Written>,
    /// A directory that went, until the next event says where to.
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
            // Called or not: what it is called for from here on calls it again.
            rustix::io::read(&kernel.call, &mut [0; 8]).unwrap_or_default();
            loop {
                match reader.next() {
                    Ok(event) => {
                        let name = event.file_name().map_or(&b""[..], |name| name.to_bytes());
                        self.take_in_turn(&Told {
                            number: event.wd(),
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

    /// Takes an event, but for a write whose file's next event comes right after it.
    fn take_in_turn(&mut self, told: &Told<'_>) {
        let more = ReadFlags::MODIFY | ReadFlags::CLOSE_WRITE;
        let of_same = |written: &mut Written| {
            written.number == told.number && written.name == told.name && more.contains(told.what)
        };
        if self.written.take_if(of_same).is_none() {
            self.hand_over_write();
        }
        if told.what == ReadFlags::MODIFY {
            self.written = Some(Written {
                number: told.number,
                name: told.name.to_vec(),
            });
        } else {
            self.take(told);
        }
    }

    fn hand_over_write(&mut self) {
        if let Some(Written { number, name }) = self.written.take() {
            self.take(&Told {
                number,
                what: ReadFlags::MODIFY,
                cookie: 0,
                name: &name,
            });
        }
    }

    fn take(&mut self, told: &Told<'_>) {
        if told.what.contains(ReadFlags::QUEUE_OVERFLOW) {
            (self.handler)(Event::Overflow);
            return;
        }
        if told.what.contains(ReadFlags::UNMOUNT) {
            (self.handler)(Event::Lost);
            return;
        }
        let paths = self.paths(told);
        self.follow_move(told, &paths);
        if told.what.contains(ReadFlags::IGNORED) {
            self.kernel.labels().remove(told.number);
            return;
        }
        let is_dir = told.what.contains(ReadFlags::ISDIR);
        let Some(nature) = nature(told.what) else {
            return;
        };
        // It waited here for the others, but no longer than that.
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

    /// What the event is about, under each name that it has.
    fn paths(&self, told: &Told<'_>) -> Vec<PathBuf> {
        let labels = self.kernel.labels();
        let directories = labels.paths(told.number);
        directories
            .map(|directory| {
                if told.name.is_empty() {
                    directory.to_path_buf()
                } else {
                    directory.join(OsStr::from_bytes(told.name))
                }
            })
            .collect()
    }

    /// A directory that is renamed is told of twice, in a row: where it was, and where it is. If
    /// only the first comes, or it comes to where only names are watched, it went out of sight.
    fn follow_move(&mut self, told: &Told<'_>, paths: &[PathBuf]) {
        if let Some((cookie, before)) = self.moved.take() {
            let arrived = told.what.contains(ReadFlags::MOVED_TO) && told.cookie == cookie;
            let mut labels = self.kernel.labels();
            let arrived = arrived && labels.has_files(told.number);
            let mut ended = Vec::new();
            for (nth, from) in before.iter().enumerate() {
                // A name more or less than before: the look at the new one adds it.
                match paths.get(nth).filter(|_| arrived) {
                    Some(to) => labels.rename(from, to),
                    None => ended.extend(labels.left(from)),
                }
            }
            drop(labels);
            self.kernel.end(&ended);
        }
        if told.what.contains(ReadFlags::MOVED_FROM | ReadFlags::ISDIR) {
            self.moved = Some((told.cookie, paths.to_vec()));
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
        // Its modification time was set, and the other one left alone: `fsnotify_change` of the kernel.
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
