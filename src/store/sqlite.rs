//! The store in `SQLite`: `queue.db` in the state directory, in WAL mode with full sync.
//!
//! One thread writes: it takes everything that waits, runs it in one transaction, and answers when
//! that is on disk, so that many callers share one sync. Another reads, so that a long look at the
//! history delays no commit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Appended, AssetHistory, ChangeFilter, ChangeRecord, DeliveryFilter, Listed, ListedDelivery,
    Orphan, RequestFilter, RequestRecord, StageCounts, Store, StoreError, StoreFuture,
};
use crate::core::asset::Asset;
use crate::core::change::{Change, FileFact, NewChange, PipelineId, Seq};
use crate::core::delivery::{DeliveryRecord, DueDeliveries, NewDelivery, ScanDone, Taken};
use crate::core::pause::{Holder, Pause, Retry};
use crate::core::purge::{Decision, Unsettled};
use crate::core::time::Time;
use crate::core::verify::{Check, FollowUp, FollowUps, FollowedUp, Follows, Known, Looked};
use crate::lineage::{Beginning, Lineage, set_aside};
use crate::supervise::Supervisor;

mod arrivals;
mod asset;
mod decide;
mod deliveries;
mod delivery_keys;
mod history;
mod listing;
mod lock;
mod offline;
mod operate;
mod queue;
mod schema;
mod verify;
mod worker;

use arrivals::Arrivals;
use delivery_keys::DeliveryKeys;
use lock::Lock;
pub use offline::history_of;
use worker::{Job, Worker};

/// What waits for a thread at most; more make their callers wait.
const WAITING: usize = 1_024;

/// Where the store is, and what it belongs to.
#[derive(Clone, Debug)]
pub struct SqliteSettings {
    /// The state directory; made when it is missing.
    pub directory: PathBuf,
    /// The URL of the API that the queue is for.
    pub api_url: String,
}

/// The store in `SQLite`. Its threads, and the task that gives answers, end when it is dropped.
#[derive(Debug)]
pub struct SqliteStore {
    writer: mpsc::Sender<Job>,
    reader: mpsc::Sender<Job>,
    last: Arc<watch::Sender<Seq>>,
    arrivals: Arrivals,
    keys: DeliveryKeys,
    commits: Arc<AtomicU64>,
    /// The last queued change that a planner was told.
    told: Arc<AtomicU64>,
    lineage: Lineage,
}

impl SqliteStore {
    /// Opens the store, alone: makes it when it is missing, brings an older one up to date. One
    /// that is damaged, or of another API, is set aside, and a new one made; [`SqliteStore::lineage`]
    /// says so. Has to be called within the runtime.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it; [`StoreError::Unusable`] when the file is
    /// a newer version's or another program's, which is never touched; [`StoreError::Failed`] when
    /// the directory or the disk is in the way.
    pub fn open(settings: &SqliteSettings, supervisor: &Supervisor) -> Result<Self, StoreError> {
        let lock = Lock::take(&settings.directory)?;
        let path = settings.directory.join("queue.db");
        let (writer, lineage) = open(&path, &settings.api_url)?;
        let reader = schema::open_reader(&path)?;
        let last = Arc::new(watch::Sender::new(lineage.last));
        let commits = Arc::new(AtomicU64::new(0));
        let keys = DeliveryKeys::read(&writer).map_err(|error| failed(&error))?;
        let told = Arc::default();
        let arrivals = Arrivals::new(
            keys.clone(),
            Arc::clone(&told),
            Arc::clone(&last),
            supervisor,
        );
        let store = Self {
            // The lock goes with the thread that writes.
            writer: start(
                "queue writer",
                Worker::writer(writer, &commits, arrivals.clone(), lock),
                supervisor,
            )?,
            reader: start("queue reader", Worker::reader(reader), supervisor)?,
            last,
            arrivals,
            keys,
            commits,
            told,
            lineage,
        };
        Ok(store)
    }

