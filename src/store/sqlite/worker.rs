//! A thread with a connection, and the group commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::delivery_batcher::DeliveryBatcher;
use super::lock::Lock;
use super::{StoreError, Why, failed};

/// How many jobs share a transaction at most, so that the first does not wait for ever.
const GROUP: usize = 512;

/// What is called when the transaction of a job is over.
pub(in crate::store) type Finish = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// Work for a connection, or for none, when it can't be done: whether what it did is to be kept, and
/// how to answer.
pub(in crate::store) type Job = Box<dyn FnOnce(Option<&Connection>) -> (bool, Finish) + Send>;

/// A connection and how to work with it.
pub(in crate::store) struct Worker {
    connection: Connection,
    /// Counts commits; `None` for a reader, which needs no transactions.
    commits: Option<Arc<AtomicU64>>,
    /// Deliveries that no job takes yet, and the lock that is held while this may write; `None` for a
    /// reader, and for a database in memory.
    directory: Option<(DeliveryBatcher, Lock)>,
}

impl Worker {
    pub(super) fn writer(
        connection: Connection,
        commits: &Arc<AtomicU64>,
        directory: Option<(DeliveryBatcher, Lock)>,
    ) -> Self {
        Self {
            connection,
            commits: Some(Arc::clone(commits)),
            directory,
        }
    }

    pub(super) const fn reader(connection: Connection) -> Self {
        Self {
            connection,
            commits: None,
            directory: None,
        }
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Works until every handle is dropped.
    pub(super) fn run(self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            if self.commits.is_none() {
                self.read(first);
                continue;
            }
            // Tasks that are about to bring more may do so first: where there are none, this returns at once. Else
            // a fast disk would make many small commits of a flood, each at the same price.
            std::thread::yield_now();
            let mut group = vec![first];
            while group.len() < GROUP
                && let Ok(next) = jobs.try_recv()
            {
                group.push(next);
            }
            let arrivals = self.directory.as_ref().map(|(arrivals, _)| arrivals);
            group.extend(arrivals.and_then(DeliveryBatcher::left));
            self.commit(group);
        }
    }

    /// Runs a job that only reads.
    pub(super) fn read(&self, job: Job) {
        let (_, finish) = job(Some(&self.connection));
        finish(Ok(()));
    }

    /// Runs a group in one transaction, each job in a savepoint of its own, so that one that
    /// fails fails alone; a job without company needs none. On some errors (a full disk) `SQLite` ends the whole transaction: then all
    /// fail, and none of the rest is run, since it would be committed on its own.
    pub(super) fn commit(&self, group: Vec<Job>) {
        let mut result = self.execute("BEGIN IMMEDIATE");
        let alone = group.len() == 1;
        let mut answers = Vec::with_capacity(group.len());
        for job in group {
            if !alone {
                result = result.and_then(|()| self.execute("SAVEPOINT job"));
            }
            let able = result.is_ok().then_some(&self.connection);
            let (kept, finish) = job(able);
            answers.push(finish);
            result = result.and_then(|()| {
                if self.connection.is_autocommit() {
                    let why = "queue.db: the transaction was given up; nothing of it was kept";
                    return Err(StoreError::Failed(why.to_owned().into()));
                }
                match (alone, kept) {
                    (true, true) => Ok(()),
                    // It answers why; the transaction that is committed then is empty.
                    (true, false) => self
                        .execute("ROLLBACK")
                        .and_then(|()| self.execute("BEGIN IMMEDIATE")),
                    (false, true) => self.execute("RELEASE job"),
                    (false, false) => self
                        .execute("ROLLBACK TO job")
                        .and_then(|()| self.execute("RELEASE job")),
                }
            });
        }
        result = result.and_then(|()| self.execute("COMMIT"));
        if result.is_ok() {
            if let Some(commits) = &self.commits {
                commits.fetch_add(1, Ordering::Relaxed);
            }
        } else if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::error!("a failed transaction can't be rolled back: {error}");
        }
        for finish in answers {
            finish(match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(StoreError::Failed(Why::because(
                    error.to_string(),
                    error.clone(),
                ))),
            });
        }
    }

    fn execute(&self, sql: &str) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([]))
            .map(drop)
            .map_err(failed)
    }
}
