//! Several nodes that share a store: who leads, what freezes, is cut off and dies, and when files reach
//! which node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use edgepurge::core::change::{NewChange, Source};
use edgepurge::core::lease::{Lease, LeaseCommand, LeaseEvent, NodeId, Term};
use edgepurge::core::planner::Event;
use edgepurge::core::time::Time;
use edgepurge::engine::{Restored, Steps};
use edgepurge::store::{Desk, InlineNode, Store, StoreError, StoreFuture};
use futures_util::FutureExt as _;

use crate::agree::{Agreeing, Comparing};
use crate::asks::Asks;
use crate::edge::Written;
use crate::engine::Life;
use crate::world::{On, World, now, restored};

/// A node with a process, or none.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    /// What runs in the process; `None` while it works, and while it does not lead.
    pub(crate) steps: Option<Steps>,
    /// The store of its term.
    pub(crate) desk: Option<Desk>,
    pub(crate) life: Life,
    /// The calls on the wire.
    pub(crate) wire: std::collections::BTreeSet<On>,
    /// Requests submitted since the last question.
    pub(crate) unasked: u32,
    /// Replies on their way to the planner, by arrival.
    pub(crate) replies: BTreeMap<(u64, u64), Vec<Event>>,
    /// The wall clock is so much ahead of real time; steps at restarts.
    pub(crate) wall_ahead: u64,
    /// What it knows of the others' files.
    pub(crate) comparing: Comparing,
    /// What outlives its process.
    pub(crate) state: InlineNode,
    /// What its process works with; `None`: it is the only node, or its process does not run.
    pub(crate) store: Option<Arc<Store>>,
    /// The failover that it noticed last, and how often its history has changed by then,
    pub(crate) noticed: u32,
    pub(crate) history: u64,
    /// and how many of its commits were missing.
    pub(crate) replayed: u64,
    /// When it notices one at the latest.
    pub(crate) notices: Option<u64>,
    /// The failover after which its term began.
    led_after: u32,
    /// `None`: it is the only node, or its process does not run.
    lease: Option<Lease>,
    /// When its process begins; 0: it runs.
    down_until: u64,
    frozen_until: u64,
    /// Until when it does not reach the store.
    cut_until: u64,
}

impl Node {
    pub(crate) fn new(id: NodeId, wall_ahead: u64) -> Self {
        Self {
            id,
            steps: None,
            desk: None,
            life: Life::default(),
            wire: std::collections::BTreeSet::new(),
            unasked: 0,
            replies: BTreeMap::new(),
            wall_ahead,
            comparing: Comparing::default(),
            state: InlineNode::new(&format!("node-{}", id.0)),
            store: None,
            noticed: 0,
            history: 0,
            replayed: 0,
            notices: None,
            led_after: 0,
            lease: None,
            down_until: 0,
            frozen_until: 0,
            cut_until: 0,
        }
    }

    const fn wall(&self, real: u64) -> Time {
        Time::from_millis(real + self.wall_ahead)
    }

    pub(crate) fn real_of(&self, wall: Time, real: u64) -> u64 {
        wall.millis().saturating_sub(self.wall_ahead).max(real)
    }

    /// Whether it does what it is told.
    const fn works(&self, real: u64) -> bool {
        self.down_until == 0 && self.frozen_until <= real
    }

    pub(crate) const fn reaches_the_store(&self, real: u64) -> bool {
        self.works(real) && self.cut_until <= real
    }

    /// Whether it may make calls, by its own clock.
    fn holds(&self, real: u64) -> bool {
        let until = self.lease.as_ref().and_then(Lease::until);
        until.is_some_and(|until| self.wall(real) < until)
    }
}

/// A question to the store about the lease, or its answer, on the way.
#[derive(Debug)]
enum Way {
    /// With the store that it is asked by, and the failover after which it was.
    Question(LeaseCommand, Time, Arc<Store>, u32),
    Answer(LeaseEvent, Option<Desk>),
}

/// Files on their way to a node, and what it will say of them.
#[derive(Debug)]
struct Arrival {
    at: u64,
    node: NodeId,
    files: Vec<Written>,
    rows: Vec<NewChange>,
}

