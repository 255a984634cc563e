//! Object Storage: as much of the S3 API, in path style, as edgepurge calls, and PUT and DELETE for who tries it.
//! Answers are in `storage_answer`.

use std::sync::Arc;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State as Extract};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::Response;
use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret as _;

use super::bucket::Bucket;
use super::fault::{Fault, Operation};
use super::listener::Cut;
use super::signature::{self, Keys};
use super::state::{Shared, State};
use super::storage_answer::{StorageAnswer, key_of_token};
use crate::core::time::Time;

/// The largest object that can be put.
const MAX_BODY: usize = 64 * 1024 * 1024;
/// The most keys of a page, whatever is asked for.
const MAX_KEYS: usize = 1_000;
/// Headers that an object keeps, beside those of the website and the client's own.
const KEPT: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_DISPOSITION,
    header::CACHE_CONTROL,
    header::EXPIRES,
];

/// The buckets as a service.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(serve).with_state(shared)
}

/// A call, with what its path and query say.
#[derive(Debug)]
struct Call {
    operation: Operation,
    bucket: String,
    key: String,
    query: Vec<(String, String)>,
}

async fn serve(
    Extract(shared): Extract<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let call = Call::of(&parts);
    let operation = call.as_ref().map(|call| call.operation);
    let number = shared.note(operation, &parts.uri);
    let answer = match (call, to_bytes(body, MAX_BODY).await) {
        (Some(call), Ok(body)) => answer(&shared, &call, &parts, body).await,
        (Some(_), Err(_)) => Some(StorageAnswer::error(
            400,
            "EntityTooLarge",
            "The object is too large.",
        )),
        (None, _) => Some(StorageAnswer::error(
            501,
            "NotImplemented",
            "The sandbox has no such call.",
        )),
    };
    shared.answer(number, answer.map(StorageAnswer::into_response), &cut)
}

impl Call {
    /// What a request asks for; `None` where there is no such call.
    fn of(parts: &Parts) -> Option<Self> {
        let path = parts.uri.path().strip_prefix('/')?;
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let query = parts.uri.query().unwrap_or_default();
        let query: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let has = |name: &str| query.iter().any(|(found, _)| found == name);
        let operation = match (&parts.method, key.is_empty()) {
            (&Method::GET, true) if has("website") => Operation::GetWebsite,
            (&Method::GET, true) if has("list-type") && !has("delimiter") => Operation::ListObjects,
            (&Method::GET, false) => Operation::GetObject,
            (&Method::HEAD, false) => Operation::HeadObject,
            (&Method::PUT, false) => Operation::PutObject,
            (&Method::DELETE, false) => Operation::DeleteObject,
            _ => return None,
        };
        Some(Self {
            operation,
            bucket: bucket.to_owned(),
            key: percent_decode_str(key).decode_utf8().ok()?.into_owned(),
            query,
        })
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        let mut query = self.query.iter();
        query.find_map(|(found, value)| (found == name).then_some(value.as_str()))
    }
}

/// The answer; `None` where the connection is to be cut instead.
async fn answer(shared: &Shared, call: &Call, parts: &Parts, body: Bytes) -> Option<StorageAnswer> {
    let now = shared.clock.now();
    let admitted = shared.with(|state| {
        check_signature(state, call, parts, now)?;
        Ok(state.faults.take(call.operation))
    });
    let fault = match admitted {
        Ok(fault) => fault,
        Err(refused) => return Some(refused),
    };
    match &fault {
        Some(Fault::Hang) => {
            shared.stopping.cancelled().await;
            return None;
        }
        Some(Fault::DropBeforeAccept) => return None,
        Some(Fault::Storage { status, code }) => {
            return Some(StorageAnswer::error(*status, code, "It was scripted."));
        }
        Some(Fault::Delay(delay)) => tokio::select! {
            () = tokio::time::sleep(*delay) => {}
            () = shared.stopping.cancelled() => return None,
        },
        _ => {}
    }
    let whole = fault == Some(Fault::LosesPages);
    let kept = kept(&parts.headers);
    Some(shared.with(|state| {
        let Some(bucket) = state.buckets.get_mut(&call.bucket) else {
            return StorageAnswer::error(404, "NoSuchBucket", "There is no such bucket.");
        };
        let mut answer = match call.operation {
            Operation::ListObjects => list(bucket, call, whole),
            _ => perform(bucket, call, body, kept, now),
        };
        match fault {
            Some(Fault::Corrupt) => answer.body.truncate(answer.body.len() / 2),
            Some(Fault::Meanwhile(changes)) => change(bucket, changes, now),
            _ => {}
        }
        answer
    }))
}

