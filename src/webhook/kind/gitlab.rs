//! GitLab.
use crate::webhook::delivery::Unreadable;
use crate::webhook::reading::{Ask, Input, Reading};
use crate::webhook::signature::Scheme;
use axum::http::HeaderName;

/// How deliveries are authenticated. Never both, and never one in place of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// The secret token, as it is, in `X-Gitlab-Token`.
    #[default]
    Token,
    /// The signing token, `whsec_…`, of GitLab 19.0 and later.
    SigningToken,
}

pub(in crate::webhook) const DEFAULT_EVENTS: [&str; 1] = ["deployment"];

pub(in crate::webhook) const fn scheme(auth: Auth) -> Scheme {
    match auth {
        Auth::Token => Scheme::Token(HeaderName::from_static("x-gitlab-token")),
        Auth::SigningToken => Scheme::Standard,
    }
}
pub(in crate::webhook) fn read(_: &Input<'_>, _: Auth, _: bool) -> Result<Reading, Unreadable> {
    Ok(Reading::of("gitlab", Ask::Unlisted("")))
}
