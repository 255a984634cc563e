//! Deliveries that have arrived and wait for the writer's thread. All that wait when it takes them are one
//! job, so that each costs a row, and they share the job, the savepoint and the sync.
//!
//! Of the 18 to 20 microseconds of a core that a delivery costs, TCP takes seven, HTTP, JSON and HMAC
//! eight, the store four. The core is idle for a tenth of the time, while all that arrived wait for one
//! sync; to commit them by halves costs more than it saves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

use super::worker::{Finish, Job};
use super::{DeliveryKeys, Lane, StoreError, StoreFuture, announce, deliveries, lane};
use crate::core::change::Seq;
use crate::core::delivery::{NewDelivery, Taken};
use crate::store::calls::queue::Pulled;
use crate::store::commits::{Commits, Counts};
use crate::store::db::Db;
use crate::store::written::Lately;
use crate::supervise::Supervisor;

/// Deliveries that wait at most; the senders of more are asked to try again.
const WAITING: usize = 4_096;
/// Commits whose answers wait to be given at most; those of more are given by the writer itself.
const ANSWERS: usize = 16;

/// How long a sender waits for a server, at most: it is asked to try again, and is recognised then if its
/// delivery was taken.
const IN_TIME: Duration = Duration::from_secs(10);

/// One delivery, and who waits for what becomes of it.
struct Arrival {
    delivery: Arc<NewDelivery>,
    answer: oneshot::Sender<Result<Taken, StoreError>>,
}

#[derive(Default)]
struct Waiting {
    arrivals: Vec<Arrival>,
    /// Whether a job that takes them is on its way to the writer.
    sent: bool,
}

/// What became of deliveries, and who waits for it.
struct Answers {
    waiting: Vec<Arrival>,
    result: Result<Vec<Taken>, StoreError>,
}

impl Answers {
    fn give(self) {
        match self.result {
            Ok(taken) => {
                for (arrival, taken) in self.waiting.into_iter().zip(taken) {
                    // Who asked may have gone away.
                    drop(arrival.answer.send(Ok(taken)));
                }
            }
            Err(error) => {
                for arrival in self.waiting {
                    drop(arrival.answer.send(Err(error.clone())));
                }
            }
        }
    }
}

/// What has arrived. Cheap to clone.
#[derive(Clone)]
pub(in crate::store) struct DeliveryBatcher {
    waiting: Arc<Mutex<Waiting>>,
    keys: DeliveryKeys,
    pulled: Pulled,
    last: Arc<watch::Sender<Seq>>,
    commits: Arc<Commits>,
    /// Announces deliveries that wait.
    waits: Arc<watch::Sender<()>>,
    /// To the task that gives answers: from the writer's thread each would be a wake-up of the
    /// runtime, and from a task all of them are one.
    answers: Option<mpsc::Sender<Answers>>,
    /// How long an answer is waited for; `None`: until it comes.
    patience: Option<Duration>,
    lately: Lately,
}

impl std::fmt::Debug for DeliveryBatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeliveryBatcher")
    }
}

impl DeliveryBatcher {
    /// `last` announces the changes that are made, and `commits` counts them.
    pub(in crate::store) fn new(
        keys: DeliveryKeys,
        pulled: Pulled,
        last: Arc<watch::Sender<Seq>>,
        commits: &Arc<Commits>,
    ) -> Self {
        Self {
            waiting: Arc::default(),
            keys,
            pulled,
            last,
            commits: Arc::clone(commits),
            waits: Arc::new(watch::Sender::new(())),
            answers: None,
            patience: None,
            lately: Lately::default(),
        }
    }

    /// The same, whose answers a task gives instead of the thread that writes.
    pub(in crate::store) fn answering_from_a_task(self, supervisor: &Supervisor) -> Self {
        let (answers, mut answered) = mpsc::channel::<Answers>(ANSWERS);
        supervisor.spawn("answers to deliveries", async move {
            while let Some(answers) = answered.recv().await {
                answers.give();
            }
            Ok(())
        });
        Self {
            answers: Some(answers),
            ..self
        }
    }

    /// The same, whose senders wait for an answer no longer than [`IN_TIME`].
    pub(in crate::store) fn answering_in_time(self) -> Self {
        Self {
            patience: Some(IN_TIME),
            ..self
        }
    }

    /// The same, which keeps what it took in a ring.
    pub(in crate::store) fn keeping(self, lately: Lately) -> Self {
        Self { lately, ..self }
    }

    /// Changes when a delivery that waits is on disk.
    pub(in crate::store) fn subscribe_waiting(&self) -> watch::Receiver<()> {
        self.waits.subscribe()
    }

