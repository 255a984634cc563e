//! Lists of the history: which rows, in which order, and which part of them. One way for all.

use serde::{Deserialize, Serialize};

use super::Cause;
use crate::core::change::{PipelineId, Seq};
use crate::core::delivery::DeliveryRecord;

/// A part of a list. Rows are in the order of their local numbers, which is the order of their times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Oldest first instead of newest first.
    pub ascending: bool,
    /// Only what comes after the row with this number, in that order.
    pub cursor: Option<u64>,
    /// How many to skip.
    pub offset: usize,
    /// At most so many.
    pub limit: usize,
}

impl Slice {
    /// The first rows.
    #[must_use]
    pub fn first(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// The rows of this part.
    pub rows: Vec<T>,
    /// How many rows the whole list has.
    pub total_count: u64,
}

/// Which changes are listed. Every field that is set narrows.
#[derive(Clone, Debug, Default)]
pub struct ChangeFilter {
    /// Not before this one.
    pub first: Option<Seq>,
    /// Not after this one.
    pub last: Option<Seq>,
    /// Only this pipeline's.
    pub pipeline: Option<PipelineId>,
    /// Only in this stage: a word of [`Cause::stage`].
    pub stage: Option<String>,
    /// Only of this asset.
    pub asset: Option<String>,
    /// Which part of the list.
    pub slice: Slice,
}

/// A change in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRecord {
    /// Whose cache.
    pub pipeline_id: PipelineId,
    /// What is stale; `None`: everything.
    pub asset: Option<String>,
    /// The local number of the request that last took it.
    pub request: Option<u64>,
    /// The change, and why it was made.
    #[serde(flatten)]
    pub cause: Cause,
}

/// Which deliveries are listed. Every field that is set narrows.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// Only this pipeline's.
    pub pipeline: Option<PipelineId>,
    /// Only those that came in at this route.
    pub route: Option<String>,
    /// Which part of the list.
    pub slice: Slice,
}

/// A delivery in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedDelivery {
    /// The local number.
    pub id: u64,
    /// Where it came in.
    pub route: String,
    /// Whose cache.
    pub pipeline_id: PipelineId,
    /// What became of it.
    #[serde(flatten)]
    pub record: DeliveryRecord,
}
