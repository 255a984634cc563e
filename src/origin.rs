//! Noticing and comparing: hints say where to look, looks find facts, and facts go to the
//! [`Sink`]. Events are hints, the index is the truth, and doubt only ever widens the look.
//!
//! Owns the watches, the index and one worker thread per origin. Knows neither assets nor the queue
//! nor the API. The order that nothing is lost by: first watch, then list; first the sink commits,
//! then the index takes over.

mod bucket;
mod error;
mod index;
mod queries;
mod settings;
mod status;
#[cfg(test)]
mod tests;
mod tree;
mod watch;
mod worker;

use std::sync::Arc;

use tokio::sync::oneshot;

pub use bucket::{BucketOrigin, Cost, Reach, bucket_differences, path_of_key, reach};
pub use error::OriginError;
pub use index::{Index, IndexError};
pub use queries::{
    Access, Difference, Ignored, Remembered, Sample, access, differences, ignored_by, remembered,
    remembered_count, remembered_file,
};
pub use settings::{Compare, FollowSymlinks, OriginSettings, POLL, ScanObserver, WatchMode};
pub use status::{
    BucketStatus, Held, LookSummary, OriginStatus, ScanError, ScanReason, ScanSummary, WaitingFile,
    WaitsFor, shown,
};
pub use tree::ignore::PatternError;
pub use tree::links_bound::not_followed;

use crate::clock::Clock;
use crate::core::change::PipelineId;
use crate::core::delivery::Names;
use crate::core::sum::Sum;
use crate::core::time::Time;
use crate::s3::Bucket;
use crate::sink::Sink;
use crate::supervise::{Fault, Supervisor};
use bucket::{Pace, Parts, Remote, Walker};
use index::OriginIndex;
use tree::ignore::Ignore;
use watch::WatchBackend;
use watch::cookie::Cookies;
use watch::hints::{Cause, Hint};
use watch::inbox::{Inbox, Request};
use worker::Worker;
use worker::batch::Committer;
use worker::large::LargeReader;
use worker::reading::RESTLESS;
use worker::stall::{self, Place};

/// Files that are named in the status, of those that are being written.
const NAMED: usize = 5;
/// How long the event of a cookie may take before the origin is scanned instead.
const COOKIE_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

/// The one way to start an [`OriginHandle`].
#[derive(Debug)]
pub struct Origin;

impl Origin {
    /// Starts noticing: a supervised thread that ends when the supervisor stops. A root that is
    /// missing is an alarm, not an error.
    ///
    /// # Errors
    /// When a pattern is wrong, the index cannot be read, or there is no thread to be had.
    pub fn start(
        settings: OriginSettings,
        index: &Arc<Index>,
        sink: Arc<dyn Sink>,
        clock: Clock,
        supervisor: &Supervisor,
        runtime: tokio::runtime::Handle,
    ) -> Result<OriginHandle, OriginError> {
        let backend = Box::new(watch::Inotify {
            supervisor: supervisor.clone(),
            name: format!("events {}", settings.name),
            clock,
        });
        Self::start_with(backend, settings, index, sink, clock, supervisor, runtime)
    }