/// Objects can be read, put and deleted without a signature; one that is there has to hold.
fn check_signature(
    state: &State,
    call: &Call,
    parts: &Parts,
    now: Time,
) -> Result<(), StorageAnswer> {
    let Some(bucket) = state.buckets.get(&call.bucket) else {
        return Ok(());
    };
    let keys = Keys {
        access: super::ACCESS_KEY,
        secret: state.secret_key.expose_secret(),
        region: &bucket.region,
    };
    let refused = |code: &str, why: &str| Err(StorageAnswer::error(403, code, why));
    let open = !matches!(
        call.operation,
        Operation::ListObjects | Operation::GetWebsite
    );
    match signature::check(parts, &keys, now) {
        Ok(true) if state.revoked => refused("InvalidAccessKeyId", "The key is revoked."),
        Ok(signed) if signed || open => Ok(()),
        Ok(_) => refused("AccessDenied", "It takes a signature."),
        Err((code, why)) => refused(code, why),
    }
}

/// The headers that an object keeps.
fn kept(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let fits = |name: &HeaderName| KEPT.contains(name) || name.as_str().starts_with("x-amz-");
    let kept = headers.iter().filter(|(name, _)| fits(name));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn list(bucket: &Bucket, call: &Call, whole: bool) -> StorageAnswer {
    let asked = |name: &str| call.parameter(name).unwrap_or_default();
    let after = match call.parameter("continuation-token").map(key_of_token) {
        None => asked("start-after").to_owned(),
        Some(Some(key)) => key,
        Some(None) => {
            return StorageAnswer::error(400, "InvalidArgument", "The token is not one of here.");
        }
    };
    let most = asked("max-keys").parse().unwrap_or(MAX_KEYS).min(MAX_KEYS);
    let mut listed = bucket.list(asked("prefix"), &after, most);
    listed.truncated &= !whole;
    let url_encoded = asked("encoding-type") == "url";
    StorageAnswer::listing(&call.bucket, asked("prefix"), &listed, url_encoded)
}

fn perform(
    bucket: &mut Bucket,
    call: &Call,
    body: Bytes,
    kept: Vec<(HeaderName, HeaderValue)>,
    now: Time,
) -> StorageAnswer {
    match call.operation {
        Operation::GetWebsite => StorageAnswer::website(bucket.website.as_ref()),
        Operation::PutObject if bucket.put(&call.key, body, kept, now) => StorageAnswer::empty(200),
        Operation::PutObject => StorageAnswer::error(
            400,
            "InvalidRequest",
            "It has no room for that, or no such key.",
        ),
        Operation::DeleteObject => {
            bucket.delete(&call.key);
            StorageAnswer::empty(204)
        }
        _ => bucket.get(&call.key).map_or_else(
            || StorageAnswer::error(404, "NoSuchKey", "There is no such object."),
            StorageAnswer::object,
        ),
    }
}

/// Makes the changes of [`Fault::Meanwhile`].
fn change(bucket: &mut Bucket, changes: Vec<(String, Option<Vec<u8>>)>, now: Time) {
    for (key, body) in changes {
        match body {
            Some(body) => {
                bucket.put(&key, body.into(), Vec::new(), now);
            }
            None => bucket.delete(&key),
        }
    }
}
