//! Reads what a call says: its query, its body, its path. What can't be read is refused as
//! everything else is.

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::Uri;
use axum::http::request::Parts;
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;

use super::{AdminError, BODY_LIMIT};

/// So many bytes of a body that is too large are read, to be given up.
const READ_LIMIT: usize = 8 * BODY_LIMIT;

/// A query, as `T` has it.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> Query<T> {
    /// The query of a URI.
    pub(super) fn of(uri: &Uri) -> Result<Self, AdminError> {
        match axum::extract::Query::try_from_uri(uri) {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(refused) => Err(AdminError::Malformed(refused.body_text())),
        }
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = AdminError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AdminError> {
        Self::of(&parts.uri)
    }
}

/// A body, unless it is too large. Then its rest is read and given up, within bounds: a connection that is
/// closed with unread bytes may take the answer with it.
async fn whole(body: axum::body::Body) -> Result<Vec<u8>, AdminError> {
    let mut chunks = body.into_data_stream();
    let (mut kept, mut size) = (Vec::new(), 0_usize);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| AdminError::Malformed(error.to_string()))?;
        size = size.saturating_add(chunk.len());
        if size <= BODY_LIMIT {
            kept.extend_from_slice(&chunk);
        } else if size > READ_LIMIT {
            break;
        }
    }
    if size > BODY_LIMIT {
        return Err(AdminError::TooLarge);
    }
    Ok(kept)
}

/// A JSON body, as `T` has it.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = AdminError;

    async fn from_request(request: Request, state: &S) -> Result<Self, AdminError> {
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts, whole(body).await?.into());
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(JsonRejection::MissingJsonContentType(_)) => Err(AdminError::MediaType),
            Err(JsonRejection::JsonDataError(error)) => Err(AdminError::Invalid(error.body_text())),
            Err(error) => Err(AdminError::Malformed(error.body_text())),
        }
    }
}

/// The last segment of a path, as `T` has it.
pub(super) struct Segment<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segment<T> {
    type Rejection = AdminError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AdminError> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(segment)) => Ok(Self(segment)),
            Err(refused) => Err(AdminError::Malformed(refused.body_text())),
        }
    }
}
