//! A standby takes over that was behind: the database goes back. What is lost with it each node commits again that was
//! answered, by its own ring, or it purges everything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use edgepurge::core::agreement::Fact;
use edgepurge::core::change::{Kind, NewChange, PipelineId, Seq, Source, Target};
use edgepurge::core::lease::{NodeId, WINDOW};
use edgepurge::core::ring::REACH;
use edgepurge::core::time::Time;
use edgepurge::lineage::Beginning;
use edgepurge::store::{Desk, Snapshot, Store, StoreError};
use futures_util::FutureExt as _;

use crate::asks::Asked;
use crate::fleet::Node;
use crate::operate::Holds;
use crate::world::{Appended, World, now};

/// How often a node that has nothing else to do looks whether it reaches the database.
const LOOK: u64 = 5_000;

/// A standby, and what was true when it fell behind.
#[derive(Debug)]
struct Standby {
    snapshot: Snapshot,
    last: Seq,
    moment: u64,
    holds: Holds,
    asked: BTreeMap<edgepurge::store::AskId, Asked>,
}

/// A change that was answered and is forgotten, until its node commits it again.
#[derive(Debug)]
struct Forgotten {
    change: Appended,
    fact: Option<(PipelineId, Fact)>,
}

/// What the database has lost.
#[derive(Debug, Default)]
pub(crate) struct Failovers {
    standby: Option<Standby>,
    /// How many there were,
    pub(crate) number: u32,
    /// and when the last one was.
    at: Option<u64>,
    /// What is missing of each node's commits, in order.
    forgotten: BTreeMap<NodeId, Vec<Forgotten>>,
    /// The clock that says how old commits are is ahead by this.
    ahead: Duration,
}

impl Failovers {
    /// From when on one node acts at a time, and keeps the rate: after a failover that gave an older lease back, two
    /// may act for a while.
    pub(crate) fn one_acts_from(&self) -> u64 {
        let window = u64::try_from(WINDOW.as_millis()).unwrap_or(u64::MAX);
        self.at.map_or(0, |at| at + window)
    }

    /// The standby is not behind any more.
    pub(crate) fn catch_up(&mut self) {
        self.standby = None;
    }

    /// Whether nothing is missing of what a node has committed.
    pub(crate) fn has_all_of(&self, node: NodeId) -> bool {
        self.forgotten.get(&node).is_none_or(Vec::is_empty)
    }

    /// At the end: everything that was answered is there, or was purged with everything.
    pub(crate) fn nothing_is_lost(&self) -> Result<(), String> {
        match self.forgotten.iter().find(|(_, all)| !all.is_empty()) {
            None => Ok(()),
            Some((node, all)) => Err(format!(
                "{node:?} was answered {} changes that are forgotten",
                all.len()
            )),
        }
    }

    /// Sets the clock that says how old commits are.
    pub(crate) fn ring_time(&self, real: u64) -> Time {
        Time::from_millis(real).after(self.ahead)
    }
}

impl World {
    /// A standby falls behind, or takes over.
    pub(crate) fn fail_over(&mut self) {
        if self.fleet.is_none() {
            return;
        }
        if self.failovers.standby.is_none() {
            return self.fall_behind();
        }
        if self.rng.u32(0..4) == 0 {
            self.kill_a_node();
        }
        if self.rng.u32(0..4) == 0 {
            // So long after that the rings have dropped what is missing.
            self.failovers.ahead += 2 * REACH;
            self.observe();
            for _ in 0..3 {
                self.changes();
            }
        }
        self.go_back();
    }

    fn fall_behind(&mut self) {
        let asked = self.fleet.as_ref().map(|fleet| fleet.asks.asked.clone());
        self.failovers.standby = Some(Standby {
            snapshot: self.database.snapshot().expect("there is memory"),
            last: now(self.store.append(Vec::new())).last,
            moment: self.moment,
            holds: self.holds.clone(),
            asked: asked.unwrap_or_default(),
        });
    }

    /// The standby takes over, if there is one.
    pub(crate) fn go_back(&mut self) {
        let Some(standby) = self.failovers.standby.take() else {
            return;
        };
        self.say(&("a standby takes over that has", standby.last));
        self.ledger.meet("a failover with loss");
        self.database
            .go_back(&standby.snapshot)
            .expect("there is memory");
        self.failovers.number += 1;
        self.failovers.at = Some(self.real);
        self.ledger.went_back(standby.moment, self.real);
        self.holds = standby.holds;
        let in_flight = now(self.store.unsettled()).requests;
        let in_flight = in_flight.into_iter().map(|one| (one.id, one.pipeline));
        self.turns.went_back(in_flight.collect());
        self.asks_went_back(standby.asked);
        let facts = self.compare_anew(standby.last);
        let mut facts: BTreeMap<Seq, (PipelineId, Fact)> =
            facts.into_iter().map(|fact| (fact.1.seq, fact)).collect();
        for (seq, change) in self.appended.split_off(&standby.last.next()) {
            // What a leader has decided is decided again.
            if let Some(node) = change.by {
                let fact = facts.remove(&seq);
                let of = self.failovers.forgotten.entry(node).or_default();
                of.push(Forgotten { change, fact });
            }
        }
        let (real, mut rng) = (self.real, self.rng.fork());
        for node in self.nodes_mut() {
            node.notices = Some(real + rng.u64(1..LOOK));
        }
    }

