//! Stub.
use crate::webhook::delivery::Unreadable;
use crate::webhook::reading::{Ask, Input, Reading};
use crate::webhook::signature::Claim;
use crate::webhook::verifier::Refused;
use axum::http::HeaderMap;
pub(in crate::webhook) const DEFAULT_EVENTS: [&str; 0] = [];
pub(in crate::webhook) fn read(_: &Input<'_>) -> Result<Reading, Unreadable> {
    Ok(Reading::of("netlify", Ask::Unlisted("")))
}
pub(in crate::webhook) fn claim(_: &HeaderMap) -> Result<Claim, Refused> {
    Err(Refused::Missing)
}
