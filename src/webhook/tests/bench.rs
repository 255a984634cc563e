//! Routes, headers and signatures for tests.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::super::*;
use crate::core::change::PipelineId;

pub(in crate::webhook) const NOW: i64 = 1_700_000_000;

/// A secret that is long enough.
pub(in crate::webhook) const SECRET: &str = "It's a Secret to Everybody";

/// A route of this kind for a pipeline with an origin, with nothing else configured.
pub(in crate::webhook) fn settings(kind: Kind) -> RouteSettings {
    RouteSettings {
        path: "/hooks/www".to_owned(),
        pipeline: PipelineId::new("11111111-1111-4111-8111-111111111111"),
        origins: Origins::Directories,
        kind,
        repositories: Vec::new(),
        workflows: Vec::new(),
        environments: Vec::new(),
        events: None,
        branches: Vec::new(),
        purge: None,
        files_root: String::new(),
        delay: Duration::ZERO,
        dedupe: Duration::from_mins(10),
    }
}

/// A route of this kind and this secret.
pub(in crate::webhook) fn route(kind: Kind, secret: &str) -> Route {
    Route::of_any_secret(settings(kind), secret)
}

pub(in crate::webhook) fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// Verifies a delivery that comes in pieces.
pub(in crate::webhook) fn verify(
    route: &Route,
    headers: &HeaderMap,
    body: &[u8],
    now: i64,
) -> Result<Authentic, Refused> {
    let mut verifier = route.verifier(headers, now);
    for chunk in body.chunks(7) {
        verifier.update(chunk);
    }
    verifier.finish()
}

/// Says that a delivery is authentic at `now`, and one of another body is not.
#[track_caller]
pub(in crate::webhook) fn holds(route: &Route, sent: &[(&str, &str)], body: &str, now: i64) {
    let sent = headers(sent);
    assert!(verify(route, &sent, body.as_bytes(), now).is_ok());
    let other = format!("{body} ");
    assert_eq!(
        verify(route, &sent, other.as_bytes(), now),
        Err(Refused::Wrong)
    );
}

/// The same, without authentication.
pub(in crate::webhook) fn opened(mut settings: RouteSettings) -> RouteSettings {
    settings.kind.scheme = Scheme::Open;
    settings
}

/// The same, whose pushes are never forced.
pub(in crate::webhook) fn trusting(mut kind: Kind) -> Kind {
    kind.options.assume_no_force_push = true;
    kind
}

/// What an open route of these settings reads from a delivery.
pub(in crate::webhook) fn read(
    settings: RouteSettings,
    sent: &[(&str, &str)],
    body: &str,
) -> Result<Delivery, Unreadable> {
    let route = Route::new(opened(settings), &[]).unwrap();
    let sent = headers(sent);
    let authentic = verify(&route, &sent, body.as_bytes(), NOW).unwrap();
    route.read(&sent, &authentic, Some(body.as_bytes()))
}

/// What a delivery asks for that can be read.
#[track_caller]
pub(in crate::webhook) fn wish(settings: RouteSettings, sent: &[(&str, &str)], body: &str) -> Wish {
    match read(settings, sent, body) {
        Ok(delivery) => delivery.wish,
        Err(error) => panic!("{error}: {body}"),
    }
}

pub(in crate::webhook) fn files(list: &[&str]) -> Wish {
    Wish::Files(list.iter().map(|file| file.as_bytes().to_vec()).collect())
}

/// Whether a wish is a scan with a reason that holds this word.
pub(in crate::webhook) fn widened(wish: &Wish, word: &str) -> bool {
    matches!(wish, Wish::Scan { because: Some(why) } if why.contains(word))
}

/// Whether a wish is for nothing, with a reason that holds this word.
pub(in crate::webhook) fn nothing(wish: &Wish, word: &str) -> bool {
    matches!(wish, Wish::Nothing(why) if why.contains(word))
}
