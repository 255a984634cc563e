//! What an authentic delivery asks for. Plain data; made by `reading`.

use std::sync::Arc;

use crate::core::asset::Asset;

/// An authentic delivery, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The name under which its sender can ask what became of it: the sender's own id where that is
    /// a plain token (1 to 128 of `A-Z a-z 0-9 . _ : -`), otherwise the SHA-256 of the body in hex.
    /// Deliveries with equal bodies and no id of their own share it.
    pub event: Arc<str>,
    /// What two deliveries of one and the same event have in common, and no other. Only where a
    /// signature covers it: without one, a copied delivery could make another a duplicate.
    /// Specific to the route. `None` for what asks for nothing.
    pub dedupe_key: Option<[u8; 32]>,
    /// The event in the kind's own words: printable, on one line, at most 128 bytes.
    pub what: Arc<str>,
    /// What it asks for.
    pub wish: Wish,
}

/// What a delivery asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing, and why; printable.
    Nothing(String),
    /// These files below the origin's root: raw paths without a leading `/`, each once, at least one.
    Files(Vec<Vec<u8>>),
    /// The assets that the configuration names, at least one.
    Assets(Vec<Asset>),
    /// A scan of the pipeline's origins, of which there is at least one.
    Scan {
        /// Why the files that the delivery lists are not enough, where it had to list them.
        because: Option<&'static str>,
    },
    /// Everything of the pipeline.
    All {
        /// Why less is not enough, where less was configured.
        because: Option<&'static str>,
    },
}
