//! Rounds (`core/round.rs`): opened here for whatever asks, and waited for until the other nodes have done them.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;

use super::FleetHandle;
use crate::core::change::PipelineId;
use crate::core::round::{self, NewRound, Progress, RoundId, RoundKind};
use crate::store::{Store, StoreError};

/// The time between two looks at how far a round is: a flood of commits takes few.
const CALM: Duration = Duration::from_millis(20);

/// The nodes that are still to do a round, for each command and delivery at this node that waits for one.
pub(super) type Awaited = BTreeMap<u64, (PipelineId, Vec<String>)>;

/// A wait for a round, which is in `Awaited` while it lasts.
struct Wait<'a> {
    awaited: &'a watch::Sender<Awaited>,
    number: u64,
}

impl<'a> Wait<'a> {
    fn begin(awaited: &'a watch::Sender<Awaited>, pipeline: &PipelineId) -> Self {
        let mut number = 0;
        awaited.send_modify(|all| {
            number = all.last_key_value().map_or(0, |(last, _)| last + 1);
            all.insert(number, (pipeline.clone(), Vec::new()));
        });
        Self { awaited, number }
    }

    fn is_for(&self, nodes: &[String]) {
        self.awaited.send_modify(|all| {
            if let Some((_, before)) = all.get_mut(&self.number) {
                nodes.clone_into(before);
            }
        });
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.awaited.send_modify(|all| {
            all.remove(&self.number);
        });
    }
}

impl FleetHandle {
    /// Opens a round that a person asks for.
    ///
    /// # Errors
    /// When it could not be committed.
    pub async fn open_round(&self, store: &Store, new: NewRound) -> Result<RoundId, StoreError> {
        let round = store.open_round(new).await?;
        self.round_moved();
        Ok(round)
    }

    /// This node has opened a round, or done one: other parts of it wait for that.
    pub fn round_moved(&self) {
        self.rounds.send_replace(());
    }

    /// Changes when this node has opened a round, or done one.
    #[must_use]
    pub fn subscribe_rounds(&self) -> watch::Receiver<()> {
        self.rounds.subscribe()
    }

    /// The nodes that a command or a delivery at this node waits for until they have done a round of a pipeline.
    #[must_use]
    pub fn awaited(&self, pipeline: &PipelineId) -> Vec<String> {
        let awaited = self.awaited.borrow();
        let of = awaited.values().filter(|(id, _)| id == pipeline);
        of.flat_map(|(_, nodes)| nodes.iter().cloned()).collect()
    }

    /// Waits until every node that runs has done a round, but for those that are left out; `None`: a failover has
    /// forgotten it. The nodes are observed every two seconds, so that no announcement has to arrive.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn round_done(
        &self,
        store: &Store,
        pipeline: &PipelineId,
        kind: RoundKind,
        round: RoundId,
        without: &[&str],
    ) -> Result<Option<Progress>, StoreError> {
        let (mut nodes, mut own) = (self.nodes.clone(), self.rounds.subscribe());
        let mut others = store.subscribe_others();
        let wait = Wait::begin(&self.awaited, pipeline);
        loop {
            others.mark_unchanged();
            own.mark_unchanged();
            let now = nodes.borrow_and_update().clone();
            let served = store.served(pipeline.clone(), kind).await?;
            let progress = round::progress(round, served, &now, without);
            if progress.waiting.is_empty() {
                return Ok(Some(progress));
            }
            wait.is_for(&progress.waiting);
            let forgotten = store.round_is_forgotten(pipeline.clone(), kind, round);
            if forgotten.await? {
                return Ok(None);
            }
            let moved = tokio::select! {
                moved = nodes.changed() => moved,
                moved = others.changed() => moved,
                moved = own.changed() => moved,
            };
            moved.map_err(|_| StoreError::Closed)?;
            tokio::time::sleep(CALM).await;
        }
    }
}
