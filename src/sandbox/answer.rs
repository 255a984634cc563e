//! The API's answers: its documents, its two families of errors, its headers.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::error_type::{self, ErrorType};
use super::ledger::{PurgeRecord, PurgeTarget};

/// What is answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// JSON, or nothing.
    pub(super) body: Vec<u8>,
    /// Headers of this answer alone.
    pub(super) headers: Vec<(HeaderName, String)>,
}

impl Answer {
    pub(super) fn json(status: StatusCode, document: &Value) -> Self {
        Self {
            status,
            // Compact, with the keys in alphabetical order: the map of serde_json is sorted.
            body: document.to_string().into_bytes(),
            headers: Vec::new(),
        }
    }

    pub(super) fn ok(document: &Value) -> Self {
        Self::json(StatusCode::OK, document)
    }

    /// The untyped error: all that Edge Services itself was ever seen to send.
    pub(super) fn untyped(status: StatusCode, message: &str) -> Self {
        Self::json(status, &json!({ "message": message }))
    }

    pub(super) fn not_found() -> Self {
        Self::untyped(StatusCode::NOT_FOUND, "Not Found")
    }

    pub(super) fn invalid(argument: &str, reason: &str, help: &str) -> Self {
        Self::refused(400, error_type::invalid(argument, reason, help))
    }

    pub(super) fn denied() -> Self {
        Self::typed(ErrorType::DeniedAuthentication)
    }

    /// The typed error.
    pub(super) fn typed(error: ErrorType) -> Self {
        Self::refused(error.status(), error.body())
    }

    /// Any answer.
    pub(super) fn refused(status: u16, body: String) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            body: body.into_bytes(),
            headers: Vec::new(),
        }
    }

    /// The gateway's 429: no body, and normally no hint when to try again.
    pub(super) fn rate_limited(retry_after: Option<u64>) -> Self {
        let mut headers = vec![(
            HeaderName::from_static("x-envoy-ratelimited"),
            "true".to_owned(),
        )];
        if let Some(seconds) = retry_after {
            headers.push((header::RETRY_AFTER, seconds.to_string()));
        }
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            body: Vec::new(),
            headers,
        }
    }

    /// As HTTP, with the headers that every answer of the API carries.
    pub(super) fn into_response(self) -> Response {
        let empty = self.body.is_empty();
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if !empty {
            // Exactly this: with a charset the official JavaScript client reads no JSON.
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
        }
        for (name, value) in [
            (header::CONTENT_SECURITY_POLICY, CSP),
            (header::SERVER, "Scaleway API Gateway (sandbox)"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let id = (REQUEST_ID, uuid::Uuid::new_v4().to_string());
        for (name, value) in self.headers.into_iter().chain([id]) {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

const CSP: &str = "default-src 'none'; frame-ancestors 'none'";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How finely times are shown: the create call shows nanoseconds, later ones microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precision {
    Nanos,
    Micros,
}

/// A purge request as the API shows it. The member of `target` that is not set is left out.
pub(super) fn document(record: &PurgeRecord, precision: Precision) -> Value {
    let updated = record.settled.map_or(record.created_nanos, |settled| {
        (settled.millis().saturating_mul(1_000_000)).max(record.created_nanos)
    });
    let mut document = json!({
        "created_at": timestamp(record.created_nanos, precision),
        "id": record.id,
        "pipeline_id": record.pipeline.as_str(),
        "status": record.status.as_str(),
        "updated_at": timestamp(updated, precision),
    });
    match &record.target {
        PurgeTarget::Assets(assets) => document["assets"] = json!(assets),
        PurgeTarget::All => document["all"] = json!(true),
    }
    document
}

fn timestamp(nanos: u64, precision: Precision) -> Option<String> {
    let timestamp = jiff::Timestamp::from_nanosecond(i128::from(nanos)).ok()?;
    Some(match precision {
        Precision::Nanos => format!("{timestamp:.9}"),
        Precision::Micros => format!("{timestamp:.6}"),
    })
}

/// Puts another word in the place of every status of an answer.
pub(super) fn replace_status(document: &mut Value, word: &str) {
    if let Some(status) = document.get_mut("status") {
        *status = json!(word);
    }
    if let Some(list) = document
        .get_mut("purge_requests")
        .and_then(Value::as_array_mut)
    {
        for item in list {
            replace_status(item, word);
        }
    }
}
