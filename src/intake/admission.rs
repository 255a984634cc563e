//! Admission to the queues that are never purged as a whole (`core/capacity.rs`): a caller whose changes find
//! no room is refused as a whole, and comes again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::core::capacity::{Capacity, Queued};
use crate::core::change::{NewChange, PipelineId, Seq, Target};

/// A queue is full.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the queue of pipeline {pipeline} is full: {cap} assets wait in it, and all_above = \"never\" \
     forbids to purge everything instead; bring it again when there is room: see `edgepurge status` \
     for what holds it back"
)]
pub struct Full {
    /// Whose.
    pub pipeline: PipelineId,
    /// How many assets it holds.
    pub cap: usize,
}

/// The queues that take no more than they have room for.
#[derive(Debug)]
pub struct Admission {
    queued: watch::Receiver<Option<Queued>>,
    /// The queues that another node's planner has found full.
    full: watch::Receiver<BTreeSet<PipelineId>>,
    rooms: Mutex<BTreeMap<PipelineId, (usize, Capacity)>>,
}

impl Admission {
    /// Admission to queues with a cap. `queued` has what is in them, once the planner has counted it; `full` has
    /// those that are full where it runs on another node.
    #[must_use]
    pub fn new(
        caps: BTreeMap<PipelineId, usize>,
        queued: watch::Receiver<Option<Queued>>,
        full: watch::Receiver<BTreeSet<PipelineId>>,
    ) -> Arc<Self> {
        let rooms = caps
            .into_iter()
            .map(|(id, cap)| (id, (cap, Capacity::new(cap))))
            .collect();
        Arc::new(Self {
            queued,
            full,
            rooms: Mutex::new(rooms),
        })
    }

    fn rooms(&self) -> MutexGuard<'_, BTreeMap<PipelineId, (usize, Capacity)>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for room for changes. What purges everything needs none, and makes some.
    ///
    /// # Errors
    /// When it is full.
    pub(super) async fn enter(
        self: &Arc<Self>,
        pipeline: &PipelineId,
        changes: &[NewChange],
    ) -> Result<Place, Full> {
        let mut place = Place {
            admission: Arc::clone(self),
            pipeline: pipeline.clone(),
            changes: 0,
        };
        let assets = changes.iter().filter(|one| one.target != Target::All);
        let count = assets.count();
        if count == 0 || !self.rooms().contains_key(pipeline) {
            return Ok(place);
        }
        // Only at the start of an engine nothing is known.
        let mut queued = self.queued.clone();
        drop(queued.wait_for(Option::is_some).await);
        let mut rooms = self.rooms();
        if let Some((cap, room)) = rooms.get_mut(pipeline) {
            let queued = self.queued.borrow();
            let counted = queued.as_ref().and_then(|all| {
                let assets = all.assets.get(pipeline)?;
                Some((*assets, all.through))
            });
            let full = || Full {
                pipeline: pipeline.clone(),
                cap: *cap,
            };
            let Some((assets, through)) = counted else {
                let is_full = self.full.borrow().contains(pipeline);
                return if is_full { Err(full()) } else { Ok(place) };
            };
            room.counted(assets, through);
            if !room.take(count) {
                return Err(full());
            }
            place.changes = count;
        }
        Ok(place)
    }
}

/// Capacity that is taken, until the planner has counted what is in it.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    pipeline: PipelineId,
    changes: usize,
}

impl Place {
    /// What it is for is committed, up to `last`.
    pub(super) fn committed(mut self, last: Seq) {
        self.leave(Some(last));
    }

    fn leave(&mut self, last: Option<Seq>) {
        let changes = std::mem::take(&mut self.changes);
        if changes > 0
            && let Some((_, room)) = self.admission.rooms().get_mut(&self.pipeline)
        {
            room.taken(changes, last);
        }
    }
}

impl Drop for Place {
    /// Nothing was committed, or no caller waited for it.
    fn drop(&mut self) {
        self.leave(None);
    }
}

impl From<Full> for crate::sink::SinkError {
    fn from(full: Full) -> Self {
        Self::Full(full.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::asset::Asset;
    use crate::core::change::{Kind, Source};
    use crate::core::time::Time;

    fn changes(target: Target) -> Vec<NewChange> {
        vec![NewChange {
            pipeline: PipelineId::new("www"),
            target,
            kind: Kind::Asked,
            source: Source::Manual,
            detail: "".into(),
            file: None,
            seen: Time::ZERO,
        }]
    }

    #[tokio::test]
    async fn a_queue_that_another_nodes_planner_has_found_full_takes_nothing_but_a_purge_of_everything()
     {
        let www = PipelineId::new("www");
        let full = watch::Sender::new(BTreeSet::new());
        // No engine runs here.
        let queued = watch::Sender::new(Some(Queued::default()));
        let caps = BTreeMap::from([(www.clone(), 10)]);
        let admission = Admission::new(caps, queued.subscribe(), full.subscribe());
        let asset = || changes(Target::Asset(Asset::from_stored("/a")));
        admission.enter(&www, &asset()).await.unwrap();
        full.send_replace(BTreeSet::from([www.clone()]));
        let refused = admission.enter(&www, &asset()).await.unwrap_err();
        assert_eq!(refused.pipeline, www);
        admission.enter(&www, &changes(Target::All)).await.unwrap();
        full.send_replace(BTreeSet::new());
        admission.enter(&www, &asset()).await.unwrap();
    }
}