/// What is due at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Start(NodeId),
    Notice(NodeId),
    Way,
    Arrival,
    Reply(NodeId),
    Lease(NodeId),
    Wake(NodeId),
    Compare(NodeId),
    Tell,
    Asks,
}

/// What the nodes share, beside the store.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    others: Vec<Node>,
    ways: BTreeMap<(u64, u64), (NodeId, Way)>,
    arrivals: Vec<Arrival>,
    pub(crate) agreeing: Agreeing,
    pub(crate) asks: Asks,
    /// What a node has to say of its files, once it can.
    unnoticed: Vec<(NodeId, Vec<NewChange>)>,
    /// The wall clock of all nodes, but for their skew.
    wall_ahead: u64,
    last_node: i64,
    number: u64,
    /// Whether a process is frozen or cut off in the middle of its work.
    pub(crate) held: bool,
}

impl World {
    /// Makes it one of several nodes, of which none leads yet.
    pub(crate) fn become_fleet(&mut self, nodes: i64, dice: &mut fastrand::Rng) {
        for settings in &mut self.all {
            settings.fleet_wait =
                (dice.u32(0..4) > 0).then(|| Duration::from_secs(dice.u64(5..40)));
            if settings.fleet_wait.is_some() {
                // What is hot waits for its turn, and not for nodes.
                settings.hot_interval = None;
            }
        }
        self.settings.clone_from(&self.all);
        now(self.store.resign(Term(1)));
        self.fleet = Some(Fleet {
            wall_ahead: self.node.wall_ahead,
            last_node: nodes,
            ..Fleet::default()
        });
        self.put_down();
        self.start_node();
        for id in 2..=nodes {
            self.join(NodeId(id));
        }
    }

    fn join(&mut self, id: NodeId) {
        let (real, Some(fleet)) = (self.real, &mut self.fleet) else {
            return;
        };
        let mut node = Node::new(id, fleet.wall_ahead);
        node.down_until = real.max(1);
        fleet.others.push(node);
        self.start_node_of(id);
    }

    fn start_node_of(&mut self, id: NodeId) {
        self.switch(id);
        if self.node.cut_until > self.real {
            self.node.down_until = self.node.cut_until;
            return;
        }
        self.start_node();
    }

    /// The current node's process begins, with a clock that differs a little from the others'.
    fn start_node(&mut self) {
        let Some(fleet) = &self.fleet else { return };
        self.node.wall_ahead = fleet.wall_ahead + self.rng.u64(0..1_000);
        self.node.down_until = 0;
        let (id, seed) = (self.node.id, self.rng.u64(..));
        self.node.lease = Some(Lease::new(id, seed, self.wall()));
        self.begin_to_compare();
        self.open_store();
    }

    /// Makes a node the current one.
    pub(crate) fn switch(&mut self, id: NodeId) {
        if self.node.id != id
            && let Some(fleet) = &mut self.fleet
            && let Some(other) = fleet.others.iter_mut().find(|other| other.id == id)
        {
            std::mem::swap(&mut self.node, other);
        }
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        let others = self.fleet.iter().flat_map(|fleet| &fleet.others);
        std::iter::once(&self.node).chain(others)
    }