    /// What it is the continuation of.
    #[must_use]
    pub const fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// How many transactions were committed: fewer than there were calls, when many came at once.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    fn write<T: Send + 'static>(
        &self,
        to: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        committed: impl FnOnce(&T) + Send + 'static,
    ) -> StoreFuture<'_, T> {
        call(&self.writer, to, committed)
    }

    /// Writes what appends no changes.
    fn alter<T: Send + 'static>(
        &self,
        to: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        self.write(
            |connection| to(connection).map_err(|error| failed(&error)),
            |_| {},
        )
    }

    /// Writes what may append changes, and announces them.
    fn write_and_announce<T: Send + 'static>(
        &self,
        to: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        let last = Arc::clone(&self.last);
        let written = self.write(
            move |connection| {
                let written = to(connection).map_err(|error| failed(&error))?;
                let last = queue::last_seq(connection).map_err(|error| failed(&error))?;
                Ok((written, last))
            },
            move |(_, appended): &(T, Seq)| announce(&last, *appended),
        );
        Box::pin(async move { Ok(written.await?.0) })
    }

    fn read<T: Send + 'static>(
        &self,
        of: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        call(
            &self.reader,
            |connection| of(connection).map_err(|error| failed(&error)),
            |_| {},
        )
    }
}

/// Opens the database as it is, or sets it aside and makes a new one.
fn open(path: &Path, api_url: &str) -> Result<(Connection, Lineage), StoreError> {
    let exists = path.exists();
    let why = match open_as_it_is(path, api_url) {
        Ok((connection, mut lineage, api)) if api == api_url => {
            if !exists {
                lineage.beginning = Beginning::New;
            }
            return Ok((connection, lineage));
        }
        Ok((.., api)) => format!("{} is for the API {api}, not for {api_url}", path.display()),
        Err(StoreError::Damaged(why)) => why,
        Err(error) => return Err(error),
    };
    let aside = set_aside(path).map_err(|error| {
        StoreError::Failed(format!("{why}; it can't be set aside either: {error}"))
    })?;
    let why = format!("{why}; it is kept as {}", aside.display());
    let (connection, mut lineage, _) = open_as_it_is(path, api_url)?;
    lineage.beginning = Beginning::Anew(why);
    Ok((connection, lineage))
}

fn open_as_it_is(path: &Path, api_url: &str) -> Result<(Connection, Lineage, String), StoreError> {
    let mut connection = schema::open(path)?;
    schema::migrate(&mut connection, path)?;
    schema::check(&connection, path)?;
    let (epoch, api) = schema::identity(&connection, api_url)?;
    let lineage = Lineage {
        epoch,
        last: queue::last_seq(&connection).map_err(|error| failed(&error))?,
        pruned: history::pruned(&connection).map_err(|error| failed(&error))?,
        beginning: Beginning::Continued,
    };
    Ok((connection, lineage, api))
}

fn start(
    name: &str,
    worker: Worker,
    supervisor: &Supervisor,
) -> Result<mpsc::Sender<Job>, StoreError> {
    let (sender, jobs) = mpsc::channel(WAITING);
    supervisor
        .thread(name, move || {
            worker.run(jobs);
            Ok(())
        })
        .map_err(|error| StoreError::Failed(format!("a thread for the store: {error}")))?;
    Ok(sender)
}

/// Hands work to a thread; the answer comes when it is committed. `committed` runs on the thread,
/// even if nobody waits for the answer any more.
fn call<T: Send + 'static>(
    worker: &mpsc::Sender<Job>,
    work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    committed: impl FnOnce(&T) + Send + 'static,
) -> StoreFuture<'static, T> {
    let worker = worker.clone();
    Box::pin(async move {
        let (answer, heard) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = connection.map(work);
            let kept = matches!(result, Some(Ok(_)));
            let finish = move |commit: Result<(), StoreError>| {
                let result = match (result, commit) {
                    (Some(Err(error)), _) | (_, Err(error)) => Err(error),
                    (Some(Ok(value)), Ok(())) => Ok(value),
                    (None, Ok(())) => Err(StoreError::Closed),
                };
                if let Ok(value) = &result {
                    committed(value);
                }
                // Who asked may have gone away.
                drop(answer.send(result));
            };
            (kept, Box::new(finish))
        });
        worker.send(job).await.map_err(|_| StoreError::Closed)?;
        heard.await.map_err(|_| StoreError::Closed)?
    })
}

/// Notes that a planner is about to hear of these.
fn tell(told: &AtomicU64, changes: &[Change]) {
    let last = changes.iter().map(|change| change.seq.0).max();
    told.fetch_max(last.unwrap_or(0), Ordering::Relaxed);
}