    fn start_with(
        backend: Box<dyn WatchBackend>,
        settings: OriginSettings,
        index: &Arc<Index>,
        sink: Arc<dyn Sink>,
        clock: Clock,
        supervisor: &Supervisor,
        runtime: tokio::runtime::Handle,
    ) -> Result<OriginHandle, OriginError> {
        let ignore = Arc::new(Ignore::new(&settings.ignore)?);
        let cookies = Cookies::new(&settings.cookies);
        let inbox = Arc::new(Inbox::new(
            Arc::clone(&ignore),
            cookies,
            settings.write_wait,
            clock,
        ));
        let status = OriginStatus {
            name: Arc::clone(&settings.name),
            ..OriginStatus::default()
        };
        let (status, seen) = tokio::sync::watch::channel(status);
        let stopping = supervisor.stopping();
        let context = runtime.clone();
        let committer = Committer {
            pipeline: settings.pipeline.clone(),
            origin: Arc::clone(&settings.name),
            sink,
            index: index.origin(&settings.pipeline, &settings.name)?,
            inbox: Arc::clone(&inbox),
            runtime,
            stopping: stopping.clone(),
        };
        let remembered = committer.index.clone();
        let id = Arc::new((settings.pipeline.clone(), Arc::clone(&settings.name)));
        let name = format!("origin {}", settings.name);
        committer.index.listen(&inbox);
        let large = LargeReader::new(supervisor.clone(), Arc::clone(&inbox), clock);
        let large = Arc::new(large);
        let (tell_hung, hung) = tokio::sync::watch::channel(false);
        let place = Arc::new(Place {
            name: Arc::clone(&settings.name),
            root: settings.root.clone(),
        });
        let worker = Worker::new(
            settings,
            ignore,
            backend,
            committer,
            Arc::clone(&large),
            clock,
            status,
        )?;
        let stop = {
            let inbox = Arc::clone(&inbox);
            async move {
                tokio::select! {
                    () = stopping.cancelled() => {}
                    never = stall::mind(&inbox, &tell_hung) => match never {},
                }
                inbox.stop();
            }
        };
        spawn(&name, supervisor, &context, stop, move || worker.run())?;
        Ok(OriginHandle {
            id,
            inbox,
            status: seen,
            before: Arc::default(),
            files: Some(Files {
                hung,
                place,
                large,
                index: remembered,
            }),
        })
    }

    /// Starts listing a bucket: a supervised thread that ends when the supervisor stops. A bucket that can't be
    /// reached is an alarm, not an error.
    ///
    /// # Errors
    /// When a pattern is wrong, the index cannot be read, there is no thread to be had, or the bucket can have
    /// no client.
    pub fn start_bucket(
        settings: BucketOrigin,
        index: &Arc<Index>,
        sink: Arc<dyn Sink>,
        clock: Clock,
        supervisor: &Supervisor,
        runtime: &tokio::runtime::Handle,
    ) -> Result<OriginHandle, OriginError> {
        let ignore = Arc::new(Ignore::new(&settings.ignore)?);
        // Nothing watches a bucket, so that there are no cookies.
        let inbox = Inbox::new(
            Arc::clone(&ignore),
            Cookies::new(std::path::Path::new("")),
            std::time::Duration::ZERO,
            clock,
        );
        let inbox = Arc::new(inbox);
        let status = OriginStatus {
            name: Arc::clone(&settings.name),
            ..OriginStatus::default()
        };
        let (published, seen) = tokio::sync::watch::channel(status);
        let stopping = supervisor.stopping();
        let id = Arc::new((settings.pipeline.clone(), Arc::clone(&settings.name)));
        let name = format!("origin {}", settings.name);
        let walker = Walker::new(Parts {
            storage: Remote {
                bucket: Bucket::new(settings.bucket.clone(), clock)?,
                runtime: runtime.clone(),
                stopping: stopping.clone(),
            },
            ignore,
            committer: Committer {
                pipeline: settings.pipeline.clone(),
                origin: Arc::clone(&settings.name),
                sink,
                index: index.origin(&settings.pipeline, &settings.name)?,
                inbox: Arc::clone(&inbox),
                runtime: runtime.clone(),
                stopping: stopping.clone(),
            },
            settings,
            clock,
            pace: Pace::default(),
            published,
        })?;
        let stop = {
            let inbox = Arc::clone(&inbox);
            async move {
                stopping.cancelled().await;
                inbox.stop();
            }
        };
        spawn(&name, supervisor, runtime, stop, move || walker.run())?;
        Ok(OriginHandle {
            id,
            inbox,
            status: seen,
            before: Arc::default(),
            files: None,
        })
    }
}

