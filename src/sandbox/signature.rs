//! Whether a call to a bucket is signed with the keys of the sandbox: a URL whose query has the signature, as
//! edgepurge signs. The crate that signs is asked to sign again.

use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{Method, header};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use url::Url;

use crate::core::time::Time;

/// A signature from further in the future than this is refused.
const SKEW: Duration = Duration::from_mins(15);
/// What signing adds to a query.
const OWN: &str = "X-Amz-";

/// Why a signature does not hold: the word for it, and a sentence.
pub(super) type Refused = (&'static str, &'static str);

/// What signatures are held against.
pub(super) struct Keys<'k> {
    pub(super) access: &'k str,
    pub(super) secret: &'k str,
    pub(super) region: &'k str,
}

/// Checks the signature of a call, if it has one; `false`: it has none.
pub(super) fn check(parts: &Parts, keys: &Keys<'_>, now: Time) -> Result<bool, Refused> {
    let query = parts.uri.query().unwrap_or_default();
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let own = |name: &str| {
        let mut pairs = pairs.iter();
        pairs.find_map(|(key, value)| (key.strip_prefix(OWN)? == name).then_some(value.as_str()))
    };
    let Some(signature) = own("Signature") else {
        return Ok(false);
    };
    let mut credential = own("Credential").unwrap_or_default().split('/');
    if credential.next() != Some(keys.access) {
        return Err(("InvalidAccessKeyId", "The access key is not known here."));
    }
    let region = credential.nth(1).unwrap_or_default();
    if region != keys.region {
        let why = "The region of the signature is not the bucket's.";
        return Err(("AuthorizationHeaderMalformed", why));
    }
    let broken = (
        "AuthorizationQueryParametersError",
        "The query can't be read.",
    );
    let signed = own("Date").and_then(time).ok_or(broken)?;
    let expires = own("Expires")
        .and_then(|text| text.parse().ok())
        .ok_or(broken)?;
    let signed_ms = u64::try_from(signed.as_millisecond()).unwrap_or_default();
    let at = Time::from_millis(signed_ms);
    if at > now.after(SKEW) || at.after(Duration::from_secs(expires)) < now {
        return Err(("AccessDenied", "The time of the signature is wrong."));
    }
    let mut rest: Vec<(&str, &str)> = pairs
        .iter()
        .filter(|(name, _)| !name.starts_with(OWN))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    rest.sort_unstable();
    let (method, url) = target(parts).ok_or(broken)?;
    let none = std::iter::empty();
    let again = rusty_s3::signing::sign(
        &signed,
        method,
        url,
        keys.access,
        keys.secret,
        None,
        region,
        expires,
        rest.into_iter(),
        none,
    );
    let mut again = again.query_pairs();
    if again.any(|(name, value)| name == "X-Amz-Signature" && value == signature) {
        return Ok(true);
    }
    Err((
        "SignatureDoesNotMatch",
        "The signature is not that of the secret key.",
    ))
}

fn time(text: &str) -> Option<Timestamp> {
    let time = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// What was asked for, as it was signed.
fn target(parts: &Parts) -> Option<(rusty_s3::Method, Url)> {
    let method = match parts.method {
        Method::GET => rusty_s3::Method::Get,
        Method::HEAD => rusty_s3::Method::Head,
        Method::PUT => rusty_s3::Method::Put,
        Method::DELETE => rusty_s3::Method::Delete,
        _ => return None,
    };
    let host = parts.headers.get(header::HOST)?.to_str().ok()?;
    let url = Url::parse(&format!("http://{host}{}", parts.uri.path())).ok()?;
    Some((method, url))
}
