//! Asks: what a person or a deploy wants done with a queue at a node that does not lead. The leader does it.
//!
//! An ask is a row, with a body and an answer that the store does not read. The answer is written in the
//! transaction that does it, so that it is done once, whichever leader does it.
//!
//! **An ask does not outlive its asker for long.** No time is stored, since the clocks of two machines are not
//! compared. Who asks may withdraw it, as long as it has no answer; then it is certainly not done. For an asker
//! that is dead, or cut off from the database, the leader does that: it withdraws every ask when it begins to
//! lead, and when it has not got to the asks for a while (`jobs/asks.rs`). An asker that still waits sees that, and
//! asks again.

use super::calls::ask;
use super::{Desk, Store, StoreFuture};
use crate::core::lease::NodeId;

/// How many asks are kept, whatever became of them.
pub const ASKS_KEPT: usize = 1_000;

/// The number of an ask: a later one has a greater one. None is given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskId(pub u64);

/// What is asked of the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Its number.
    pub id: AskId,
    /// Where it was asked.
    pub node: NodeId,
    /// What.
    pub body: String,
}

/// How it stands with an ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskState {
    /// It is to be done.
    Open,
    /// It is not done, unless it is asked again.
    Withdrawn,
    /// It is done, or refused.
    Answered(String),
}

/// An ask, and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answering {
    /// Which one.
    pub ask: AskId,
    /// What is answered.
    pub answer: String,
}

#[expect(clippy::must_use_candidate, reason = "a future has to be used anyway")]
impl Store {
    /// Asks the leader for something. All but the last [`ASKS_KEPT`] asks are forgotten.
    pub fn ask(&self, body: String) -> StoreFuture<'_, AskId> {
        let node = self.node;
        self.alter(move |db| ask::ask(db, node, &body))
    }

    /// How it stands with an ask; `None`: it is forgotten.
    pub fn ask_state(&self, ask: AskId) -> StoreFuture<'_, Option<AskState>> {
        self.read(move |db| ask::state(db, ask))
    }

    /// Asks again what was withdrawn, unless it is answered.
    pub fn ask_again(&self, ask: AskId) -> StoreFuture<'_, ()> {
        self.alter(move |db| ask::again(db, ask))
    }

    /// Withdraws an ask. `false`: it is answered, or forgotten.
    pub fn withdraw(&self, ask: AskId) -> StoreFuture<'_, bool> {
        self.alter(move |db| ask::withdraw(db, ask))
    }
}

#[expect(clippy::must_use_candidate, reason = "a future has to be used anyway")]
impl Desk {
    /// What is to be done, in the order in which it was asked.
    pub fn asks(&self) -> StoreFuture<'_, Vec<Ask>> {
        self.read(ask::open)
    }

    /// Withdraws everything that is to be done: who still waits for it asks again.
    pub fn withdraw_asks(&self) -> StoreFuture<'_, ()> {
        self.fenced(ask::withdraw_all)
    }

    /// Answers an ask for which nothing is done.
    pub fn answer(&self, answering: Answering) -> StoreFuture<'_, ()> {
        self.fenced(move |db| ask::answer(db, answering.ask, Some(&answering.answer)))
    }
}
