//! The driver of the lease (`core/lease.rs`) among the nodes that share a queue: it asks the store, begins
//! what only a leader runs, and ends it.
//!
//! Its clock counts the time for which the machine is suspended ([`Clock::since_boot`]): another node has
//! taken over by then, and its calls are not to meet those of this one. A virtual machine that is halted
//! from outside has no such clock: then the term alone protects, as it protects every commit.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::core::alarm::{Alarm, AlarmKind};
use crate::core::drift::Reading;
use crate::core::lease::{Lease, LeaseCommand, LeaseEvent, NodeId, WINDOW};
use crate::core::nodes::{Census, Comparison, Differences, Node, NodeRow, Trees};
use crate::core::time::Time;
use crate::store::{Desk, OtherNodes, Store, StoreError};
use crate::supervise::{Fault, Supervisor};

mod agreements;
mod rounds;

pub use agreements::Agreements;
use rounds::Awaited;

/// What only a leader runs, for one term: until it has to end (the token), or ends by itself. An error is
/// why it could not begin.
pub type Lead = Box<
    dyn FnMut(Desk, FleetHandle, CancellationToken) -> BoxFuture<'static, Result<(), String>>
        + Send,
>;

/// Shows the nodes, and whether this one leads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FleetHandle {
    leads: watch::Receiver<bool>,
    nodes: watch::Receiver<Vec<Node>>,
    /// When they were observed last.
    observed: watch::Receiver<Option<Time>>,
    /// Asks for them to be observed now.
    looks: watch::Sender<()>,
    trees: watch::Receiver<Vec<Trees>>,
    alarms: watch::Receiver<Vec<Alarm>>,
    /// Says that this node has opened a round, or done one.
    rounds: watch::Sender<()>,
    awaited: watch::Sender<Awaited>,
}

impl FleetHandle {
    /// Whether this node leads.
    #[must_use]
    pub fn leads(&self) -> bool {
        *self.leads.borrow()
    }

    /// Changes when the nodes are observed, with each beat.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Vec<Node>> {
        self.nodes.clone()
    }

    /// The nodes, as they were observed last.
    #[must_use]
    pub fn nodes(&self) -> Vec<Node> {
        self.nodes.borrow().clone()
    }

    /// When they were observed last; `None`: not yet.
    #[must_use]
    pub fn observed(&self) -> Option<Time> {
        *self.observed.borrow()
    }

    /// Has the nodes observed now, and waits for a moment until this one is not among them any more.
    pub async fn without(&self, node: NodeId) {
        let mut nodes = self.subscribe();
        self.looks.send_replace(());
        let is_it = |one: &Node| one.observed.is_some_and(|(id, _)| id == node);
        let gone = nodes.wait_for(|nodes| !nodes.iter().any(is_it));
        drop(tokio::time::timeout(WINDOW, gone).await);
    }

    /// How the files of the origins compare on them, as they were observed last.
    #[must_use]
    pub fn trees(&self) -> Vec<Trees> {
        self.trees.borrow().clone()
    }

    /// What is wrong among them, or with their clocks.
    #[must_use]
    pub fn alarms(&self) -> Vec<Alarm> {
        self.alarms.borrow().clone()
    }
}

/// Takes part in who leads, from now on until all stops; then another node leads at once.
#[must_use]
pub fn spawn(
    store: &Arc<Store>,
    node: NodeId,
    lead: Lead,
    clock: Clock,
    supervisor: &Supervisor,
) -> FleetHandle {
    let driver = Driver {
        store: Arc::clone(store),
        node,
        clock,
        lease: Lease::new(node, fastrand::u64(..), Clock::since_boot()),
        lead,
        questions: FuturesUnordered::new(),
        term: None,
        census: Census::default(),
        differences: Differences::default(),
        comparison: Comparison::default(),
        trouble: None,
        others: store.subscribe_others(),
        is_vacant: false,
        leads: watch::Sender::new(false),
        nodes: watch::Sender::default(),
        observed: watch::Sender::default(),
        looks: watch::Sender::default(),
        trees: watch::Sender::default(),
        alarms: watch::Sender::default(),
        rounds: watch::Sender::default(),
        awaited: watch::Sender::default(),
    };
    let handle = driver.shown();
    let stopping = supervisor.stopping();
    supervisor.spawn("fleet", driver.run(stopping));
    handle
}