    pub(crate) fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        let others = self.fleet.iter_mut().flat_map(|fleet| &mut fleet.others);
        std::iter::once(&mut self.node).chain(others)
    }

    pub(crate) fn some_node(&mut self, which: impl Fn(&Node) -> bool) -> Option<NodeId> {
        if self.fleet.is_none() {
            return Some(self.node.id);
        }
        let ids: Vec<NodeId> = self
            .nodes()
            .filter(|one| which(one))
            .map(|one| one.id)
            .collect();
        (!ids.is_empty()).then(|| ids[self.rng.usize(0..ids.len())])
    }

    /// A node whose files visitors see.
    pub(crate) fn serving_node(&mut self) -> NodeId {
        let node = self.some_node(|_| true);
        node.unwrap_or(self.node.id)
    }

    /// Makes the leader the current node. `false`: there is none that does what it is asked.
    pub(crate) fn turn_to_leader(&mut self) -> bool {
        if self.fleet.is_none() {
            return true;
        }
        let (real, term) = (self.real, now(self.store.lease()).term);
        let number = self.failovers.number;
        let leads = |one: &&Node| {
            let desk = one.desk.as_ref();
            one.steps.is_some()
                && one.reaches_the_store(real)
                && one.led_after == number
                && desk.is_some_and(|desk| desk.term() == term)
        };
        let leader = self.nodes().find(leads).map(|leader| leader.id);
        if let Some(id) = leader {
            self.switch(id);
        }
        leader.is_some()
    }

    /// Whether what the current node decides counts.
    pub(crate) fn in_term(&self) -> bool {
        if self.fleet.is_none() {
            return true;
        }
        let term = now(self.store.lease()).term;
        let desk = self.node.desk.as_ref();
        self.node.led_after == self.failovers.number && desk.is_some_and(|desk| desk.term() == term)
    }

    /// Whether the current node may make calls.
    pub(crate) fn holds_now(&self) -> bool {
        self.fleet.is_none() || self.node.holds(self.real)
    }

    /// At every moment: one node acts.
    pub(crate) fn one_acts(&self) -> Result<(), String> {
        let acting = self.nodes().filter(|one| one.holds(self.real));
        let acting: Vec<NodeId> = acting.map(|one| one.id).collect();
        if acting.len() > 1 && self.real >= self.failovers.one_acts_from() {
            return Err(format!("{acting:?} act at once"));
        }
        Ok(())
    }

    fn due(&self, leases: bool) -> Option<(u64, Due)> {
        let fleet = self.fleet.as_ref()?;
        let of = |one: &Node| {
            let id = one.id;
            if one.down_until > 0 {
                return vec![(one.down_until.max(self.real), Due::Start(id))];
            }
            let wake = one.steps.as_ref();
            let wake = wake.and_then(|steps| steps.planner().next_wake(one.wall(self.real)));
            let lease = one.lease.as_ref().filter(|_| leases);
            let lease = lease.and_then(Lease::next_wake);
            let reply = one.replies.keys().next().map(|(at, _)| *at);
            let notices = one.notices.map(|at| at.max(one.cut_until));
            let compares = one.comparing.at.map(|at| at.max(one.cut_until));
            let due = [
                compares.map(|at| (at.max(self.real), Due::Compare(id))),
                notices.map(|at| (at.max(self.real), Due::Notice(id))),
                reply.map(|at| (at, Due::Reply(id))),
                lease.map(|at| (one.real_of(at, self.real), Due::Lease(id))),
                wake.map(|at| (one.real_of(at, self.real), Due::Wake(id))),
            ];
            let due = due.into_iter().flatten();
            due.map(|(at, what)| (at.max(one.frozen_until), what))
                .collect()
        };
        let ways = fleet.ways.keys().next().map(|(at, _)| (*at, Due::Way));
        let arrivals = fleet.arrivals.iter().map(|one| (one.at, Due::Arrival));
        let nodes = self.nodes().flat_map(of);
        let tells = self.tells_at().map(|at| (at.max(self.real), Due::Tell));
        let ways = ways.filter(|_| leases);
        let asks = fleet.asks.at.map(|at| (at.max(self.real), Due::Asks));
        nodes
            .chain(ways)
            .chain(arrivals)
            .chain(tells)
            .chain(asks)
            .min()
    }

    /// When there is something to do; if nothing leads, that is to be changed.
    pub(crate) fn next_work(&mut self) -> Option<u64> {
        let leads = self.turn_to_leader();
        self.due(!leads).map(|(at, _)| at.max(self.real))
    }

    /// Lets time pass for all nodes, moment by moment.
    pub(crate) fn advance_nodes(&mut self, until: u64) {
        while let Some((at, what)) = self.due(true).filter(|(at, _)| *at <= until) {
            self.happened += 1;
            assert!(self.happened < 400_000, "livelock");
            self.real = self.real.max(at);
            self.api.advance(&mut self.edge, self.real);
            self.observe();
            match what {
                Due::Start(id) => self.start_node_of(id),
                Due::Notice(id) => drop(self.reach(id)),
                Due::Way => self.arrives(),
                Due::Arrival => self.files_arrive(),
                Due::Reply(id) => {
                    self.switch(id);
                    let events = self.node.replies.pop_first().map(|(_, events)| events);
                    for event in events.into_iter().flatten() {
                        // The process may have died of the one before.
                        if self.node.id == id && self.node.steps.is_some() {
                            self.event(event);
                        }
                    }
                }
                Due::Lease(id) => self.lease_event(id, LeaseEvent::Wake, None),
                Due::Wake(id) => {
                    self.switch(id);
                    self.event(Event::Wake);
                }
                Due::Compare(id) => {
                    self.switch(id);
                    self.compare();
                }
                Due::Tell => self.tell(),
                Due::Asks => self.look_at_asks(),
            }
            let held = self.one_acts();
            self.hold_true(held);
        }
        self.real = self.real.max(until);
        self.api.advance(&mut self.edge, self.real);
    }

    fn send(&mut self, id: NodeId, way: Way) {
        let late = !self.api.healthy && self.rng.u32(0..20) == 0;
        let slow = if late { 3_000 } else { 50 };
        let at = self.real + self.rng.u64(1..slow);
        self.put_way(at, id, way);
    }

    fn put_way(&mut self, at: u64, id: NodeId, way: Way) {
        if let Some(fleet) = &mut self.fleet {
            fleet.number += 1;
            fleet.ways.insert((at, fleet.number), (id, way));
        }
    }

    fn arrives(&mut self) {
        let first = self.fleet.as_mut().and_then(|fleet| fleet.ways.pop_first());
        let Some((_, (id, way))) = first else { return };
        let node = self.nodes().find(|one| one.id == id);
        let (frozen, cut) = node.map_or((0, 0), |one| (one.frozen_until, one.cut_until));
        let cut = cut > self.real;
        match way {
            Way::Question(..) if cut => {
                self.send(id, Way::Answer(LeaseEvent::Unreachable, None));
            }
            Way::Question(.., number) if number != self.failovers.number => {
                self.send(id, Way::Answer(LeaseEvent::Unreachable, None));
            }
            Way::Question(command, asked, store, _) => {
                self.store_answers(id, command, asked, &store);
            }
            way @ Way::Answer(..) if frozen > self.real => self.put_way(frozen, id, way),
            Way::Answer(event, desk) => self.lease_event(id, event, desk),
        }
    }

    fn store_answers(
        &mut self,
        id: NodeId,
        command: LeaseCommand,
        asked: Time,
        store: &Arc<Store>,
    ) {
        let (event, desk) = match command {
            LeaseCommand::Read => (LeaseEvent::Read(now(store.lease())), None),
            LeaseCommand::Renew(term) => {
                let kept = now(store.renew(term));
                (LeaseEvent::Renewed(term, asked, kept), None)
            }
            // A process that is followed by another writes nothing any more.
            LeaseCommand::Take(..) if !self.is_last_store(id, store) => return,
            LeaseCommand::Take(read, term) => {
                let desk = now(store.take_over(read, term, id, asked));
                (LeaseEvent::Taken(term, asked, desk.is_some()), desk)
            }
            LeaseCommand::Resign(term) => return now(store.resign(term)),
            LeaseCommand::StepDown => return,
        };
        self.send(id, Way::Answer(event, desk));
    }

    fn lease_event(&mut self, id: NodeId, event: LeaseEvent, desk: Option<Desk>) {
        self.switch(id);
        let wall = self.wall();
        let Some(lease) = self.node.lease.as_mut().filter(|_| self.node.id == id) else {
            return;
        };
        let command = lease.handle(wall, event);
        let until = lease.until();
        if desk.is_some() && until.is_some() {
            self.node.desk = desk;
        }
        if let (Some(until), Some(desk)) = (until, &self.node.desk) {
            desk.tenure().renew(until);
        }
        match command {
            Some(LeaseCommand::StepDown) => {
                self.put_down();
                self.lease_event(id, LeaseEvent::Ended, None);
            }
            Some(command) => self.ask_the_store(id, command, wall),
            None if matches!(event, LeaseEvent::Taken(_, _, true)) && until.is_some() => {
                self.lead();
            }
            None if matches!(event, LeaseEvent::Renewed(_, _, true)) => self.pull_of(id),
            None => {}
        }
    }

    /// Whether no process of the node has begun since the one with this store.
    fn is_last_store(&self, id: NodeId, store: &Arc<Store>) -> bool {
        let node = self.nodes().find(|one| one.id == id);
        let last = node.and_then(|node| node.store.as_ref());
        last.is_none_or(|last| Arc::ptr_eq(last, store))
    }

    /// By a connection that is made again first, where the server is another.
    fn ask_the_store(&mut self, id: NodeId, command: LeaseCommand, asked: Time) {
        let of_now = self.reach(id);
        let Some(node) = self.nodes().find(|one| one.id == id) else {
            return;
        };
        let (Some(store), noticed) = (node.store.clone(), node.noticed) else {
            return;
        };
        if !of_now && noticed != self.failovers.number {
            return self.send(id, Way::Answer(LeaseEvent::Unreachable, None));
        }
        self.send(id, Way::Question(command, asked, store, noticed));
    }

    /// The current node pulls what was announced while it could not hear it.
    fn pull_of(&mut self, id: NodeId) {
        if self.node.id == id && self.node.steps.is_some() {
            self.pull();
        }
    }

    /// What only a leader does begins.
    fn lead(&mut self) {
        // What another server has forgotten since the lease was taken ends the term, or the process.
        self.reach(self.node.id);
        let Some(desk) = self.node.desk.clone() else {
            return;
        };
        self.node.led_after = self.node.noticed;
        self.say(&(self.node.id, "leads"));
        self.ledger.meet("a node takes over");
        self.holds.died(self.wall());
        self.ledger.clock_stepped(self.real);
        self.led_anew();
        let seed = self.rng.u64(..);
        let (limits, settings, wall) = (self.limits, self.settings.clone(), self.wall());
        match unless_superseded(restored(&desk, limits, &settings, seed, wall)) {
            Some(Restored { steps, step, .. }) => {
                self.began(steps, &step);
                let within = [150, 5_000][self.rng.usize(0..2)];
                self.tell_soon(within);
            }
            None => self.superseded(),
        }
    }

    /// Another term has begun, or its own time is over.
    pub(crate) fn superseded(&mut self) {
        self.ledger.meet("superseded");
        self.put_down();
        self.lease_event(self.node.id, LeaseEvent::Ended, None);
    }

    /// What only a leader does ends.
    pub(crate) fn put_down(&mut self) {
        self.node.steps = None;
        self.node.desk = None;
        self.node.life = Life::default();
        self.node.wire.clear();
        self.node.unasked = 0;
        self.node.replies.clear();
    }

    /// The current node's process dies, and is started again later.
    pub(crate) fn kill(&mut self) {
        self.put_down();
        let id = self.node.id;
        (self.node.lease, self.node.store, self.node.notices) = (None, None, None);
        self.node.down_until = self.real + self.rng.u64(1..30_000);
        self.node.frozen_until = 0;
        if let Some(fleet) = &mut self.fleet {
            let asks = |way: &Way| matches!(way, Way::Question(..));
            fleet.ways.retain(|_, (of, way)| *of != id || asks(way));
        }
    }

    /// In the middle of its work, the process may be cut off or freeze, while the others go on: for longer
    /// than it may act. What is sent late within that time the client's own limit of the rate keeps apart.
    pub(crate) fn held_up(&mut self, when: &'static str) {
        let (real, me, healthy) = (self.real, self.node.id, self.api.healthy);
        let Some(fleet) = self.fleet.as_mut().filter(|fleet| !fleet.held && !healthy) else {
            return;
        };
        let until = match () {
            () if self.node.cut_until > real => self.node.cut_until,
            () if self.rng.u32(0..100) == 0 => real + self.rng.u64(1..20_000),
            () => return,
        };
        let ends = self.node.lease.as_ref().and_then(Lease::until);
        let ends = ends.map(|ends| self.node.real_of(ends, real));
        let until = until.max(ends.unwrap_or(0));
        fleet.held = true;
        self.node.frozen_until = until;
        self.ledger.meet(when);
        if self.rng.u32(0..4) == 0 {
            self.go_back();
        }
        self.advance_nodes(until - 1);
        self.real = until;
        self.switch(me);
        if let Some(fleet) = &mut self.fleet {
            fleet.held = false;
        }
    }

    /// Files reach a node, and then the others. What the others say of them they say later. Returns the first.
    pub(crate) fn files_reach(&mut self, files: &[Written], rows: &[NewChange]) -> NodeId {
        let first = self.some_node(|_| true).unwrap_or(self.node.id);
        // A deploy takes its time.
        let slow = [2_000, 20_000, 60_000][self.rng.usize(0..3)];
        for id in self.nodes().map(|one| one.id).collect::<Vec<_>>() {
            if id != first {
                let at = self.real + self.rng.u64(1..slow);
                self.bring(at, id, files.to_vec(), rows.to_vec());
            }
        }
        for written in files {
            self.arrive(first, written);
        }
        first
    }

    /// Files reach a node at a time.
    pub(crate) fn bring(
        &mut self,
        at: u64,
        node: NodeId,
        files: Vec<Written>,
        rows: Vec<NewChange>,
    ) {
        if let Some(fleet) = &mut self.fleet {
            fleet.arrivals.push(Arrival {
                at,
                node,
                files,
                rows,
            });
        }
    }

    fn arrive(&mut self, id: NodeId, written: &Written) {
        self.edge.arrive(id, written);
        if let Some(node) = self.nodes_mut().find(|node| node.id == id) {
            node.comparing.arrived.push(written.key.clone());
        }
    }

    fn files_arrive(&mut self) {
        let real = self.real;
        let Some(fleet) = &mut self.fleet else { return };
        let (came, later) = std::mem::take(&mut fleet.arrivals)
            .into_iter()
            .partition(|one| one.at <= real);
        fleet.arrivals = later;
        for Arrival {
            node,
            files,
            mut rows,
            ..
        } in came
        {
            self.ledger.meet("a file arrives later");
            for written in &files {
                self.arrive(node, written);
            }
            let wall = self.nodes().find(|one| one.id == node);
            let wall = wall.map_or(self.wall(), |one| one.wall(real));
            for row in &mut rows {
                row.seen = wall;
            }
            if let Some(fleet) = &mut self.fleet {
                fleet.unnoticed.push((node, rows));
            }
        }
        self.notice();
    }

    /// Nodes that can say what they noticed.
    pub(crate) fn notice(&mut self) {
        let real = self.real;
        let Some(fleet) = &mut self.fleet else { return };
        for (id, rows) in std::mem::take(&mut fleet.unnoticed) {
            let able = self
                .nodes()
                .any(|one| one.id == id && one.reaches_the_store(real));
            if able && self.reach(id) {
                self.queue(rows, Source::Watch, Some(id));
            } else if let Some(fleet) = &mut self.fleet {
                fleet.unnoticed.push((id, rows));
            }
        }
    }

    pub(crate) fn cut(&mut self) {
        let until = self.real + self.rng.u64(1..30_000);
        self.change_node("a node is cut off", |node| node.cut_until = until);
    }

    pub(crate) fn heal_a_node(&mut self) {
        self.change_node("a node is healed", |node| node.cut_until = 0);
    }

    pub(crate) fn freeze(&mut self) {
        let until = self.real + self.rng.u64(1..30_000);
        self.change_node("a node freezes", |node| node.frozen_until = until);
    }

    fn change_node(&mut self, what: &'static str, change: impl FnOnce(&mut Node)) {
        if self.fleet.is_none() {
            return;
        }
        // The leader is the one whose troubles matter.
        if self.rng.bool() || !self.turn_to_leader() {
            let id = self.serving_node();
            self.switch(id);
        }
        self.ledger.meet(what);
        change(&mut self.node);
    }

    pub(crate) fn kill_a_node(&mut self) {
        if self.fleet.is_none() {
            return;
        }
        if self.rng.bool() || !self.turn_to_leader() {
            let Some(id) = self.some_node(|one| one.down_until == 0) else {
                return;
            };
            self.switch(id);
        }
        self.say(&(self.node.id, "is killed"));
        self.ledger.meet("a node dies");
        self.kill();
    }

    /// A node joins, with the files of another; those on their way to that are on their way to it, too.
    pub(crate) fn join_another(&mut self) {
        let like = self.serving_node();
        let Some(fleet) = self.fleet.as_mut().filter(|fleet| fleet.others.len() < 4) else {
            return;
        };
        fleet.last_node += 1;
        let id = NodeId(fleet.last_node);
        let of = |one: &&Arrival| one.node == like;
        let also = fleet.arrivals.iter().filter(of).map(|one| Arrival {
            at: one.at,
            node: id,
            files: one.files.clone(),
            rows: one.rows.clone(),
        });
        let also: Vec<Arrival> = also.collect();
        fleet.arrivals.extend(also);
        self.edge.copy(like, id);
        self.ledger.meet("a node joins");
        self.join(id);
    }

    /// A node leaves that has said all of its files.
    pub(crate) fn leave(&mut self) {
        let (real, number) = (self.real, self.failovers.number);
        let Some(fleet) = &self.fleet else { return };
        if fleet.others.is_empty() {
            return;
        }
        let waits = fleet.arrivals.iter().map(|one| one.node);
        let waits: Vec<NodeId> = waits
            .chain(fleet.unnoticed.iter().map(|(id, _)| *id))
            .collect();
        let Some(id) = self.some_node(|one| {
            !waits.contains(&one.id) && one.reaches_the_store(real) && one.noticed == number
        }) else {
            return;
        };
        self.switch(id);
        if self.node.desk.is_some() {
            self.ledger.meet("a leader leaves");
        }
        self.say(&(id, "leaves"));
        // What only it and a server had, which is lost with both, is lost.
        self.failovers.catch_up();
        // It ends what it did as a leader, and then resigns.
        self.lease_event(id, LeaseEvent::Stop, None);
        self.edge.forget(id);
        self.left(id);
        let Some(fleet) = &mut self.fleet else { return };
        if let Some(next) = fleet.others.pop() {
            let gone = std::mem::replace(&mut self.node, next);
            if gone.id != id {
                fleet.others.retain(|other| other.id != id);
                fleet.others.push(gone);
            }
        }
    }

    /// All nodes are well from now on, and one leads.
    pub(crate) fn heal_nodes(&mut self) -> Result<(), String> {
        if self.fleet.is_none() {
            return Ok(());
        }
        let real = self.real;
        let heal = |node: &mut Node| {
            (node.cut_until, node.frozen_until) = (0, 0);
            if node.down_until > 0 {
                node.down_until = real + 1;
            }
        };
        heal(&mut self.node);
        let others = self.fleet.iter_mut().flat_map(|fleet| &mut fleet.others);
        others.for_each(heal);
        self.wait_for_a_leader()?;
        self.settle_asks()
    }

    /// Lets time pass until a node leads.
    pub(crate) fn wait_for_a_leader(&mut self) -> Result<(), String> {
        let end = self.real + 30_000;
        while !self.turn_to_leader() {
            if self.real > end {
                return Err("all is well, and no node leads".to_owned());
            }
            self.advance_nodes(self.real + 500);
        }
        Ok(())
    }

    /// Whether a node has still to say something of its files.
    pub(crate) fn has_unnoticed(&self) -> bool {
        let mut fleet = self.fleet.iter();
        fleet.any(|fleet| !fleet.unnoticed.is_empty())
    }
}

/// What an inline store answers, unless the term is over.
pub(crate) fn unless_superseded<T>(future: StoreFuture<'_, T>) -> Option<T> {
    match future.now_or_never().expect("an inline store never waits") {
        Ok(value) => Some(value),
        Err(StoreError::Superseded) => None,
        Err(error) => panic!("an inline store never fails: {error}"),
    }
}
