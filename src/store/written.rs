//! What a node has written lately and would have to write again, if the database's server forgot it: see
//! [`Ring`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::calls::deliveries;
use super::calls::delivery_keys::DeliveryKeys;
use super::calls::operate;
use super::calls::queue::{self, Pulled};
use super::db::Db;
use super::{StoreError, marks};
use crate::core::change::{NewChange, Target};
use crate::core::delivery::{NewDelivery, Work};
use crate::core::lease::NodeId;
use crate::core::pause::Pause;
use crate::core::ring::Ring;

/// What a call has written.
#[derive(Debug)]
pub(in crate::store) enum Written {
    Changes(Arc<Vec<NewChange>>),
    Deliveries(Vec<Arc<NewDelivery>>),
    /// A pause that comes from another queue.
    Pause(Pause),
    /// The name under which the queue goes on for the node.
    Epoch(String),
}

impl Written {
    /// Writes it once more, by the calls that wrote it first: its numbers are new.
    pub(in crate::store) fn again(&self, db: &dyn Db, node: NodeId) -> Result<(), StoreError> {
        match self {
            Self::Changes(changes) => queue::append(db, Some(node), changes).map(drop),
            Self::Deliveries(all) => {
                let (keys, pulled) = (DeliveryKeys::shared(), Pulled::elsewhere());
                let mut taker =
                    deliveries::Taker::new(db, &keys, &pulled, all.iter().map(Arc::as_ref))?;
                for delivery in all {
                    taker.take(delivery)?;
                }
                taker.finish().map(drop)
            }
            Self::Pause(pause) => operate::pause(db, pause),
            Self::Epoch(name) => marks::begin_anew(db, node, name),
        }
    }

    /// How many changes it has.
    pub(in crate::store) fn changes(&self) -> usize {
        match self {
            Self::Changes(changes) => changes.len(),
            Self::Deliveries(taken) => taken.iter().map(|one| work(one).len()).sum(),
            Self::Pause(_) | Self::Epoch(_) => 0,
        }
    }

    pub(in crate::store) fn bytes(&self) -> usize {
        match self {
            Self::Changes(changes) => changes.iter().map(bytes).sum(),
            Self::Deliveries(taken) => {
                let of = |one: &Arc<NewDelivery>| {
                    let changes: usize = work(one).iter().map(bytes).sum();
                    size_of::<NewDelivery>() + one.event.len() + one.what.len() + changes
                };
                taken.iter().map(of).sum()
            }
            Self::Pause(_) | Self::Epoch(_) => 0,
        }
    }
}

/// What a delivery queues by itself.
fn work(delivery: &NewDelivery) -> &[NewChange] {
    match &delivery.work {
        Work::Changes(changes) => changes,
        Work::Scan => &[],
    }
}

fn bytes(change: &NewChange) -> usize {
    let asset = match &change.target {
        Target::Asset(asset) => asset.as_str().len(),
        Target::All => 0,
    };
    let path = change.file.as_ref().map_or(0, |file| file.path.len());
    size_of::<NewChange>() + asset + path + change.detail.len()
}

/// The ring of a node; none where the queue is on this machine's disk, which forgets nothing. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Lately(Option<Arc<Mutex<Ring<Written>>>>);

impl Lately {
    /// With a ring.
    pub(in crate::store) fn of(ring: Ring<Written>) -> Self {
        Self(Some(Arc::new(Mutex::new(ring))))
    }

    /// The ring, by the thread that writes.
    pub(in crate::store) fn ring(&self) -> Option<MutexGuard<'_, Ring<Written>>> {
        let ring = self.0.as_ref()?;
        Some(ring.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The last commit has these changes.
    pub(in crate::store) fn keep_changes(&self, changes: Arc<Vec<NewChange>>) {
        if let Some(ring) = self.ring().filter(|_| !changes.is_empty()) {
            keep(ring, Written::Changes(changes));
        }
    }

    /// The last commit has these deliveries.
    pub(in crate::store) fn keep_deliveries<'d>(
        &self,
        taken: impl Iterator<Item = &'d Arc<NewDelivery>>,
    ) {
        if let Some(ring) = self.ring() {
            keep(ring, Written::Deliveries(taken.cloned().collect()));
        }
    }
}

fn keep(mut ring: MutexGuard<'_, Ring<Written>>, written: Written) {
    let bytes = written.bytes();
    ring.add(written, bytes);
}