/// The answer of a question to the store.
enum Answer {
    /// About the lease, with the desk of a term that has begun.
    Lease(LeaseEvent, Option<Desk>),
    /// The nodes, and the time on the database's machine.
    Nodes(Result<(Vec<NodeRow>, Option<Reading>), StoreError>),
    /// About what does not matter any more.
    Left,
}

/// A term in which this node leads.
struct Term {
    desk: Desk,
    over: CancellationToken,
    running: BoxFuture<'static, Result<(), String>>,
}

struct Driver {
    store: Arc<Store>,
    node: NodeId,
    clock: Clock,
    lease: Lease,
    lead: Lead,
    /// What the store is asked.
    questions: FuturesUnordered<BoxFuture<'static, Answer>>,
    term: Option<Term>,
    census: Census,
    differences: Differences,
    comparison: Comparison,
    /// Why the nodes can't be read.
    trouble: Option<String>,
    others: watch::Receiver<OtherNodes>,
    /// Whether no node led, when that was noticed last.
    is_vacant: bool,
    leads: watch::Sender<bool>,
    nodes: watch::Sender<Vec<Node>>,
    observed: watch::Sender<Option<Time>>,
    looks: watch::Sender<()>,
    trees: watch::Sender<Vec<Trees>>,
    alarms: watch::Sender<Vec<Alarm>>,
    rounds: watch::Sender<()>,
    awaited: watch::Sender<Awaited>,
}

impl Driver {
    fn shown(&self) -> FleetHandle {
        FleetHandle {
            leads: self.leads.subscribe(),
            nodes: self.nodes.subscribe(),
            observed: self.observed.subscribe(),
            looks: self.looks.clone(),
            trees: self.trees.subscribe(),
            alarms: self.alarms.subscribe(),
            rounds: self.rounds.clone(),
            awaited: self.awaited.clone(),
        }
    }

