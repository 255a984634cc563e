//! Files that are too large to be read between two looks (above 16 MiB).
//!
//! A new large file, or one with another size, has changed whatever its bytes are: it is purged at once,
//! and read after it has rested for ten seconds, in half of the disk's time. A large file of the same
//! size is read on a thread of its own, one file at a time, in slices. The read is given up when the file
//! changes, something more urgent comes, or the process stops. The worker asks for the result; a hint
//! keeps the file due meanwhile. Of smaller files, 128 MiB are read before other work gets its turn.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::core::time::Time;
use crate::origin::tree::fingerprint::{Content, Stat, content};
use crate::origin::watch::hints::{Cause, Hint};
use crate::origin::watch::inbox::Inbox;
use crate::supervise::Supervisor;

/// Why a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To compare it: as fast as it goes.
    Compare,
    /// To know it for the next comparison: for half of the disk's time at most.
    Know,
}

/// A file that is read.
#[derive(Clone, Debug)]
struct Job {
    path: Vec<u8>,
    real: PathBuf,
    stat: Stat,
    purpose: Purpose,
    since: Time,
    read: Arc<AtomicU64>,
    cancelled: Arc<AtomicBool>,
}

/// A file that was read.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) path: Vec<u8>,
    /// As it was when the reading began.
    pub(super) stat: Stat,
    /// `None`: it was given up, since it changed on the way.
    pub(super) content: Option<Content>,
    purpose: Purpose,
}

/// What became of a question.
#[derive(Debug)]
pub(super) enum Answer {
    /// It was read; `None`: it changed on the way.
    Read(Option<Content>),
    /// It is being read, or waits for its turn.
    Wait,
}

/// A file that is being read, for the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::origin) struct Progress {
    pub(in crate::origin) path: Vec<u8>,
    pub(in crate::origin) since: Time,
    pub(in crate::origin) read: u64,
    pub(in crate::origin) size: u64,
}

#[derive(Debug, Default)]
struct State {
    job: Option<Job>,
    done: Option<Done>,
}

/// The reader of an origin.
#[derive(Debug)]
pub(in crate::origin) struct LargeReader {
    supervisor: Supervisor,
    inbox: Arc<Inbox>,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // A panic stops the process; until then nothing here is half done.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LargeReader {
    pub(in crate::origin) fn new(supervisor: Supervisor, inbox: Arc<Inbox>, clock: Clock) -> Self {
        Self {
            supervisor,
            inbox,
            clock,
            state: Arc::default(),
        }
    }

    /// What the bytes of a file are that has this stat now, and is to be compared: begins to read it
    /// where that is not known yet.
    pub(super) fn ask(&self, path: &[u8], real: PathBuf, stat: &Stat) -> Answer {
        let mut state = lock(&self.state);
        if let Some(done) = state.done.take_if(|done| done.path == path) {
            let given_up = done.content.is_none();
            if given_up || done.stat.same(stat) {
                return Answer::Read(done.content);
            }
        }
        if let Some(job) = &state.job {
            let same = job.path == path && job.stat.same(stat);
            if !same && (job.path == path || job.purpose == Purpose::Know) {
                job.cancelled.store(true, Ordering::Relaxed);
            }
        } else {
            self.begin(state, path, real, stat, Purpose::Compare);
        }
        Answer::Wait
    }

    /// Begins to read a file that is to be known, if nothing else is read;
    /// [`LargeReader::take_known`] has it later.
    pub(super) fn know(&self, path: &[u8], real: PathBuf, stat: &Stat) {
        let state = lock(&self.state);
        if state.job.is_none() && state.done.is_none() {
            self.begin(state, path, real, stat, Purpose::Know);
        }
    }

    fn begin(
        &self,
        mut state: MutexGuard<'_, State>,
        path: &[u8],
        real: PathBuf,
        stat: &Stat,
        purpose: Purpose,
    ) {
        let job = Job {
            path: path.to_vec(),
            real,
            stat: *stat,
            purpose,
            since: self.clock.now(),
            read: Arc::default(),
            cancelled: Arc::default(),
        };
        state.job = Some(job.clone());
        drop(state);
        self.start(job);
    }

    fn start(&self, job: Job) {
        let (state, inbox, clock) = (Arc::clone(&self.state), Arc::clone(&self.inbox), self.clock);
        let stopping = self.supervisor.stopping();
        let work = move || {
            let read = read(&job, clock, || {
                stopping.is_cancelled() || job.cancelled.load(Ordering::Relaxed)
            });
            let mut state = lock(&state);
            state.job = None;
            if !job.cancelled.load(Ordering::Relaxed) {
                state.done = Some(Done {
                    path: job.path.clone(),
                    stat: job.stat,
                    content: read,
                    purpose: job.purpose,
                });
            }
            drop(state);
            inbox.ask(&job.path, Hint::again(Cause::Recheck, clock.now()));
            Ok(())
        };
        if let Err(error) = self.supervisor.thread("large file", work) {
            // The hint asks again.
            tracing::warn!(%error, "no thread to read a large file with; trying again");
            lock(&self.state).job = None;
        }
    }

    /// A file that was read to be known.
    pub(super) fn take_known(&self) -> Option<Done> {
        lock(&self.state)
            .done
            .take_if(|done| done.purpose == Purpose::Know)
    }

    /// What is being read.
    pub(in crate::origin) fn progress(&self) -> Option<Progress> {
        lock(&self.state).job.as_ref().map(|job| Progress {
            path: job.path.clone(),
            since: job.since,
            read: job.read.load(Ordering::Relaxed),
            size: job.stat.size,
        })
    }
}

/// Reads a file in slices; `None` when it was given up.
fn read(job: &Job, clock: Clock, ends: impl Fn() -> bool) -> Option<Content> {
    let mut begun = clock.now();
    let content = content(&job.real, &job.stat, &mut |file, read| {
        job.read.store(read, Ordering::Relaxed);
        if ends() || !Stat::from(&file.metadata()?).same(&job.stat) {
            return Ok(false);
        }
        if job.purpose == Purpose::Know {
            rest(clock.now().since(begun), clock, &ends);
            begun = clock.now();
        }
        Ok(true)
    });
    match content {
        Ok(Content::GivenUp | Content::Moving(..)) => None,
        Ok(content) => Some(content),
        Err(error) => {
            tracing::debug!(path = %job.real.display(), %error, "cannot be read");
            None
        }
    }
}

/// Waits, but for no longer than the process lives.
fn rest(time: Duration, clock: Clock, ends: &impl Fn() -> bool) {
    const STEP: Duration = Duration::from_millis(100);
    let until = clock.now().after(time);
    while !ends() {
        let left = until.since(clock.now());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left.min(STEP));
    }
}