fn failed(error: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Failed(format!(
            "queue.db: {error}; make room on the disk of the state directory"
        )),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged(format!("queue.db: {error}"))
        }
        _ => StoreError::Failed(format!("queue.db: {error}")),
    }
}

impl Store for SqliteStore {
    fn append(&self, changes: Vec<NewChange>) -> StoreFuture<'_, Appended> {
        let last = Arc::clone(&self.last);
        self.write(
            move |connection| queue::append(connection, &changes).map_err(|error| failed(&error)),
            move |appended: &Appended| announce(&last, appended.last),
        )
    }

    fn take_delivery(&self, delivery: NewDelivery) -> StoreFuture<'_, Taken> {
        self.arrivals.take(delivery, &self.writer)
    }

    fn delivery(&self, route: String, event: String) -> StoreFuture<'_, Option<DeliveryRecord>> {
        let keys = self.keys.clone();
        // By the thread that writes: the keys have what is not committed yet, which others can't see.
        self.alter(move |connection| deliveries::find(connection, &keys, &route, &event))
    }

    fn begin_deliveries(
        &self,
        delays: BTreeMap<String, Duration>,
        now: Time,
    ) -> StoreFuture<'_, ()> {
        self.alter(move |connection| deliveries::begin(connection, &delays, now))
    }

    fn due_deliveries(&self) -> StoreFuture<'_, DueDeliveries> {
        self.read(deliveries::due)
    }

    fn release_deliveries(&self, now: Time, limit: usize) -> StoreFuture<'_, usize> {
        let told = Arc::clone(&self.told);
        self.write_and_announce(move |connection| {
            deliveries::release(connection, now, limit, &told)
        })
    }

    fn scanned_for_deliveries(&self, scan: ScanDone) -> StoreFuture<'_, ()> {
        self.write(
            move |connection| {
                deliveries::scanned(connection, &scan).map_err(|error| failed(&error))
            },
            |()| {},
        )
    }

    fn prune_deliveries(&self, before: Time, now: Time, limit: usize) -> StoreFuture<'_, u64> {
        self.write(
            move |connection| {
                deliveries::prune(connection, before, now, limit).map_err(|error| failed(&error))
            },
            |_| {},
        )
    }

    fn decide(&self, decisions: Vec<Decision>) -> StoreFuture<'_, ()> {
        self.write(
            move |connection| {
                decisions
                    .iter()
                    .try_for_each(|decision| decide::apply(connection, decision))
            },
            |()| {},
        )
    }

    fn queued_after(&self, cursor: Seq, limit: usize) -> StoreFuture<'_, Vec<Change>> {
        let told = Arc::clone(&self.told);
        self.read(move |connection| {
            let changes = queue::queued_after(connection, cursor, limit)?;
            tell(&told, &changes);
            Ok(changes)
        })
    }

    fn unsettled(&self) -> StoreFuture<'_, Unsettled> {
        self.read(history::unsettled)
    }

    fn subscribe(&self) -> watch::Receiver<Seq> {
        self.last.subscribe()
    }

    fn subscribe_waiting(&self) -> watch::Receiver<()> {
        self.arrivals.subscribe_waiting()
    }

    fn facts_after(
        &self,
        pipeline: PipelineId,
        origin: String,
        after: Seq,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(Seq, FileFact)>> {
        self.read(move |connection| {
            queue::facts_after(connection, &pipeline, &origin, after, limit)
        })
    }

    fn requests(&self, filter: RequestFilter) -> StoreFuture<'_, Listed<RequestRecord>> {
        self.read(move |connection| history::requests(connection, &filter))
    }

    fn changes(&self, filter: ChangeFilter) -> StoreFuture<'_, Listed<ChangeRecord>> {
        self.read(move |connection| listing::changes(connection, &filter))
    }

    fn deliveries(&self, filter: DeliveryFilter) -> StoreFuture<'_, Listed<ListedDelivery>> {
        self.read(move |connection| listing::deliveries(connection, &filter))
    }

    fn stages(&self, first: Seq, last: Seq) -> StoreFuture<'_, StageCounts> {
        self.read(move |connection| history::stages(connection, None, first, last))
    }

    fn stages_of(
        &self,
        pipeline: PipelineId,
        first: Seq,
        last: Seq,
    ) -> StoreFuture<'_, StageCounts> {
        self.read(move |connection| history::stages(connection, Some(&pipeline), first, last))
    }

    fn requests_of(&self, first: Seq, last: Seq) -> StoreFuture<'_, Vec<u64>> {
        self.read(move |connection| history::requests_of(connection, first, last))
    }

    fn failed_assets(&self) -> StoreFuture<'_, BTreeMap<PipelineId, u64>> {
        self.read(history::failed_assets)
    }

    fn pause(&self, pause: Pause) -> StoreFuture<'_, ()> {
        self.alter(move |connection| operate::pause(connection, &pause))
    }

    fn resume(&self, pipeline: PipelineId, holder: Holder, now: Time) -> StoreFuture<'_, bool> {
        self.alter(move |connection| operate::resume(connection, &pipeline, &holder, now))
    }

    fn retry(&self, what: Retry, limit: usize) -> StoreFuture<'_, Vec<Change>> {
        let told = Arc::clone(&self.told);
        self.alter(move |connection| {
            let changes = operate::retry(connection, &what, limit)?;
            tell(&told, &changes);
            Ok(changes)
        })
    }

    fn drop_queue(&self, pipeline: PipelineId, limit: usize) -> StoreFuture<'_, u64> {
        self.write_and_announce(move |connection| operate::drop_queue(connection, &pipeline, limit))
    }

    fn queued_files(
        &self,
        pipeline: PipelineId,
        after: Seq,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(Seq, NewChange)>> {
        self.read(move |connection| queue::queued_files(connection, &pipeline, after, limit))
    }

    fn note(&self, key: String, word: String) -> StoreFuture<'_, Option<String>> {
        self.alter(move |connection| operate::note(connection, &key, &word))
    }

    fn noted(&self, key: String) -> StoreFuture<'_, Option<String>> {
        self.read(move |connection| operate::noted(connection, &key))
    }

    fn orphans(&self, known: Vec<PipelineId>) -> StoreFuture<'_, Vec<Orphan>> {
        self.read(move |connection| operate::orphans(connection, &known))
    }

    fn purges_of(
        &self,
        pipeline: PipelineId,
        asset: Asset,
        limit: usize,
    ) -> StoreFuture<'_, AssetHistory> {
        self.read(move |connection| asset::history(connection, &pipeline, &asset, limit))
    }

    fn begin_follow_ups(&self, follows: Vec<Follows>, now: Time) -> StoreFuture<'_, ()> {
        self.alter(move |connection| verify::begin(connection, &follows, now))
    }

    fn follow_up(&self, plan: FollowUp, limit: usize) -> StoreFuture<'_, FollowedUp> {
        self.alter(move |connection| verify::follow_up(connection, &plan, limit))
    }

    fn follow_ups(&self, of: Vec<PipelineId>, checks: usize) -> StoreFuture<'_, FollowUps> {
        self.read(move |connection| verify::follow_ups(connection, &of, checks))
    }

    fn purge_again(&self, now: Time, limit: usize) -> StoreFuture<'_, usize> {
        self.write_and_announce(move |connection| verify::purge_again(connection, now, limit))
    }

    fn known(&self, check: Check) -> StoreFuture<'_, Known> {
        self.read(move |connection| verify::known(connection, &check))
    }

    fn looked(&self, looked: Looked) -> StoreFuture<'_, bool> {
        self.alter(move |connection| verify::looked(connection, &looked))
    }

    fn prune(&self, before: Time, limit: usize) -> StoreFuture<'_, u64> {
        self.write(
            move |connection| {
                history::prune(connection, before, limit).map_err(|error| failed(&error))
            },
            |_| {},
        )
    }
}

/// Tells those who wait for changes of the last one on disk.
fn announce(last: &watch::Sender<Seq>, appended: Seq) {
    last.send_if_modified(|last| {
        let grown = appended > *last;
        *last = appended.max(*last);
        grown
    });
}

/// A number for the database, which has signed ones only.
fn int(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A number from the database. None that was written there is negative.
fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn time(millis: i64) -> Time {
    Time::from_millis(uint(millis))
}

#[cfg(test)]
mod tests;
