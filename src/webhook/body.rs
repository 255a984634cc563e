//! Reads a body within limits: of size, of time, and of what is kept of it. It is verified while it
//! streams by, whether it is kept or not.

use std::time::Duration;

use axum::http::header::TRANSFER_ENCODING;
use axum::http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes};

use super::Verifier;
use super::budget::Kept;
use crate::clock::Clock;

/// What a body may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    /// Bytes.
    pub(super) bytes: u64,
    /// Time that is given to every body.
    pub(super) allowance: Duration,
    /// Bytes that earn another second.
    pub(super) rate: u64,
    /// The whole time, at whatever rate.
    pub(super) total: Duration,
}

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is over the limit.
    TooLarge,
    /// It came too slowly.
    Slow,
    /// The sender went away, or what came is no body.
    Aborted,
}

/// Whether it is clear where the body ends: by a length, or by chunks, once. Of what else the parser
/// lets through, somebody in front may have found another end.
pub(super) fn is_plainly_framed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let first = codings.next().map(HeaderValue::as_bytes);
    first.is_none_or(|coding| coding.eq_ignore_ascii_case(b"chunked")) && codings.next().is_none()
}

/// Reads to the end.
pub(super) async fn read<B>(
    mut body: B,
    limits: &BodyLimits,
    verifier: &mut Verifier<'_>,
    mut kept: Kept,
    clock: Clock,
) -> Result<Kept, Unread>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > limits.bytes {
        return Err(Unread::TooLarge);
    }
    let began = clock.now();
    let mut received = 0_u64;
    loop {
        let earned = Duration::from_millis(received.saturating_mul(1_000) / limits.rate.max(1));
        let patience = limits.total.min(limits.allowance + earned);
        let deadline = clock.instant(began.after(patience));
        let Ok(frame) = tokio::time::timeout_at(deadline, body.frame()).await else {
            return Err(Unread::Slow);
        };
        let chunk = match frame {
            None => return Ok(kept),
            Some(Err(_)) => return Err(Unread::Aborted),
            // Trailers say nothing that counts.
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        received = received.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if received > limits.bytes {
            return Err(Unread::TooLarge);
        }
        verifier.update(&chunk);
        kept.push(&chunk);
    }
}
