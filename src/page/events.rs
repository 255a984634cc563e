//! `GET /events`: a stream that says that something changed, and not what. The script then asks for its
//! page again, so that there is one way in which anything is shown.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::time::sleep;

use super::Page;
use super::visitor::Visitor;
use crate::admin::News;

/// Two events are so far apart at least.
const GAP: Duration = Duration::from_millis(250);
/// An event comes so often at least: what nothing tells of is seen then, and proxies keep the connection.
const AT_LEAST: Duration = Duration::from_secs(15);

/// `GET /events`
pub(super) async fn events(State(page): State<Arc<Page>>, _: Visitor) -> Response {
    let Ok(place) = Arc::clone(&page.streams).try_acquire_owned() else {
        let text = "so many streams are open already; close other tabs\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let stopping = page.stopping.clone();
    let begun = (News::of(&page.admin), 0_u64);
    let events = stream::unfold(begun, move |(mut news, number)| {
        // It is free again when the stream ends.
        let _place = &place;
        let stopping = stopping.clone();
        async move {
            if number > 0 {
                let next = async {
                    news.next(AT_LEAST).await;
                    sleep(GAP).await;
                };
                tokio::select! {
                    () = stopping.cancelled() => return None,
                    () = next => {}
                }
            }
            let event = format!("id: {number}\nevent: changed\ndata: {number}\n\n");
            Some((Ok::<_, Infallible>(Bytes::from(event)), (news, number + 1)))
        }
    });
    let about = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx would keep events back until its buffer is full.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (about, Body::from_stream(events)).into_response()
}
