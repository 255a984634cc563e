//! A server with a bucket of as many objects as are wanted. It keeps none of them: an object is its number.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

pub(crate) const BUCKET: &str = "my-site";
/// Objects of a page.
const PAGE: u64 = 1_000;
/// Objects of a folder.
const FOLDER: u64 = 100;

/// The server. It runs as long as this does.
pub(crate) struct Storage {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
    _runtime: tokio::runtime::Runtime,
}

struct Counts {
    objects: u64,
    listings: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Asked {
    list_type: Option<u8>,
    start_after: Option<String>,
    continuation_token: Option<String>,
}

impl Storage {
    pub(crate) fn start(objects: u64) -> Self {
        let counts = Arc::new(Counts {
            objects,
            listings: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&counts));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            counts,
            _runtime: runtime,
        }
    }

    /// Calls that listed, and bytes of their answers, since it was asked the last time.
    pub(crate) fn listed(&self) -> (u64, u64) {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        (take(&self.counts.listings), take(&self.counts.bytes))
    }
}

fn key(number: u64) -> String {
    format!("{:06}/page-{:02}.html", number / FOLDER, number % FOLDER)
}

/// The number of a key, or of what was left of it.
fn number(key: &str) -> Option<u64> {
    let (folder, page) = key.split_once("/page-")?;
    let page = page.strip_suffix(".html")?;
    Some(folder.parse::<u64>().ok()? * FOLDER + page.parse::<u64>().ok()?)
}

async fn answer(
    State(counts): State<Arc<Counts>>,
    method: Method,
    uri: Uri,
    Query(asked): Query<Asked>,
) -> Response {
    if asked.list_type == Some(2) {
        let after = asked.continuation_token.or(asked.start_after);
        let page = page(after.as_deref(), counts.objects);
        counts.listings.fetch_add(1, Ordering::Relaxed);
        counts.bytes.fetch_add(page.len() as u64, Ordering::Relaxed);
        return ([(header::CONTENT_TYPE, "application/xml")], page).into_response();
    }
    let key = uri.path().trim_start_matches('/').split_once('/');
    match key.and_then(|(_, key)| number(key)) {
        Some(number) if method == Method::HEAD => {
            let mut headers = HeaderMap::new();
            headers.insert(header::ETAG, format!("\"{number:032x}\"").parse().unwrap());
            let time = "Sun, 01 Nov 2026 00:00:00 GMT";
            headers.insert(header::LAST_MODIFIED, time.parse().unwrap());
            headers.insert(header::CONTENT_LENGTH, 5_000.into());
            headers.into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The page of a listing after a key.
fn page(after: Option<&str>, objects: u64) -> String {
    let first = after.and_then(number).map_or(0, |number| number + 1);
    let end = objects.min(first + PAGE);
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{BUCKET}</Name><Prefix></Prefix>\
         <KeyCount>{}</KeyCount><MaxKeys>{PAGE}</MaxKeys><EncodingType>url</EncodingType>\
         <IsTruncated>{}</IsTruncated>",
        end.saturating_sub(first),
        end < objects,
    );
    if end < objects {
        let token = key(end - 1);
        write!(
            text,
            "<NextContinuationToken>{token}</NextContinuationToken>"
        )
        .unwrap();
    }
    for number in first..end {
        write!(
            text,
            "<Contents><Key>{}</Key><LastModified>2026-11-01T00:00:00.000Z</LastModified>\
             <ETag>&quot;{number:032x}&quot;</ETag><Size>5000</Size><StorageClass>STANDARD</StorageClass></Contents>",
            key(number),
        )
        .unwrap();
    }
    text + "</ListBucketResult>"
}
