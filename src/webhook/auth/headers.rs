//! Reads headers strictly: one line, plain ASCII, or refused. Interprets nothing.

use axum::http::{HeaderMap, HeaderName};
use data_encoding::BASE64;
use secrecy::zeroize::Zeroizing;

use super::refused::Refused;

/// The value of a header that has to be there once.
pub(in crate::webhook) fn one<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<&'h str, Refused> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(Refused::Missing)?;
    if values.next().is_some() {
        // Which of two would the parts before this one have believed?
        return Err(Refused::Twice);
    }
    let text = value.to_str().map_err(|_| Refused::Malformed)?;
    if text.is_empty() {
        return Err(Refused::Missing);
    }
    Ok(text)
}

/// The value of an unsigned header, where it is there once and plain ASCII.
pub(in crate::webhook) fn hint<'h>(headers: &'h HeaderMap, name: &'static str) -> Option<&'h str> {
    one(headers, &HeaderName::from_static(name)).ok()
}

/// The token of `Authorization: Bearer TOKEN`.
pub(in crate::webhook) fn bearer(headers: &HeaderMap) -> Result<&str, Refused> {
    authorization(headers, "bearer")
}

/// `NAME:PASSWORD` of `Authorization: Basic` (RFC 7617).
pub(in crate::webhook) fn basic(headers: &HeaderMap) -> Result<Zeroizing<String>, Refused> {
    let encoded = authorization(headers, "basic")?;
    let bytes = BASE64.decode(encoded.as_bytes());
    let text = bytes
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok().map(Zeroizing::new));
    text.ok_or(Refused::Malformed)
}

/// What stands behind a prefix in a header.
pub(in crate::webhook) fn token<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
    prefix: &str,
) -> Result<&'h str, Refused> {
    let token = one(headers, name)?.strip_prefix(prefix);
    token
        .filter(|token| !token.is_empty())
        .ok_or(Refused::Malformed)
}

fn authorization<'h>(headers: &'h HeaderMap, wanted: &str) -> Result<&'h str, Refused> {
    let value = one(headers, &axum::http::header::AUTHORIZATION)?;
    let (scheme, token) = value.split_once(' ').ok_or(Refused::Malformed)?;
    if !scheme.eq_ignore_ascii_case(wanted) || token.is_empty() {
        return Err(Refused::Malformed);
    }
    Ok(token)
}
