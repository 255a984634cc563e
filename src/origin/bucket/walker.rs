//! The one thread of a bucket: lists when it is time or something asks for it, reads headers in between, and
//! sleeps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::BucketOrigin;
use super::compare::{Known, Verdict};
use super::report::{Report, commit_trouble};
use super::storage::Storage;
use crate::clock::Clock;
use crate::core::change::{ContentHash, Kind, Source};
use crate::core::loss::LossGuard;
use crate::core::time::Time;
use crate::origin::error::OriginError;
use crate::origin::index::{Edit, IndexError, OriginIndex, Row};
use crate::origin::status::{OriginStatus, ScanReason};
use crate::origin::tree::ignore::Ignore;
use crate::origin::watch::inbox::Request;
use crate::origin::worker::batch::{Batch, Committer, Stopping};
use crate::s3::S3Error;
use crate::sink::FileChange;

/// The first wait after a listing that came to nothing, and the longest.
const AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(1));
/// Hints that are taken at once; each means no more than that the bucket is to be listed.
const HINTS: usize = 512;

/// The objects that a range of a listing has at least.
pub(super) const RANGE: u64 = 10_000;

/// How the bucket is asked.
#[derive(Clone, Copy, Debug)]
pub(in crate::origin) struct Pace {
    /// The wait for each object that is asked for.
    pub(in crate::origin) object: Duration,
    /// The wait before the same is asked again, when the bucket is busy or silent; it doubles.
    pub(in crate::origin) busy: Duration,
    /// The objects that a range of a listing has at least.
    pub(in crate::origin) range: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            object: Duration::from_millis(10),
            busy: Duration::from_millis(500),
            range: RANGE,
        }
    }
}

/// Why something was not done to its end.
#[derive(Debug)]
pub(in crate::origin) enum Broken {
    /// The process is stopping.
    Stopping,
    /// The index can't be read.
    Index(IndexError),
    /// The bucket does not give what was asked for.
    Storage(S3Error),
}

impl From<Stopping> for Broken {
    fn from(Stopping: Stopping) -> Self {
        Self::Stopping
    }
}

impl From<IndexError> for Broken {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

/// What a walker is made of.
pub(in crate::origin) struct Parts<S> {
    pub(in crate::origin) storage: S,
    pub(in crate::origin) settings: BucketOrigin,
    pub(in crate::origin) ignore: Arc<Ignore>,
    pub(in crate::origin) committer: Committer,
    pub(in crate::origin) clock: Clock,
    pub(in crate::origin) pace: Pace,
    pub(in crate::origin) published: tokio::sync::watch::Sender<OriginStatus>,
}

/// What a walker knows and does.
pub(in crate::origin) struct Walker<S> {
    pub(super) storage: S,
    pub(super) settings: BucketOrigin,
    pub(super) ignore: Arc<Ignore>,
    pub(super) committer: Committer,
    pub(super) clock: Clock,
    pub(super) pace: Pace,
    pub(super) report: Report,
    pub(super) guard: LossGuard,
    /// New objects since what is absent was judged.
    pub(super) came: u64,
    pub(super) batch: Batch,
    /// Whether a listing has come to everything once.
    pub(super) complete: bool,
    /// What was ignored before, where that is not what is ignored now.
    pub(super) former: Option<Ignore>,
    /// Why the listing that runs was begun, for the history.
    pub(super) detail: Arc<str>,
    /// Up to where headers were read, and when to go on.
    pub(super) headers_after: Vec<u8>,
    pub(super) headers_at: Option<Time>,
    /// Whether some are to be read again soon.
    pub(super) young: bool,
    /// Digests of headers that may still change behind the same time, by path.
    pub(super) unsettled: BTreeMap<Vec<u8>, i64>,
    /// When the next objects may be asked for.
    pub(super) paced: Time,
    /// Scans that are asked for, and looks that a listing answers too.
    pub(super) requests: Vec<Request>,
    /// Looks at what is named.
    pub(super) looks: Vec<Request>,
    /// When the next listing is due.
    due: Time,
    /// How long it is waited after the next listing that comes to nothing.
    again: Duration,
}

impl<S: Storage> Walker<S> {
    pub(in crate::origin) fn new(parts: Parts<S>) -> Result<Self, OriginError> {
        let index = &parts.committer.index;
        let (_, complete) = index.progress()?;
        let former = super::listing::former(index, &parts.settings)?;
        let guard = LossGuard::new(parts.settings.max_loss_percent, Duration::ZERO);
        Ok(Self {
            report: Report::new(&parts.settings, parts.published),
            storage: parts.storage,
            settings: parts.settings,
            ignore: parts.ignore,
            committer: parts.committer,
            clock: parts.clock,
            pace: parts.pace,
            guard,
            came: 0,
            batch: Batch::default(),
            complete,
            former,
            detail: ScanReason::Start.as_str().into(),
            headers_after: Vec::new(),
            headers_at: None,
            young: false,
            unsettled: BTreeMap::new(),
            paced: Time::ZERO,
            requests: Vec::new(),
            looks: Vec::new(),
            due: Time::ZERO,
            again: AGAIN.0,
        })
    }

    pub(in crate::origin) fn run(mut self) -> Result<(), IndexError> {
        match self.work() {
            Ok(never) => match never {},
            // What the bucket lacks is dealt with where it is asked.
            Err(Broken::Stopping | Broken::Storage(_)) => Ok(()),
            Err(Broken::Index(error)) => Err(error),
        }
    }

