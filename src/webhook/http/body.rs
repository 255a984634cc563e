//! Reads a body within limits: of size, of time, and of what is kept of it. It is verified while it
//! streams by, whether it is kept or not.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use axum::http::header::TRANSFER_ENCODING;
use axum::http::{HeaderMap, HeaderValue};
use hyper::body::{Body, Bytes, Frame};

use super::budget::Kept;
use super::deadlines::Deadlines;
use crate::core::time::Time;
use crate::webhook::auth::verifier::Verifier;

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

/// Whether it is clear where the body ends: by a length, or by chunks, once. In what else the parser
/// lets through, a proxy in front may have found another end.
pub(super) fn is_plainly_framed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let first = codings.next().map(HeaderValue::as_bytes);
    first.is_none_or(|coding| coding.eq_ignore_ascii_case(b"chunked")) && codings.next().is_none()
}

/// Reads to the end of a body that began to come by then.
pub(super) async fn read<B>(
    mut body: B,
    limits: &BodyLimits,
    verifier: &mut Verifier<'_>,
    mut kept: Kept,
    began: Time,
    deadlines: &Deadlines,
) -> Result<Kept, Unread>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > limits.bytes {
        return Err(Unread::TooLarge);
    }
    let mut received = 0_u64;
    while !body.is_end_stream() {
        let earned = Duration::from_millis(received.saturating_mul(1_000) / limits.rate.max(1));
        deadlines.body(began.after(limits.total.min(limits.allowance + earned)));
        let chunk = match frame(&mut body, deadlines).await? {
            None => break,
            Some(Err(_)) => return Err(Unread::Aborted),
            // Trailers say nothing that counts.
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        received = received.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if received > limits.bytes {
            return Err(Unread::TooLarge);
        }
        verifier.update(&chunk);
        kept.push(chunk);
    }
    Ok(kept)
}

/// The next piece, while there is patience.
async fn frame<B>(
    body: &mut B,
    deadlines: &Deadlines,
) -> Result<Option<Result<Frame<Bytes>, B::Error>>, Unread>
where
    B: Body<Data = Bytes> + Unpin,
{
    poll_fn(|context| {
        let polled = Pin::new(&mut *body).poll_frame(context);
        if polled.is_pending() && deadlines.is_over() {
            return Poll::Ready(Err(Unread::Slow));
        }
        polled.map(Ok)
    })
    .await
}
