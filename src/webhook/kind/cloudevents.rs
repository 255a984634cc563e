//! Stub.
use super::generic::Fields;
use crate::webhook::delivery::Unreadable;
use crate::webhook::reading::{Ask, Input, Reading};
use crate::webhook::route::Handshake;
use axum::http::{HeaderMap, StatusCode};
pub(in crate::webhook) fn handshake(_: &[String], _: &HeaderMap) -> Handshake {
    Handshake {
        status: StatusCode::FORBIDDEN,
        headers: Vec::new(),
    }
}
pub(in crate::webhook) fn read(_: &Input<'_>, _: &Fields) -> Result<Reading, Unreadable> {
    Ok(Reading::of("cloudevents", Ask::Unlisted("")))
}