    fn work(&mut self) -> Result<std::convert::Infallible, Broken> {
        self.committer.redo(&mut commit_trouble(&self.report))?;
        self.count()?;
        loop {
            if self.committer.inbox.stopped() {
                return Err(Broken::Stopping);
            }
            self.turn()?;
            self.report.publish();
            self.committer.inbox.rest(false);
            let until = self.headers_at.map_or(self.due, |at| at.min(self.due));
            self.committer.inbox.wait(until, None);
        }
    }

    /// Does what is due.
    pub(super) fn turn(&mut self) -> Result<(), Broken> {
        self.take_mail();
        let now = self.clock.now();
        if now >= self.due {
            self.requests.append(&mut self.looks);
            self.list_now(now)?;
        } else if !self.looks.is_empty() {
            self.look_now(now)?;
        } else if self.headers_at.is_some_and(|at| now >= at) {
            self.read_headers(now)?;
        }
        Ok(())
    }

    fn take_mail(&mut self) {
        let now = self.clock.now();
        let hints = self.committer.inbox.take_due(now, HINTS);
        let mut mail = self.committer.inbox.lock();
        mail.begin_root_check(now);
        let requests = std::mem::take(&mut mail.requests);
        drop(mail);
        // What was never listed as a whole has nothing to be compared with.
        let listed = self.complete && self.former.is_none();
        let (looks, scans): (Vec<_>, Vec<_>) = requests
            .into_iter()
            .partition(|request| listed && request.names.is_some());
        self.looks.extend(looks);
        if !scans.is_empty() || !hints.is_empty() {
            self.due = now;
        }
        self.requests.extend(scans);
    }

    /// Lists at once, and answers these looks with it.
    pub(super) fn list_instead(&mut self, looks: Vec<Request>, now: Time) {
        self.requests.extend(looks);
        self.due = now;
    }

    /// Lists, and says when the next listing is due.
    fn list_now(&mut self, began: Time) -> Result<(), Broken> {
        let listed = self.list(began);
        let now = self.clock.now();
        match listed {
            Ok(()) => {
                let took = now.since(began);
                self.due = now.after(self.settings.poll.max(took.saturating_mul(10)));
                self.again = AGAIN.0;
            }
            Err(Broken::Storage(error)) => {
                tracing::warn!(origin = %self.settings.name, "the bucket can't be listed: {error}");
                self.report.set_trouble(&error);
                self.due = now.after(self.again);
                self.again = (self.again * 2).min(AGAIN.1);
            }
            Err(end) => return Err(end),
        }
        Ok(())
    }

    pub(super) const fn index(&self) -> &OriginIndex {
        &self.committer.index
    }

    /// Writes to the index, for as long as it takes.
    pub(super) fn write(
        &self,
        write: impl Fn(&OriginIndex) -> Result<(), IndexError>,
    ) -> Result<(), Broken> {
        let mut trouble = commit_trouble(&self.report);
        Ok(self.committer.write(&mut trouble, write)?)
    }

    /// Does what the verdict on an object says. `now` is the object as it is.
    pub(super) fn take(
        &mut self,
        path: &[u8],
        row: Option<&Row>,
        mut now: Known,
        verdict: Verdict,
    ) -> Result<(), Broken> {
        match verdict {
            Verdict::Same | Verdict::Ask | Verdict::Later => return Ok(()),
            Verdict::Remember => {
                let known = row.map(|row| Known::read(&row.entry));
                now.headers = now.headers.or(known.and_then(|known| known.headers));
                let edit = Edit::new(path, row, Some(now.entry()));
                self.batch.add(edit, None);
            }
            Verdict::Purge(kind) => {
                let ignored = |former: &Ignore| former.matches(path, false);
                let entered = !self.complete || self.former.as_ref().is_some_and(ignored);
                let tells = kind != Kind::New || row.is_some() || !entered;
                let change = tells.then(|| self.change(path, row, Some(now.etag), kind));
                let edit = Edit::new(path, row, Some(now.entry()));
                self.batch.add(edit, change);
                self.headers_at.get_or_insert(self.clock.now());
            }
        }
        self.commit_if_full()
    }

    /// A change. `hash` stands for the object as it is now; `None`: it is gone.
    pub(super) fn change(
        &self,
        path: &[u8],
        row: Option<&Row>,
        hash: Option<ContentHash>,
        kind: Kind,
    ) -> FileChange {
        FileChange {
            origin: Arc::clone(&self.settings.name),
            path: path.to_vec(),
            kind,
            hash,
            former: row.and_then(|row| row.entry.hash),
            source: Source::Scan,
            detail: Arc::clone(&self.detail),
            seen: self.clock.now(),
        }
    }

    pub(super) fn commit_if_full(&mut self) -> Result<(), Broken> {
        if self.batch.is_full() {
            return self.commit();
        }
        Ok(())
    }

    /// Brings the batch to the sink and the index. Nothing else writes these rows, so that none is beaten.
    pub(super) fn commit(&mut self) -> Result<(), Broken> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let mut trouble = commit_trouble(&self.report);
        self.committer.commit(&batch, &mut trouble)?;
        self.came += batch.came();
        self.report.count_changes(batch.changes());
        Ok(())
    }

    /// Counts what is remembered, for the status.
    pub(super) fn count(&mut self) -> Result<(), Broken> {
        let (files, unread) = (self.index().files()?, self.index().count_unread()?);
        self.report.set_files(files, unread);
        if unread > 0 {
            self.headers_at.get_or_insert(self.clock.now());
        }
        Ok(())
    }
}
