//! Stub.
use crate::webhook::delivery::Unreadable;
use crate::webhook::reading::{Ask, Input, Reading};
pub(in crate::webhook) const DEFAULT_EVENTS: [&str; 0] = [];
pub(in crate::webhook) fn read(_: &Input<'_>) -> Result<Reading, Unreadable> {
    Ok(Reading::of("s3", Ask::Unlisted("")))
}