    /// Another node's delivery may wait.
    pub(in crate::store) fn announce_waiting(&self) {
        self.waits.send_replace(());
    }

    /// Brings a delivery to the writer; the answer comes when it is on disk. It is taken even if
    /// nothing waits for the answer any more.
    pub(in crate::store) fn take(
        &self,
        delivery: NewDelivery,
        writer: &Lane,
    ) -> StoreFuture<'static, Taken> {
        let heard = writer.enter().and_then(|()| self.bring(delivery, writer));
        let patience = self.patience;
        Box::pin(async move {
            let heard = heard?;
            let heard = match patience {
                None => heard.await,
                Some(patience) => tokio::time::timeout(patience, heard).await.map_err(|_| {
                    let why = "PostgreSQL: it is not known yet whether the delivery was taken";
                    StoreError::Away(why.to_owned().into())
                })?,
            };
            heard.map_err(|_| StoreError::Closed)?
        })
    }

    fn bring(
        &self,
        delivery: NewDelivery,
        writer: &Lane,
    ) -> Result<oneshot::Receiver<Result<Taken, StoreError>>, StoreError> {
        let (answer, heard) = oneshot::channel();
        let mut waiting = self.lock();
        if waiting.arrivals.len() >= WAITING {
            return Err(StoreError::Failed(
                "queue.db: the disk does not keep up with what arrives"
                    .to_owned()
                    .into(),
            ));
        }
        let delivery = Arc::new(delivery);
        waiting.arrivals.push(Arrival { delivery, answer });
        let jobs = match writer {
            Lane::Thread(jobs, _) => jobs,
            Lane::InlineReader(worker) | Lane::InlineWriter(worker) => {
                drop(waiting);
                lane::lock(worker).commit(vec![self.job()]);
                return Ok(heard);
            }
        };
        if !waiting.sent {
            match jobs.try_send(self.job()) {
                Ok(()) => waiting.sent = true,
                // The writer looks here itself before it sleeps: see `left`.
                Err(TrySendError::Full(_)) => {}
                Err(TrySendError::Closed(_)) => return Err(StoreError::Closed),
            }
        }
        Ok(heard)
    }

    /// A job for what has arrived while there was no room to send one.
    pub(super) fn left(&self) -> Option<Job> {
        let mut waiting = self.lock();
        let left = !waiting.sent && !waiting.arrivals.is_empty();
        waiting.sent |= left;
        left.then(|| self.job())
    }

    /// The job that takes all that have arrived by then.
    fn job(&self) -> Job {
        let arrivals = self.clone();
        Box::new(move |db| {
            let waiting = {
                let mut waiting = arrivals.lock();
                waiting.sent = false;
                // About as many come until the next.
                let room = Vec::with_capacity(waiting.arrivals.len());
                std::mem::replace(&mut waiting.arrivals, room)
            };
            let result = match db {
                Some(db) => take_all(db, &waiting, &arrivals.keys, &arrivals.pulled),
                None => Err(StoreError::Closed),
            };
            let kept = result.is_ok();
            let finish: Finish = Box::new(move |commit| {
                let result = commit.and(result);
                match &result {
                    Ok((taken, (appended, counts))) => {
                        let new = waiting.iter().zip(taken);
                        let new = new.filter(|(_, taken)| **taken != Taken::Duplicate);
                        let mut new = new.map(|(arrival, _)| &arrival.delivery);
                        arrivals.lately.keep_deliveries(new.clone());
                        announce(&arrivals.last, *appended);
                        arrivals.commits.appended(counts);
                        // Not by the call that waits for the answer, since that may be gone.
                        if new.any(|delivery| delivery.waits()) {
                            arrivals.announce_waiting();
                        }
                    }
                    Err(_) => arrivals.keys.doubt(),
                }
                let result = result.map(|(taken, _)| taken);
                let answers = Answers { waiting, result };
                match &arrivals.answers {
                    Some(task) => {
                        if let Err(error) = task.try_send(answers) {
                            error.into_inner().give();
                        }
                    }
                    None => answers.give(),
                }
            });
            (kept, finish)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes them in order. Returns the last sequence number, and how many changes there are.
fn take_all(
    db: &dyn Db,
    waiting: &[Arrival],
    keys: &DeliveryKeys,
    pulled: &Pulled,
) -> Result<(Vec<Taken>, (Seq, Counts)), StoreError> {
    let coming = waiting.iter().map(|arrival| &*arrival.delivery);
    let mut taker = deliveries::Taker::new(db, keys, pulled, coming.clone())?;
    let each = coming.map(|delivery| taker.take(delivery));
    let became = each.collect::<Result<_, _>>()?;
    Ok((became, taker.finish()?))
}

#[cfg(test)]
mod tests;
