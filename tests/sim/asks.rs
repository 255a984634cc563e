//! What people and deploys ask of the leader at other nodes, through the store: it is done once, or withdrawn and
//! not done.

use std::collections::BTreeMap;

use edgepurge::core::lease::NodeId;
use edgepurge::engine::Operation;
use edgepurge::store::{Ask, AskId, AskState};

use crate::fleet::{Node, unless_superseded};
use crate::world::{World, now};

/// How long who asks waits for an answer, and how long a leader may not have looked at the asks, before these are
/// withdrawn.
const PATIENCE: u64 = 20_000;
/// How often both look, at the least.
const LOOK: u64 = 1_000;

/// Who asked, and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    node: NodeId,
    until: u64,
    /// It does not wait for an answer: its process has died.
    is_dead: bool,
    is_over: bool,
    was_withdrawn: bool,
    times_done: u32,
}

/// Everything that was asked.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    pub(crate) asked: BTreeMap<AskId, Asked>,
    /// When askers and leader look next.
    pub(crate) at: Option<u64>,
}

impl World {
    /// A person or a deploy does something with a queue, at any node.
    pub(crate) fn operate(&mut self, operation: Operation) {
        if self.fleet.is_some() && !self.api.healthy && self.rng.bool() {
            self.ask(&operation);
        } else if self.turn_to_leader() {
            self.carry_out(operation, None);
        }
    }

    fn ask(&mut self, operation: &Operation) {
        let real = self.real;
        let Some(node) = self.some_node(|one| one.reaches_the_store(real)) else {
            return;
        };
        let ask = now(self.store.ask(serde_json::json!(operation).to_string()));
        self.say(&(ask, "is asked", operation));
        self.ledger.meet("asked of the leader");
        let asked = Asked {
            node,
            until: real + PATIENCE,
            is_dead: self.rng.u32(0..4) == 0,
            is_over: false,
            was_withdrawn: false,
            times_done: 0,
        };
        let soon = real + self.rng.u64(1..LOOK);
        if let Some(asks) = self.asks() {
            asks.asked.insert(ask, asked);
            asks.at = Some(asks.at.map_or(soon, |at| at.min(soon)));
        }
    }

    fn asks(&mut self) -> Option<&mut Asks> {
        self.fleet.as_mut().map(|fleet| &mut fleet.asks)
    }

    /// Leader and askers look at the asks.
    pub(crate) fn look_at_asks(&mut self) {
        let again = self.real + self.rng.u64(1..LOOK);
        if let Some(asks) = self.asks() {
            asks.at = Some(again);
        }
        if self.turn_to_leader() {
            self.leader_looks();
        }
        self.askers_look();
        if let Some(asks) = self.asks()
            && asks.asked.values().all(|asked| asked.is_over)
        {
            asks.at = None;
        }
    }

    fn leader_looks(&mut self) {
        let (real, me) = (self.real, self.node.id);
        let Some(desk) = self.node.desk.clone() else {
            return;
        };
        let through = self.node.life.through_asks;
        if through.is_none_or(|through| real > through + PATIENCE)
            && unless_superseded(desk.withdraw_asks()).is_none()
        {
            return self.superseded();
        }
        for Ask { id, body, .. } in now(desk.asks()) {
            let operation = serde_json::from_str(&body).expect("it is an operation");
            self.carry_out(operation, Some(id));
            if self.node.id != me || self.node.steps.is_none() {
                return;
            }
        }
        self.node.life.through_asks = Some(real);
    }

    fn askers_look(&mut self) {
        let real = self.real;
        let mut asked = self.asks().map(|asks| std::mem::take(&mut asks.asked));
        for (ask, asked) in asked.iter_mut().flatten() {
            let of = |one: &&Node| one.id == asked.node;
            let reaches = self.nodes().find(of).map(|one| one.reaches_the_store(real));
            if asked.is_over || reaches == Some(false) {
                continue;
            }
            if asked.is_dead || reaches.is_none() {
                asked.is_over = real >= asked.until;
                continue;
            }
            match now(self.store.ask_state(*ask)).expect("few are asked") {
                AskState::Answered(_) => {
                    asked.is_over = true;
                    if asked.times_done == 0 {
                        self.hold_true(Err(format!("{ask:?} is answered, and not done")));
                    }
                }
                AskState::Withdrawn if real < asked.until => {
                    self.ledger.meet("asked again");
                    now(self.store.ask_again(*ask));
                }
                AskState::Withdrawn | AskState::Open if real >= asked.until => {
                    self.ledger.meet("an ask is withdrawn");
                    asked.was_withdrawn = now(self.store.withdraw(*ask));
                    asked.is_over = true;
                }
                AskState::Withdrawn | AskState::Open => {}
            }
        }
        if let (Some(asks), Some(asked)) = (self.asks(), asked) {
            asks.asked = asked;
        }
    }

    /// What the current node does for an ask is on disk.
    pub(crate) fn did(&mut self) {
        let (real, asked) = (self.real, self.node.life.asked);
        let Some(ask) = asked else { return };
        let asked = self.asks().and_then(|asks| asks.asked.get_mut(&ask));
        let asked = asked.expect("it was asked");
        asked.times_done += 1;
        let broken = match asked {
            Asked {
                times_done: 2.., ..
            } => "is done twice",
            Asked {
                was_withdrawn: true,
                ..
            } => "is done, though it was withdrawn",
            Asked { until, .. } if real > *until + 2 * PATIENCE => {
                "is done long after it was asked"
            }
            Asked { .. } => return,
        };
        self.hold_true(Err(format!("{ask:?} {broken}")));
    }

    /// The store has forgotten the last asks and answers: these were there. What is still waited for waits anew.
    pub(crate) fn asks_went_back(&mut self, mut asked: BTreeMap<AskId, Asked>) {
        let real = self.real;
        for one in asked.values_mut().filter(|one| !one.is_over) {
            one.until = one.until.max(real + PATIENCE);
        }
        if let Some(asks) = self.asks() {
            asks.at = (!asked.is_empty()).then_some(real + LOOK);
            asks.asked = asked;
        }
    }

    /// All is well: everything that is asked is answered soon.
    pub(crate) fn settle_asks(&mut self) -> Result<(), String> {
        let end = self.real + 3 * PATIENCE;
        while self.asks().is_some_and(|asks| asks.at.is_some()) {
            if self.real > end {
                return Err("all is well, and what is asked is not answered".to_owned());
            }
            self.advance_nodes(self.real + LOOK);
        }
        self.wait_for_a_leader()
    }
}
