//! What the nodes that share a queue do together: each does its part of a round, and says so here. A queue on
//! this machine's disk has none.

use super::calls::round;
use super::{Desk, Store, StoreFuture};
use crate::core::change::PipelineId;
use crate::core::round::{DeliveryRound, DueRounds, NewRound, RoundId, RoundKind, Served};
use crate::core::time::Time;

#[expect(clippy::must_use_candidate, reason = "a future has to be used anyway")]
impl Store {
    /// Takes part in the rounds of these pipelines, and of no other: this node has origins of them.
    pub fn take_part(&self, pipelines: Vec<PipelineId>) -> StoreFuture<'_, ()> {
        let node = self.node;
        self.alter(move |db| round::take_part(db, node, &pipelines))
    }

    /// Opens a round that a person asks for.
    pub fn open_round(&self, new: NewRound) -> StoreFuture<'_, RoundId> {
        self.alter(move |db| round::open(db, &new))
    }

    /// The last round of all.
    pub fn last_round(&self) -> StoreFuture<'_, RoundId> {
        self.read(round::last)
    }

    /// What this node has to do, if anything.
    pub fn due_rounds(
        &self,
        pipeline: PipelineId,
        kind: RoundKind,
    ) -> StoreFuture<'_, Option<DueRounds>> {
        let node = self.node;
        self.read(move |db| round::due(db, node, &pipeline, kind))
    }

    /// This node has done the rounds up to one, and what it found is committed.
    pub fn serve(
        &self,
        pipeline: PipelineId,
        kind: RoundKind,
        last: RoundId,
        report: String,
    ) -> StoreFuture<'_, ()> {
        let node = self.node;
        self.alter(move |db| round::serve(db, node, &pipeline, kind, last, &report))
    }

    /// How far each node is that takes part, and was not forgotten.
    pub fn served(&self, pipeline: PipelineId, kind: RoundKind) -> StoreFuture<'_, Vec<Served>> {
        self.read(move |db| round::served(db, &pipeline, kind))
    }

    /// Whether a failover has forgotten a round: no node will do it.
    pub fn round_is_forgotten(
        &self,
        pipeline: PipelineId,
        kind: RoundKind,
        round: RoundId,
    ) -> StoreFuture<'_, bool> {
        self.read(move |db| round::is_forgotten(db, &pipeline, kind, round))
    }
}

#[expect(clippy::must_use_candidate, reason = "a future has to be used anyway")]
impl Desk {
    /// The first round after another that serves a delivery which waits: one that is open, also of a term
    /// before, or a new one for all that are due.
    pub fn round_of_deliveries(
        &self,
        pipeline: PipelineId,
        after: RoundId,
        now: Time,
    ) -> StoreFuture<'_, DeliveryRound> {
        self.fenced(move |db| round::of_deliveries(db, &pipeline, after, now))
    }
}