/// Starts the thread of an origin, and the task that ends its waiting.
fn spawn(
    name: &str,
    supervisor: &Supervisor,
    runtime: &tokio::runtime::Handle,
    stop: impl Future<Output = ()> + Send + 'static,
    run: impl FnOnce() -> Result<(), IndexError> + Send + 'static,
) -> Result<(), OriginError> {
    let _context = runtime.enter();
    supervisor.spawn(&format!("{name} stop"), async move {
        stop.await;
        Ok(())
    });
    let task = name.to_owned();
    supervisor.thread(name, move || {
        run().map_err(|error| Fault {
            task,
            message: error.to_string(),
        })
    })?;
    Ok(())
}

/// A running origin.
#[derive(Clone, Debug)]
pub struct OriginHandle {
    id: Arc<OriginId>,
    inbox: Arc<Inbox>,
    status: tokio::sync::watch::Receiver<OriginStatus>,
    /// What was counted before it was started anew.
    before: Arc<OriginStatus>,
    /// What only a directory has.
    files: Option<Files>,
}

/// What the handle of a directory knows of its worker.
#[derive(Clone, Debug)]
struct Files {
    hung: tokio::sync::watch::Receiver<bool>,
    place: Arc<Place>,
    large: Arc<LargeReader>,
    index: OriginIndex,
}

/// A pipeline, and the name of an origin of it.
pub type OriginId = (PipelineId, Arc<str>);

impl OriginHandle {
    /// Scans the whole origin, and answers when everything that changed before now is committed.
    /// With `accept_loss`, a loss that the guard holds back counts as real.
    ///
    /// # Errors
    /// When too many wait already, or the process is stopping.
    pub async fn scan(
        &self,
        reason: ScanReason,
        accept_loss: bool,
    ) -> Result<ScanSummary, ScanError> {
        self.request(reason, accept_loss, None).await
    }

    /// Looks at what is named in a bucket, and answers when everything that changed of it before now is committed.
    /// Where that can't be, the bucket is listed.
    ///
    /// # Errors
    /// When too many wait already, or the process is stopping.
    pub async fn look_at(&self, names: &Arc<Names>) -> Result<ScanSummary, ScanError> {
        self.request(ScanReason::Webhook, false, Some(Arc::clone(names)))
            .await
    }

    async fn request(
        &self,
        reason: ScanReason,
        accept_loss: bool,
        names: Option<Arc<Names>>,
    ) -> Result<ScanSummary, ScanError> {
        let (answer, summary) = oneshot::channel();
        let request = Request {
            reason,
            accept_loss,
            names,
            answer,
        };
        self.inbox.request(request)?;
        summary.await.map_err(|_| ScanError::Stopping)
    }

    /// Whether it is a bucket, and no directory.
    #[must_use]
    pub const fn is_bucket(&self) -> bool {
        self.files.is_none()
    }

    /// Waits until everything that changed before now is noticed and committed. Without file events
    /// that takes a scan.
    ///
    /// # Errors
    /// When too many wait already, or the process is stopping.
    pub async fn noticed(&self) -> Result<(), ScanError> {
        let cookie = self.inbox.cookies.make().unwrap_or_else(|error| {
            tracing::warn!("a cookie can't be made, so the origin is scanned: {error}");
            None
        });
        let seen = match cookie {
            Some(mut cookie) => {
                let event = tokio::time::timeout(COOKIE_WAIT, &mut cookie.seen).await;
                matches!(event, Ok(Ok(())))
            }
            None => false,
        };
        if !seen {
            self.scan(ScanReason::Request, false).await?;
        }
        // What no event reports, such as a mount over the root.
        self.inbox.check_root();
        self.inbox.rested().await?;
        if self.status.borrow().held.is_some() {
            // The files may be back, or others in their place: a whole look says so now.
            self.scan(ScanReason::Request, false).await?;
            self.inbox.rested().await?;
        }
        let mut status = self.status.clone();
        // A large file that changed a moment ago is read when it has rested; one that is not read
        // then changes on and on, and is not waited for.
        let known = status.wait_for(|status| status.unread_files == 0);
        let rested = RESTLESS * 3 / 2;
        if let Ok(known) = tokio::time::timeout(rested, known).await {
            return known.map(drop).map_err(|_| ScanError::Stopping);
        }
        let read = status.wait_for(|status| !status.reading).await;
        read.map(drop).map_err(|_| ScanError::Stopping)
    }

