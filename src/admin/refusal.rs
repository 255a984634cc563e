//! Why a route does not do what was asked: one document for all refusals.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::api::Refusal;
use crate::store::StoreError;

/// A refusal. Its answer is `{"error": …, "class": …}`, on every path and for every reason.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    /// The query or the body can't be read.
    #[error("{0}")]
    Malformed(String),
    /// The call makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The token is missing or wrong.
    #[error("the admin token is missing or wrong; send it as `Authorization: Bearer …`")]
    Unauthorized,
    /// It may not be done this way.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// There is no pipeline of that name.
    #[error("{0}")]
    UnknownPipeline(String),
    /// The path takes other methods.
    #[error("this path does not take that method; the header `Allow` lists those that it takes")]
    Method,
    /// It is not in a state for that.
    #[error("{0}")]
    Conflict(String),
    /// The body is over the limit.
    #[error("the body is larger than {} MiB", super::BODY_LIMIT >> 20)]
    TooLarge,
    /// The body is no JSON, by its own header.
    #[error("the body has to be JSON, and to say so: `Content-Type: application/json`")]
    MediaType,
    /// The `Host` is not this daemon's.
    #[error("this Host is not served here; use the address that admin.listen names")]
    Misdirected,
    /// The daemon can't do it now.
    #[error("{0}")]
    Unavailable(String),
    /// The API refused it.
    #[error("{0}")]
    Refused(crate::core::purge::Refusal),
}

impl AdminError {
    /// The status of the answer.
    pub(crate) const fn status(&self) -> StatusCode {
        self.kind().0
    }

    /// The status, and the class: a word that a program can go by.
    const fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "invalid"),
            Self::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::UnknownPipeline(_) => (StatusCode::NOT_FOUND, "unknown_pipeline"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "invalid"),
            Self::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "invalid"),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid"),
            Self::Misdirected => (StatusCode::MISDIRECTED_REQUEST, "forbidden"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Refused(refusal) => (StatusCode::BAD_GATEWAY, refusal.class()),
        }
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(format!("the store does not answer: {error}"))
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let (status, class) = self.kind();
        let body = Refusal {
            error: self.to_string(),
            class: class.to_owned(),
        };
        let mut response = (status, axum::Json(body)).into_response();
        if matches!(self, Self::Unauthorized) {
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
