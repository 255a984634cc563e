//! Stub.
use crate::webhook::delivery::Unreadable;
use crate::webhook::reading::{Ask, Input, Reading};
use crate::webhook::signature::Claim;
use crate::webhook::verifier::Refused;
use axum::http::HeaderMap;
pub(in crate::webhook) const DEFAULT_EVENTS: [&str; 0] = [];
pub(in crate::webhook) fn read(_: &Input<'_>) -> Result<Reading, Unreadable> {
    Ok(Reading::of("contentful", Ask::Unlisted("")))
}
pub(in crate::webhook) const SECRET_LENGTH: usize = 64;
pub(in crate::webhook) fn claim(_: &str, _: &HeaderMap, _: i64) -> Result<Claim, Refused> {
    Err(Refused::Missing)
}
