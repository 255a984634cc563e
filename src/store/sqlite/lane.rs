//! The way to a connection: a thread that has it, or the connection itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};

use super::{Job, StoreError, StoreFuture, Why, Worker};
use crate::store::db::Db;
use crate::supervise::Supervisor;

/// What waits for a thread at most; more make their callers wait.
const WAITING: usize = 1_024;

/// Why a server can't be reached; `None` while it can, and for what is no server.
pub(in crate::store) type Away = Option<Arc<str>>;

/// Takes jobs for a connection. Cheap to clone.
#[derive(Clone)]
pub(in crate::store) enum Lane {
    /// A thread works; its callers wait for it. While its server can't be reached, they are refused at
    /// once, with the reason.
    Thread(mpsc::Sender<Job>, watch::Receiver<Away>),
    /// The caller's thread reads, at once.
    InlineReader(Arc<Mutex<Worker>>),
    /// The caller's thread writes, at once.
    InlineWriter(Arc<Mutex<Worker>>),
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Thread(..) => "Thread",
            Self::InlineReader(_) | Self::InlineWriter(_) => "Inline",
        })
    }
}

impl Lane {
    pub(in crate::store) fn thread(
        name: &str,
        worker: Worker,
        supervisor: &Supervisor,
    ) -> Result<Self, StoreError> {
        let (sender, jobs) = mpsc::channel(WAITING);
        supervisor
            .thread(name, move || {
                worker.run(jobs);
                Ok(())
            })
            .map_err(|error| {
                let text = format!("a thread for the store: {error}");
                StoreError::Failed(Why::because(text, error))
            })?;
        Ok(Self::Thread(sender, watch::Sender::new(None).subscribe()))
    }

    /// The same, of a connection to a server.
    pub(in crate::store) fn of_server(self, away: watch::Receiver<Away>) -> Self {
        match self {
            Self::Thread(jobs, _) => Self::Thread(jobs, away),
            inline => inline,
        }
    }

    /// Tries whether a server can be reached, by a thread that may refuse all else.
    pub(in crate::store) async fn probe(jobs: mpsc::Sender<Job>) -> Result<(), StoreError> {
        let lane = Self::Thread(jobs, watch::Sender::new(None).subscribe());
        lane.call(|db| db.value::<i64>("SELECT 1", &[]).map(drop), |()| {})
            .await
    }

    /// Why its server can't be reached.
    pub(in crate::store) fn away(&self) -> Away {
        match self {
            Self::Thread(_, away) => away.borrow().clone(),
            Self::InlineReader(_) | Self::InlineWriter(_) => None,
        }
    }

    /// Refuses what its server can't be reached for.
    pub(in crate::store) fn enter(&self) -> Result<(), StoreError> {
        let away = |why: Arc<str>| Err(StoreError::Away(why.to_string().into()));
        self.away().map_or(Ok(()), away)
    }

    /// Hands over work; the answer comes when it is committed. `committed` runs where the work is
    /// done, even if the caller does not wait for the answer any more.
    pub(in crate::store) fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Db) -> Result<T, StoreError> + Send + 'static,
        committed: impl FnOnce(&T) + Send + 'static,
    ) -> StoreFuture<'static, T> {
        let lane = self.clone();
        Box::pin(async move {
            lane.enter()?;
            let (answer, heard) = oneshot::channel();
            let job: Job = Box::new(move |db| {
                let result = db.map(work);
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
                    // The caller may have gone away.
                    drop(answer.send(result));
                };
                (kept, Box::new(finish))
            });
            match lane {
                Self::Thread(jobs, _) => jobs.send(job).await.map_err(|_| StoreError::Closed)?,
                Self::InlineReader(worker) => lock(&worker).read(job),
                Self::InlineWriter(worker) => lock(&worker).commit(vec![job]),
            }
            heard.await.map_err(|_| StoreError::Closed)?
        })
    }
}

pub(super) fn lock(worker: &Mutex<Worker>) -> MutexGuard<'_, Worker> {
    worker.lock().unwrap_or_else(PoisonError::into_inner)
}