    /// Names what is being written, and what is being read.
    fn tell_waiting(&self, status: &mut OriginStatus) {
        status.writing_files = self.inbox.count_writing();
        let writing = self.inbox.writing(NAMED).into_iter();
        let writing = writing.map(|(path, since)| WaitingFile {
            path: shown(&path),
            state: WaitsFor::Writing,
            since,
            read: None,
        });
        let files = self.files.as_ref();
        let reading = files.and_then(|files| files.large.progress());
        let reading = reading.map(|read| WaitingFile {
            path: shown(&read.path),
            state: WaitsFor::Reading,
            since: read.since,
            read: Some((read.read, read.size)),
        });
        status.waiting = reading.into_iter().chain(writing).collect();
    }

    /// Looks at one file, as if an event had reported it. `path` is below the root. A bucket is listed when it is
    /// time.
    pub fn look(&self, path: &[u8], now: Time) {
        if self.is_bucket() {
            return;
        }
        self.inbox.ask(path, Hint::again(Cause::Recheck, now));
    }

    /// Whether something that happened before this time will be looked at in a moment, or is now.
    #[must_use]
    pub fn looks(&self, before: Time) -> bool {
        self.inbox.looks(before)
    }

    /// Whether what it remembers is what is there, but for what is still looked at: there was a look at everything,
    /// nothing is held back, and the filesystem answers.
    #[must_use]
    pub fn is_in_view(&self) -> bool {
        let in_view = |status: &OriginStatus| status.armed && status.held.is_none();
        in_view(&self.status.borrow()) && !self.is_hung()
    }

    /// The sum of the files of a directory, as they are remembered. Blocks.
    ///
    /// # Errors
    /// When the index can't be read.
    pub fn sum(&self) -> Result<Option<Sum>, IndexError> {
        let files = self.files.as_ref();
        files.map(|files| files.index.sum()).transpose()
    }

    /// Whether the worker waits for a filesystem that does not answer.
    #[must_use]
    pub fn is_hung(&self) -> bool {
        self.files
            .as_ref()
            .is_some_and(|files| *files.hung.borrow())
    }

    /// Waits until the origin is armed, or in alarm. A root that is missing, or a filesystem that does not
    /// answer, makes no start wait longer.
    pub async fn ready(&self) {
        let mut status = self.status.clone();
        let hung = async {
            match self.files.clone() {
                Some(mut files) => drop(files.hung.wait_for(|hung| *hung).await),
                None => std::future::pending().await,
            }
        };
        // An origin that has ended is a fault, and stops the process.
        tokio::select! {
            ready = status.wait_for(OriginStatus::is_ready) => drop(ready),
            () = hung => {}
        }
    }

    /// The origin as it is now.
    #[must_use]
    pub fn status(&self) -> OriginStatus {
        // Counted before: what leaves the hints is a scan, or committed.
        let pending_hints = self.inbox.pending();
        let mut status = self.status.borrow().clone();
        status.pending_hints = pending_hints;
        self.tell_waiting(&mut status);
        status.count_on(&self.before);
        if let Some(files) = self.files.as_ref().filter(|_| self.is_hung()) {
            // It is not known what has changed there.
            status.pending_hints += 1;
            status.alarms.push(stall::alarm(&self.inbox, &files.place));
        }
        status
    }

    /// Which origin it is.
    #[must_use]
    pub fn id(&self) -> &OriginId {
        &self.id
    }

    /// The same, which goes on with the counts that the one before it had.
    #[must_use]
    pub fn counting_on(self, before: OriginStatus) -> Self {
        Self {
            before: Arc::new(before),
            ..self
        }
    }

    /// The status, to wait for its changes; it does not count pending hints.
    #[must_use]
    pub fn subscribe(&self) -> tokio::sync::watch::Receiver<OriginStatus> {
        self.status.clone()
    }
}
