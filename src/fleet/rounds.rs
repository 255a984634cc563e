//! Rounds (`core/round.rs`): opened here for whatever asks, and waited for until the other nodes have done them.

use std::time::Duration;

use tokio::sync::watch;

use super::FleetHandle;
use crate::core::change::PipelineId;
use crate::core::round::{self, NewRound, Progress, RoundId, RoundKind};
use crate::store::{Store, StoreError};

/// The time between two looks at how far a round is: a flood of commits takes few.
const CALM: Duration = Duration::from_millis(20);

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
        loop {
            others.mark_unchanged();
            own.mark_unchanged();
            let now = nodes.borrow_and_update().clone();
            let served = store.served(pipeline.clone(), kind).await?;
            let progress = round::progress(round, served, &now, without);
            if progress.waiting.is_empty() {
                return Ok(Some(progress));
            }
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
