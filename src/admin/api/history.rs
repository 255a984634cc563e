//! The local history, a page at a time.

use serde::{Deserialize, Serialize};

use crate::store::{ChangeRecord, ListedDelivery, RequestRecord, StageCounts};

/// Where a page is in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// How many rows the list has in all.
    pub total_count: u64,
    /// The cursor of the next page; `null` on the last.
    pub next: Option<u64>,
}

/// A page of purge requests.
#[derive(Debug, Serialize, Deserialize)]
pub struct RequestPage {
    /// The requests.
    pub purge_requests: Vec<RequestRecord>,
    /// Where the page is.
    #[serde(flatten)]
    pub page: Page,
}

/// Which changes are asked about; from `first` to `last`, both ends included.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeQuery {
    /// Not before this number.
    pub first: Option<u64>,
    /// Not after this number.
    pub last: Option<u64>,
    /// Only those of this pipeline, by name or id.
    #[serde(alias = "pipeline")]
    pub pipeline_id: Option<String>,
    /// Only those in this stage.
    #[serde(alias = "stage")]
    pub status: Option<String>,
    /// Only those of this asset.
    pub asset: Option<String>,
}

/// What became of the changes of a range.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChangeProgress {
    /// How many are in which stage.
    #[serde(flatten)]
    pub stages: StageCounts,
    /// The local numbers of the requests that last took them.
    pub requests: Vec<u64>,
}

/// A page of changes, and of a range also what became of all of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChangePage {
    /// The changes.
    pub changes: Vec<ChangeRecord>,
    /// Where the page is.
    #[serde(flatten)]
    pub page: Page,
    /// What became of the range.
    #[serde(flatten)]
    pub progress: Option<ChangeProgress>,
}

/// A page of deliveries.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeliveryPage {
    /// The deliveries.
    pub deliveries: Vec<ListedDelivery>,
    /// Where the page is.
    #[serde(flatten)]
    pub page: Page,
}
