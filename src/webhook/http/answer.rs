//! What a sender is answered, and the word for it in metrics. Answers to those who are not
//! authentic are all the same, whatever is wrong.

use std::sync::Arc;

use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::Serialize;
use serde_json::json;

use crate::core::delivery::DeliveryProgress;
use crate::webhook::kind::Handshake;
use crate::webhook::payload::content::Unreadable;

/// When to try again what could not be committed, in seconds.
const TRY_AGAIN: u32 = 10;
/// When to try again after too many failed authentications, in seconds: when they are forgotten.
const FORGOTTEN: u32 = 60;

/// What became of a call, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Committed.
    Accepted,
    /// Came before; nothing was queued.
    Duplicate,
    /// Authentic, and asks for nothing.
    Ignored,
    /// Authentic, and not what the kind sends.
    Unreadable,
    /// Not authentic.
    Unauthorized,
    /// Not authentic, from a client that failed too often.
    Throttled,
    /// The body is over the limit.
    TooLarge,
    /// The body did not come, or not in time.
    Cut,
    /// It could not be committed.
    Unavailable,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 9] = [
        Self::Accepted,
        Self::Duplicate,
        Self::Ignored,
        Self::Unreadable,
        Self::Unauthorized,
        Self::Throttled,
        Self::TooLarge,
        Self::Cut,
        Self::Unavailable,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Unreadable => "unreadable",
            Self::Unauthorized => "unauthorized",
            Self::Throttled => "throttled",
            Self::TooLarge => "too_large",
            Self::Cut => "cut",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The document that a sender gets whose delivery is on disk.
#[derive(Serialize)]
struct Accepted<'a> {
    event: &'a str,
    pipeline: &'a str,
    changes: usize,
}

/// An answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// Committed to disk.
    Accepted {
        event: Arc<str>,
        pipeline: Arc<str>,
        changes: usize,
    },
    /// Came before.
    Duplicate,
    /// Asks for nothing, and why.
    Ignored(String),
    /// What became of a delivery.
    State(Arc<str>, Box<DeliveryProgress>),
    /// What a `HEAD` or `OPTIONS` gets.
    Handshake(Handshake),
    /// Not what the kind sends.
    Unreadable(Unreadable),
    /// Not authentic.
    Unauthorized,
    /// Not authentic, once too often.
    Throttled,
    /// There is no such route.
    NoRoute,
    /// There is no such delivery, or not any more.
    NoEvent,
    /// `wait` in the query of a question can't be read.
    BadWait,
    /// The route takes other methods only.
    Method(&'static [Method]),
    /// The body is over the limit.
    TooLarge,
    /// The body did not come in time.
    Cut,
    /// The body is not as its head says, or ended before its end.
    Broken,
    /// It could not be committed.
    Unavailable,
}

impl Answer {
    /// The word for it in metrics; `None` for what is no delivery.
    pub(super) const fn outcome(&self) -> Option<Outcome> {
        Some(match self {
            Self::Accepted { .. } => Outcome::Accepted,
            Self::Duplicate => Outcome::Duplicate,
            Self::Ignored(_) => Outcome::Ignored,
            Self::Unreadable(_) => Outcome::Unreadable,
            Self::Unauthorized => Outcome::Unauthorized,
            Self::Throttled => Outcome::Throttled,
            Self::TooLarge => Outcome::TooLarge,
            Self::Cut | Self::Broken => Outcome::Cut,
            Self::Unavailable => Outcome::Unavailable,
            Self::State(..)
            | Self::Handshake(_)
            | Self::NoRoute
            | Self::NoEvent
            | Self::BadWait
            | Self::Method(_) => return None,
        })
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Accepted { .. } => StatusCode::ACCEPTED,
            Self::Duplicate | Self::Ignored(_) | Self::State(..) => StatusCode::OK,
            Self::Handshake(handshake) => handshake.status,
            Self::Unreadable(Unreadable::MediaType(_)) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unreadable(Unreadable::NotJson { .. }) | Self::Broken | Self::BadWait => {
                StatusCode::BAD_REQUEST
            }
            Self::Unreadable(Unreadable::Payload { .. }) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Throttled => StatusCode::TOO_MANY_REQUESTS,
            Self::NoRoute | Self::NoEvent => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Cut => StatusCode::REQUEST_TIMEOUT,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn body(&self) -> String {
        let refusal = |text: &str| json!({ "error": text }).to_string();
        match self {
            Self::Accepted {
                event,
                pipeline,
                changes,
            } => {
                let accepted = Accepted {
                    event,
                    pipeline,
                    changes: *changes,
                };
                serde_json::to_string(&accepted).unwrap_or_default()
            }
            Self::Duplicate => json!({ "ignored": "duplicate delivery" }).to_string(),
            Self::Ignored(why) => json!({ "ignored": why }).to_string(),
            Self::State(pipeline, progress) => {
                let mut document = json!(progress);
                document["pipeline"] = json!(**pipeline);
                document.to_string()
            }
            Self::Handshake(_) => String::new(),
            Self::Unreadable(why) => refusal(&why.to_string()),
            Self::Unauthorized => refusal("not authentic"),
            Self::Throttled => refusal("too many failed authentications"),
            Self::NoRoute => refusal("there is no such route"),
            Self::NoEvent => refusal("there is no such delivery"),
            Self::BadWait => refusal("`wait` has to be seconds, as in ?wait=30s"),
            Self::Method(_) => refusal("the route takes no such method"),
            Self::TooLarge => refusal("the body is too large"),
            Self::Cut => refusal("the body did not come in time"),
            Self::Broken => refusal("the body is not as its headers say"),
            Self::Unavailable => refusal("it could not be committed; try again"),
        }
    }

    /// Whether the connection ends with it. Who has not shown a secret could otherwise hold its place
    /// by asking again and again, or by never reading; and of a body that was refused, what is left
    /// is not waited for.
    const fn ends(&self) -> bool {
        matches!(
            self,
            Self::Unauthorized
                | Self::Throttled
                | Self::NoRoute
                | Self::Method(_)
                | Self::Handshake(_)
                | Self::TooLarge
                | Self::Cut
                | Self::Broken
        )
    }

    /// The response; `headers` is an empty map for its headers.
    pub(super) fn into_response(self, mut headers: HeaderMap) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(self.body()));
        *response.status_mut() = self.status();
        if !matches!(self, Self::Handshake(_)) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if self.ends() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        match self {
            Self::Handshake(handshake) => headers.extend(handshake.headers),
            Self::Method(methods) => {
                let allowed: Vec<&str> = methods.iter().map(Method::as_str).collect();
                if let Ok(allowed) = HeaderValue::from_str(&allowed.join(", ")) {
                    headers.insert(ALLOW, allowed);
                }
            }
            Self::Unavailable => drop(headers.insert(RETRY_AFTER, TRY_AGAIN.into())),
            Self::Throttled => drop(headers.insert(RETRY_AFTER, FORGOTTEN.into())),
            _ => {}
        }
        *response.headers_mut() = headers;
        response
    }
}
