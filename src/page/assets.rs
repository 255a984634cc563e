//! The style sheet, the script, the icon, and the headers of all that the page answers.

use std::sync::LazyLock;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, REFERRER_POLICY};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const ICON: &str = include_str!("icon.svg");

/// What a browser may do on the page: nothing that leaves the origin, nothing inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What each answer has.
const HEADERS: [(HeaderName, &str); 5] = [
    (HeaderName::from_static("content-security-policy"), POLICY),
    (HeaderName::from_static("x-content-type-options"), "nosniff"),
    // With `no-referrer` a browser hides the origin of its own forms, which is checked.
    (REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

/// Names the contents of these files in their addresses, so that a browser may keep them.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let hash = blake3::hash([STYLE, SCRIPT, ICON].concat().as_bytes());
    hash.to_hex()[..12].to_owned()
});

/// Adds the headers that every answer has.
pub(super) fn headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// `GET /page.css`
pub(super) async fn style() -> Response {
    kept("text/css; charset=utf-8", STYLE)
}

/// `GET /page.js`
pub(super) async fn script() -> Response {
    kept("text/javascript; charset=utf-8", SCRIPT)
}

/// `GET /icon.svg`
pub(super) async fn icon() -> Response {
    kept("image/svg+xml", ICON)
}

fn kept(kind: &'static str, content: &'static str) -> Response {
    let about = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (about, content).into_response()
}
