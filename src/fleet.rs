//! The driver of the lease (`core/lease.rs`) among the nodes that share a queue: it asks the store, begins
//! what only a leader runs, and ends it.
//!
//! Its clock counts the time for which the machine is suspended ([`Clock::since_boot`]): another node has
//! taken over by then, and its calls are not to meet those of this one. A virtual machine that is halted
//! from outside has no such clock: then the term alone protects, as it protects every commit.

use std::future::Future;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::core::lease::{Lease, LeaseCommand, LeaseEvent, NodeId, WINDOW};
use crate::core::time::Time;
use crate::store::{Desk, Store, StoreError};
use crate::supervise::Supervisor;

/// What only a leader runs, for one term: until it has to end (the token), or ends by itself. An error is
/// why it could not begin.
pub type Lead =
    Box<dyn FnMut(Desk, CancellationToken) -> BoxFuture<'static, Result<(), String>> + Send>;

/// Shows whether this node leads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FleetHandle {
    leads: watch::Receiver<bool>,
}

impl FleetHandle {
    /// Whether this node leads.
    #[must_use]
    pub fn leads(&self) -> bool {
        *self.leads.borrow()
    }
}

/// Takes part in who leads, from now on until all stops; then another node leads at once.
#[must_use]
pub fn spawn(store: &Arc<Store>, node: NodeId, lead: Lead, supervisor: &Supervisor) -> FleetHandle {
    let leads = watch::Sender::new(false);
    let handle = FleetHandle {
        leads: leads.subscribe(),
    };
    let driver = Driver {
        store: Arc::clone(store),
        node,
        lease: Lease::new(node, fastrand::u64(..), Clock::since_boot()),
        lead,
        questions: FuturesUnordered::new(),
        term: None,
        leads,
    };
    let stopping = supervisor.stopping();
    supervisor.spawn("fleet", async move {
        driver.run(stopping).await;
        Ok(())
    });
    handle
}

/// The answer of a question to the store, with the desk of a term that has begun.
type Answer = (LeaseEvent, Option<Desk>);

/// A term in which this node leads.
struct Term {
    desk: Desk,
    over: CancellationToken,
    running: BoxFuture<'static, Result<(), String>>,
}

struct Driver {
    store: Arc<Store>,
    node: NodeId,
    lease: Lease,
    lead: Lead,
    /// What the store is asked.
    questions: FuturesUnordered<BoxFuture<'static, Option<Answer>>>,
    term: Option<Term>,
    leads: watch::Sender<bool>,
}

impl Driver {
    async fn run(mut self, stopping: CancellationToken) {
        let mut stops = false;
        while !stops || self.term.is_some() || !self.questions.is_empty() {
            let wake = self.lease.next_wake();
            let sleep = async {
                match wake {
                    Some(at) => tokio::time::sleep(at.since(Clock::since_boot())).await,
                    None => std::future::pending().await,
                }
            };
            let term = async {
                match &mut self.term {
                    Some(term) => (&mut term.running).await,
                    None => std::future::pending().await,
                }
            };
            let (event, desk) = tokio::select! {
                () = stopping.cancelled(), if !stops => {
                    stops = true;
                    (LeaseEvent::Stop, None)
                }
                ended = term => (self.ended(ended), None),
                Some(answer) = self.questions.next() => match answer {
                    Some(answer) => answer,
                    None => continue,
                },
                () = sleep => (LeaseEvent::Wake, None),
            };
            self.handle(event, desk);
        }
    }

    fn handle(&mut self, event: LeaseEvent, desk: Option<Desk>) {
        let now = Clock::since_boot();
        let command = self.lease.handle(now, event);
        if let Some(until) = self.lease.until() {
            match (&self.term, desk) {
                (Some(term), _) => term.desk.tenure().renew(until),
                (None, Some(desk)) => {
                    desk.tenure().renew(until);
                    self.begin(desk);
                }
                (None, None) => {}
            }
        }
        match (command, &self.term) {
            (Some(LeaseCommand::StepDown), Some(term)) => term.over.cancel(),
            (Some(LeaseCommand::StepDown), None) => self.handle(LeaseEvent::Ended, None),
            (Some(command), _) => {
                let asked = ask(Arc::clone(&self.store), self.node, command, now);
                self.questions.push(Box::pin(asked));
            }
            (None, _) => {}
        }
    }

    fn begin(&mut self, desk: Desk) {
        tracing::info!("this node leads from now on");
        let over = CancellationToken::new();
        let running = (self.lead)(desk.clone(), over.clone());
        self.term = Some(Term {
            desk,
            over,
            running,
        });
        self.leads.send_replace(true);
    }

    /// What only a leader runs has ended.
    fn ended(&mut self, ended: Result<(), String>) -> LeaseEvent {
        let was_told = self
            .term
            .take()
            .is_some_and(|term| term.over.is_cancelled());
        self.leads.send_replace(false);
        match ended {
            Err(why) if !was_told => {
                tracing::error!(
                    "this node can't lead, and leaves it to others for a minute: {why}"
                );
                LeaseEvent::Failed
            }
            _ => {
                tracing::info!("this node leads no longer");
                LeaseEvent::Ended
            }
        }
    }
}

/// Asks the store. An answer that comes after a [`WINDOW`] is of no use.
async fn ask(
    store: Arc<Store>,
    node: NodeId,
    command: LeaseCommand,
    asked: Time,
) -> Option<Answer> {
    match command {
        LeaseCommand::Read => Some(match in_time(store.lease()).await {
            Some(row) => (LeaseEvent::Read(row), None),
            None => (LeaseEvent::Unreachable, None),
        }),
        LeaseCommand::Renew(term) => Some(match in_time(store.renew(term)).await {
            Some(kept) => (LeaseEvent::Renewed(term, asked, kept), None),
            None => (LeaseEvent::Unreachable, None),
        }),
        LeaseCommand::Take(read, term) => {
            let taken = store.take_over(read, term, node, asked.after(WINDOW));
            Some(match in_time(taken).await {
                Some(desk) => (LeaseEvent::Taken(term, asked, desk.is_some()), desk),
                None => (LeaseEvent::Unreachable, None),
            })
        }
        LeaseCommand::Resign(term) => {
            // Without an answer the others take over after their patience.
            in_time(store.resign(term)).await;
            None
        }
        LeaseCommand::StepDown => None,
    }
}

/// What is answered in time and without an error.
async fn in_time<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
    match tokio::time::timeout(WINDOW, answer).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            // The store itself logs that its server is away.
            if !matches!(error, StoreError::Away(_) | StoreError::Closed) {
                tracing::warn!("who leads can't be asked: {error}");
            }
            None
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests;
