//! A thread with a connection, and the group commit.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::delivery_batcher::DeliveryBatcher;
use super::lock::Lock;
use super::{StoreError, Why};
use crate::store::commits::Commits;
use crate::store::db::{Db, Session};

/// How many jobs share a transaction at most, so that the first does not wait for ever.
const GROUP: usize = 512;

/// What is called when the transaction of a job is over.
pub(in crate::store) type Finish = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// Work for a connection, or for none, when it can't be done: whether what it did is to be kept, and
/// how to answer.
pub(in crate::store) type Job = Box<dyn FnOnce(Option<&dyn Db>) -> (bool, Finish) + Send>;

/// How a job is answered, and why it failed alone, where it did.
type Answer = (Finish, Option<StoreError>);

/// A connection and how to work with it.
pub(in crate::store) struct Worker {
    session: Box<dyn Session>,
    /// Counts and times commits; `None` for a reader, which needs no transactions.
    commits: Option<Arc<Commits>>,
    /// Deliveries that no job takes yet, and the lock of the directory that this writes in; `None` for a
    /// reader, and for a database in memory.
    arrivals: Option<(DeliveryBatcher, Option<Lock>)>,
    /// The answers of a commit that is in doubt: they are given when it is known what became of it.
    doubtful: RefCell<Vec<Answer>>,
}

impl Worker {
    pub(in crate::store) fn writer(
        session: impl Session + 'static,
        commits: &Arc<Commits>,
        arrivals: Option<(DeliveryBatcher, Option<Lock>)>,
    ) -> Self {
        Self {
            session: Box::new(session),
            commits: Some(Arc::clone(commits)),
            arrivals,
            doubtful: RefCell::default(),
        }
    }

    pub(in crate::store) fn reader(session: impl Session + 'static) -> Self {
        Self {
            session: Box::new(session),
            commits: None,
            arrivals: None,
            doubtful: RefCell::default(),
        }
    }

    pub(super) fn db(&self) -> &dyn Db {
        self.session.db()
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
            let arrivals = self.arrivals.as_ref().map(|(arrivals, _)| arrivals);
            group.extend(arrivals.and_then(DeliveryBatcher::left));
            self.commit(group);
        }
    }

    /// Runs a job that only reads.
    pub(super) fn read(&self, job: Job) {
        let (_, finish) = job(Some(self.db()));
        finish(Ok(()));
    }

    /// Runs a group in one transaction, each job in a savepoint of its own, so that one that
    /// fails fails alone; a job without company needs none. On some errors (a full disk) `SQLite` ends the whole transaction: then all
    /// fail, and none of the rest is run, since it would be committed on its own.
    pub(super) fn commit(&self, group: Vec<Job>) {
        let since = self.commits.as_ref().and_then(|commits| commits.begin());
        let mut result = self.session.begin();
        self.give_doubtful();
        let begun = result.is_ok();
        let alone = group.len() == 1;
        let mut answers = Vec::with_capacity(group.len());
        for job in group {
            if !alone {
                result = result.and_then(|()| self.session.step("SAVEPOINT job"));
            }
            let able = result.is_ok().then(|| self.db());
            let (mut kept, finish) = job(able);
            let mut own = None;
            if !alone && kept {
                own = self.session.settle().err();
                kept = own.is_none();
            }
            answers.push((finish, own));
            result = result.and_then(|()| {
                if !self.session.in_transaction() {
                    return Err(self.session.given_up());
                }
                match (alone, kept) {
                    (true, true) => Ok(()),
                    // It answers why; the transaction that is committed then is empty.
                    (true, false) => self.session.roll_back().and_then(|()| self.session.begin()),
                    (false, true) => self.session.step("RELEASE job"),
                    (false, false) => self
                        .session
                        .step("ROLLBACK TO job")
                        .and_then(|()| self.session.step("RELEASE job")),
                }
            });
        }
        result = result.and_then(|()| self.session.commit());
        if result.is_ok() {
            if let Some(commits) = &self.commits {
                commits.end(since);
            }
        } else if self.session.in_transaction()
            && let Err(error) = self.session.roll_back()
        {
            tracing::error!("a failed transaction can't be rolled back: {error}");
        }
        // What did not begin is not in doubt, though the commit before may be still.
        if begun && self.session.in_doubt() {
            self.doubtful.borrow_mut().extend(answers);
            return;
        }
        give(answers, &result);
    }

    /// Gives the answers of a commit that was in doubt, if it is known by now what became of it.
    fn give_doubtful(&self) {
        if let Some(kept) = self.session.resolved() {
            let lost = || StoreError::Away("PostgreSQL did not keep the commit".to_owned().into());
            give(self.doubtful.take(), &kept.then_some(()).ok_or_else(lost));
        }
    }
}

fn give(answers: Vec<Answer>, result: &Result<(), StoreError>) {
    for (finish, own) in answers {
        let own = own.map(Err);
        finish(match own.as_ref().unwrap_or(result) {
            Ok(()) => Ok(()),
            Err(error @ (StoreError::Away(_) | StoreError::Unusable(_))) => Err(error.clone()),
            Err(error) => Err(StoreError::Failed(Why::because(
                error.to_string(),
                error.clone(),
            ))),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use rusqlite::Connection;

    use super::*;

    /// A server that went away in the middle of a commit.
    struct Gone(Connection);

    impl Session for Gone {
        fn begin(&self) -> Result<(), StoreError> {
            Err(self.given_up())
        }

        fn commit(&self) -> Result<(), StoreError> {
            Err(self.given_up())
        }

        fn roll_back(&self) -> Result<(), StoreError> {
            Err(self.given_up())
        }

        fn in_transaction(&self) -> bool {
            false
        }

        fn in_doubt(&self) -> bool {
            true
        }

        fn db(&self) -> &dyn Db {
            &self.0
        }
    }

    /// Else what tries whether the server is back would wait for its own answer.
    #[test]
    fn what_cannot_begin_while_a_commit_is_in_doubt_is_refused_at_once() {
        let worker = Worker::reader(Gone(Connection::open_in_memory().unwrap()));
        let (answer, answered) = channel();
        worker.commit(vec![Box::new(|db| {
            let able = db.is_some();
            (
                able,
                Box::new(move |result| answer.send((able, result)).unwrap()),
            )
        })]);
        let (able, result) = answered.try_recv().unwrap();
        assert!(!able && result.is_err());
    }
}