    async fn run(mut self, stopping: CancellationToken) -> Result<(), Fault> {
        let mut stops = false;
        let mut looks = self.looks.subscribe();
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
                    self.leave();
                    (LeaseEvent::Stop, None)
                }
                ended = term => (self.ended(ended), None),
                Some(answer) = self.questions.next() => match answer {
                    Answer::Lease(event, desk) => (event, desk),
                    Answer::Nodes(rows) => {
                        self.observe(rows)?;
                        continue;
                    }
                    Answer::Left => continue,
                },
                Ok(()) = self.others.changed() => {
                    let before = self.is_vacant;
                    self.is_vacant = self.others.borrow_and_update().is_vacant;
                    // Once for each leader that resigns, however much others commit meanwhile.
                    if before || !self.is_vacant {
                        continue;
                    }
                    (LeaseEvent::News, None)
                }
                Ok(()) = looks.changed(), if !stops => {
                    self.beat();
                    continue;
                }
                () = sleep => (LeaseEvent::Wake, None),
            };
            self.handle(event, desk);
        }
        Ok(())
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
                if matches!(command, LeaseCommand::Read | LeaseCommand::Renew(_)) {
                    self.beat();
                }
                let asked = ask(Arc::clone(&self.store), self.node, command, now);
                self.questions.push(asked.boxed());
            }
            (None, _) => {}
        }
    }

    /// Says that this node runs, and looks at the others.
    fn beat(&self) {
        let (store, now) = (Arc::clone(&self.store), self.clock.now());
        let nodes = async move {
            let seen = async { Ok((store.beat(now).await?, store.time().await?)) };
            Answer::Nodes(in_time(seen).await)
        };
        self.questions.push(nodes.boxed());
    }

    /// Takes in the nodes. A store that can't be used any more ends the process: it may lead, or be a copy of
    /// a node that runs.
    fn observe(
        &mut self,
        seen: Result<(Vec<NodeRow>, Option<Reading>), StoreError>,
    ) -> Result<(), Fault> {
        let error = match seen {
            Ok((rows, reading)) => {
                let now = Clock::since_boot();
                let nodes = self.census.observe(now, rows);
                let missed = self.census.missed(now, &nodes);
                let missed = missed.into_iter().map(silent_alarm);
                let differ = self.differences.observe(now, &nodes);
                let differ = differ.map(|text| Alarm::new(AlarmKind::ConfigDiffers, text));
                let wrong = reading.and_then(|reading| clock_alarm(&reading, self.clock));
                self.alarms
                    .send_replace(missed.chain(differ).chain(wrong).collect());
                self.observed.send_replace(Some(self.clock.now()));
                let trees = self.comparison.observe(self.clock.now(), &nodes);
                self.trees.send_replace(trees);
                self.nodes.send_replace(nodes);
                self.trouble = None;
                return Ok(());
            }
            Err(error) => error,
        };
        self.census.interrupted();
        let why = error.to_string();
        match error {
            StoreError::Unusable(_) | StoreError::Damaged(_) => {
                return Err(Fault {
                    task: "fleet".to_owned(),
                    message: format!("the queue can't be used: {why}"),
                });
            }
            // The store itself logs that its server is away.
            StoreError::Away(_) | StoreError::Closed => {}
            _ if self.trouble.as_ref() == Some(&why) => {}
            _ => tracing::warn!("the nodes can't be read: {why}"),
        }
        self.trouble = Some(why);
        Ok(())
    }

    fn leave(&self) {
        let store = Arc::clone(&self.store);
        let left = async move {
            drop(in_time(store.leave()).await);
            Answer::Left
        };
        self.questions.push(left.boxed());
    }

    fn begin(&mut self, desk: Desk) {
        tracing::info!("this node leads from now on");
        self.leads.send_replace(true);
        let over = CancellationToken::new();
        let shown = self.shown();
        let running = (self.lead)(desk.clone(), shown, over.clone());
        self.term = Some(Term {
            desk,
            over,
            running,
        });
    }

    /// What only a leader runs has ended.
    fn ended(&mut self, ended: Result<(), String>) -> LeaseEvent {
        let had_to_end = self
            .term
            .take()
            .is_some_and(|term| term.over.is_cancelled());
        self.leads.send_replace(false);
        match ended {
            Err(why) if !had_to_end => {
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

/// That a node has been silent for long.
fn silent_alarm(node: &Node) -> Alarm {
    let Node { name, since, .. } = node;
    let text = format!("{name} has been silent since {since}; it did not stop by itself");
    Alarm::new(AlarmKind::Silent, text)
        .about_node(name)
        .since(*since)
}

/// That the clock of this process or of its machine is not that of the database.
fn clock_alarm(reading: &Reading, clock: Clock) -> Option<Alarm> {
    let own = reading.wrong(clock.now());
    let own = own.map(|wrong| format!("the times of this edgepurge are {wrong}"));
    let machine = || {
        Some(format!(
            "the clock of this machine is {}",
            reading.wrong(Clock::wall())?
        ))
    };
    let what = own.or_else(machine)?;
    let text = format!("{what}, compared with that of PostgreSQL's machine");
    Some(Alarm::new(AlarmKind::Clock, text))
}

/// Asks the store. An answer that comes after a [`WINDOW`] is of no use.
async fn ask(store: Arc<Store>, node: NodeId, command: LeaseCommand, asked: Time) -> Answer {
    let event = match command {
        LeaseCommand::Read => in_time(store.lease()).await.map(LeaseEvent::Read).ok(),
        LeaseCommand::Renew(term) => {
            let kept = in_time(store.renew(term)).await;
            kept.map(|kept| LeaseEvent::Renewed(term, asked, kept)).ok()
        }
        LeaseCommand::Take(read, term) => {
            let taken = store.take_over(read, term, node, asked.after(WINDOW));
            if let Ok(desk) = in_time(taken).await {
                return Answer::Lease(LeaseEvent::Taken(term, asked, desk.is_some()), desk);
            }
            None
        }
        LeaseCommand::Resign(term) => {
            // Without an answer the others take over after their patience.
            drop(in_time(store.resign(term)).await);
            return Answer::Left;
        }
        LeaseCommand::StepDown => return Answer::Left,
    };
    Answer::Lease(event.unwrap_or(LeaseEvent::Unreachable), None)
}

/// What is answered in time.
async fn in_time<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let late = |_| Err(StoreError::Away("no answer in time".to_owned().into()));
    tokio::time::timeout(WINDOW, answer)
        .await
        .unwrap_or_else(late)
}

#[cfg(test)]
mod tests;