    /// A node's process begins: with a store of its own, which says whether its commits are there.
    pub(crate) fn open_store(&mut self) {
        let store = Arc::new(
            self.database
                .join(&self.node.state)
                .expect("it can be read"),
        );
        let (id, number) = (self.node.id, self.failovers.number);
        let beginning = store.lineage().beginning.clone();
        self.node.store = Some(store);
        self.node.noticed = number;
        self.node.notices = None;
        self.node.history = 0;
        self.node.replayed = 0;
        if let Beginning::Anew(why) = beginning {
            self.ledger.meet("a loss at a start");
            self.failovers.forgotten.remove(&id);
            self.purge_everything(id, &why);
        } else if !self.failovers.has_all_of(id) {
            let why = format!("{id:?} starts, and does not notice that commits are forgotten");
            self.hold_true(Err(why));
        }
    }

    fn purge_everything(&mut self, id: NodeId, why: &str) {
        for pipeline in self
            .settings
            .iter()
            .map(|known| known.id.clone())
            .collect::<Vec<_>>()
        {
            let row = NewChange {
                pipeline,
                target: Target::All,
                kind: Kind::Asked,
                source: Source::Scan,
                detail: why.into(),
                file: None,
                seen: self.wall(),
            };
            self.queue(vec![row], Source::Scan, Some(id));
        }
    }

    /// Whether a node can work with the database now. It notices by it that another server answers, and has committed
    /// again what is missing.
    pub(crate) fn reach(&mut self, id: NodeId) -> bool {
        let (real, number) = (self.real, self.failovers.number);
        let node = self.nodes().find(|one| one.id == id);
        let Some(node) = node.filter(|one| one.reaches_the_store(real)) else {
            return false;
        };
        let Some(store) = node.store.clone() else {
            return false;
        };
        if node.noticed == number {
            return true;
        }
        let looked = store.append(Vec::new()).now_or_never();
        match looked.expect("an inline store never waits") {
            Ok(_) => self.notice_failover(id, &store),
            Err(StoreError::Unusable(_)) => {
                self.switch(id);
                self.ledger.meet("more is lost than the ring has");
                self.kill();
                return false;
            }
            Err(error) => panic!("an inline store never fails: {error}"),
        }
        true
    }

    /// A node's writer has found the server of now.
    fn notice_failover(&mut self, id: NodeId, store: &Arc<Store>) {
        let (number, history) = (self.failovers.number, store.history());
        let Some(node) = self.nodes_mut().find(|one| one.id == id) else {
            return;
        };
        node.noticed = number;
        node.notices = None;
        node.history = history.changes;
        let replayed = history.forgotten > std::mem::replace(&mut node.replayed, history.forgotten);
        let over = node.desk.as_ref().is_some_and(term_is_over);
        if replayed {
            self.committed_again(id);
        } else if !self.failovers.has_all_of(id) {
            let why = format!("{id:?} does not notice that commits are forgotten");
            self.hold_true(Err(why));
        }
        if over {
            self.switch(id);
            self.ledger.meet("a leader learns of a failover");
            self.superseded();
        }
    }

    /// What was missing of a node's commits is there again, with new numbers.
    fn committed_again(&mut self, id: NodeId) {
        let last = self.appended.keys().next_back().copied().unwrap_or(Seq(0));
        let rows = now(self.store.queued_after(last, usize::MAX));
        let missing = self.failovers.forgotten.remove(&id).unwrap_or_default();
        self.say(&(id, "commits again", rows.len(), "of", missing.len()));
        if !missing.is_empty() {
            self.ledger.meet("committed again");
        }
        let same = |(row, known): (&edgepurge::core::change::Change, &Forgotten)| {
            row.pipeline == known.change.pipeline && row.target == known.change.target
        };
        if rows.len() != missing.len() || !rows.iter().zip(&missing).all(same) {
            let why = format!("{id:?} commits again {rows:?}, and missing is {missing:?}");
            return self.hold_true(Err(why));
        }
        self.moment += 1;
        for (row, Forgotten { mut change, fact }) in rows.iter().zip(missing) {
            change.moment = self.moment;
            change.real = self.real;
            self.appended.insert(row.seq, change);
            if let Some((pipeline, fact)) = fact {
                self.again_a_fact(
                    pipeline,
                    Fact {
                        seq: row.seq,
                        ..fact
                    },
                );
            }
        }
        self.compare_soon();
    }

    /// After the current node has worked: what it noticed by that.
    pub(crate) fn look_back(&mut self) {
        let id = self.node.id;
        let store = self.node.store.as_ref();
        let other = store.is_some_and(|store| store.history().changes != self.node.history);
        if other && !self.reach(id) && self.node.id == id {
            // It is cut off, and had reached the server all the same in the middle of its work.
            let replayed = self.node.replayed;
            let store = self.node.store.clone();
            if let Some(store) = store.filter(|store| store.history().forgotten > replayed) {
                self.notice_failover(id, &store);
            }
        }
    }

    /// What a node works with.
    pub(crate) fn store_of(&self, id: NodeId) -> Arc<Store> {
        let node = self.nodes().find(|one| one.id == id);
        let store = node.and_then(|node: &Node| node.store.clone());
        store.unwrap_or_else(|| Arc::clone(self.store.store()))
    }

    /// The node that commits what one has noticed, or somebody asks for: none, while that does not reach the store.
    pub(crate) fn writer(&mut self, by: Option<NodeId>) -> Option<NodeId> {
        if self.fleet.is_none() {
            return Some(self.node.id);
        }
        let real = self.real;
        let by = by.filter(|id| self.nodes().any(|one| one.id == *id));
        let id = match by {
            Some(id) => Some(id),
            None => self.some_node(|one| one.reaches_the_store(real)),
        };
        id.filter(|id| self.reach(*id))
    }
}

fn term_is_over(desk: &Desk) -> bool {
    desk.superseded().now_or_never().is_some()
}
