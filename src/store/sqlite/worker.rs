//! A thread with a connection, and the group commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::arrivals::Arrivals;
use super::lock::Lock;
use super::{StoreError, failed};

/// How many jobs share a transaction at most, so that the first does not wait for ever.
const GROUP: usize = 512;

/// What is called when the transaction of a job is over.
pub(super) type Finish = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// Work for a connection, or for none, when it can't be done: whether what it did is to be kept, and
/// how to answer.
pub(super) type Job = Box<dyn FnOnce(Option<&Connection>) -> (bool, Finish) + Send>;

/// A connection and how to work with it.
pub(super) struct Worker {
    connection: Connection,
    /// Counts commits; `None` for a reader, which needs no transactions.
    commits: Option<Arc<AtomicU64>>,
    /// Deliveries that no job takes yet; `None` for a reader.
    arrivals: Option<Arrivals>,
    /// Held while this may write.
    _lock: Option<Lock>,
}

impl Worker {
    pub(super) fn writer(
        connection: Connection,
        commits: &Arc<AtomicU64>,
        arrivals: Arrivals,
        lock: Lock,
    ) -> Self {
        Self {
            connection,
            commits: Some(Arc::clone(commits)),
            arrivals: Some(arrivals),
            _lock: Some(lock),
        }
    }

    pub(super) const fn reader(connection: Connection) -> Self {
        Self {
            connection,
            commits: None,
            arrivals: None,
            _lock: None,
        }
    }

    /// Works until nobody can ask any more.
    pub(super) fn run(self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            if self.commits.is_none() {
                let (_, finish) = first(Some(&self.connection));
                finish(Ok(()));
                continue;
            }
            // Whoever is about to bring more may do so first: where nobody is, this returns at once. Else
            // a fast disk would make many small commits of a flood, each at the same price.
            std::thread::yield_now();
            let mut group = vec![first];
            while group.len() < GROUP
                && let Ok(next) = jobs.try_recv()
            {
                group.push(next);
            }
            group.extend(self.arrivals.as_ref().and_then(Arrivals::left));
            self.commit(group);
        }
    }

    /// Runs a group in one transaction, each job in a savepoint of its own, so that one that
    /// fails fails alone; a job without company needs none. On some errors (a full disk) `SQLite` ends the whole transaction: then all
    /// fail, and none of the rest is run, since it would be committed on its own.
    fn commit(&self, group: Vec<Job>) {
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
                    return Err(StoreError::Failed(why.to_owned()));
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
                Err(error) => Err(StoreError::Failed(error.to_string())),
            });
        }
    }

    fn execute(&self, sql: &str) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([]))
            .map(drop)
            .map_err(|error| failed(&error))
    }
}
