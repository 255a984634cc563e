//! Why a call of the webhook listener is refused, in words for the log and the metrics. An answer
//! says less of it.

use crate::webhook::auth::refused::Refused;

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It is not authentic.
    Auth(Refused),
    /// It asks for another origin than those that may send.
    Origin,
    /// The route takes other methods.
    Method,
    /// The body is over `webhooks.body_limit`.
    OverLimit,
    /// The body did not come in time.
    Slow,
    /// The body is not as its head says, or ended before its end.
    Broken,
    /// It is authentic, and not what its kind sends.
    Unreadable,
    /// There is no such route.
    NoRoute,
    /// The TLS handshake came to nothing, so that the route is not known.
    Handshake,
}

impl Reason {
    /// Every reason.
    pub(super) const ALL: [Self; 14] = [
        Self::Auth(Refused::Missing),
        Self::Auth(Refused::Twice),
        Self::Auth(Refused::Malformed),
        Self::Auth(Refused::Expired),
        Self::Auth(Refused::Wrong),
        Self::Auth(Refused::TooLarge),
        Self::Origin,
        Self::Method,
        Self::OverLimit,
        Self::Slow,
        Self::Broken,
        Self::Unreadable,
        Self::NoRoute,
        Self::Handshake,
    ];

    /// The word for it in logs and metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Auth(refused) => refused.as_str(),
            Self::Origin => "origin",
            Self::Method => "method",
            Self::OverLimit => "over_limit",
            Self::Slow => "slow",
            Self::Broken => "broken",
            Self::Unreadable => "unreadable",
            Self::NoRoute => "no_route",
            Self::Handshake => "handshake",
        }
    }

    /// Those for which a call of a route may be refused.
    pub(super) fn of_routes() -> impl Iterator<Item = Self> {
        let of_no_route = [Self::NoRoute, Self::Handshake];
        let reasons = Self::ALL.into_iter();
        reasons.filter(move |one| !of_no_route.contains(one))
    }

    /// Its place in [`Reason::ALL`].
    pub(super) fn place(self) -> usize {
        let found = Self::ALL.iter().position(|one| *one == self);
        found.unwrap_or(Self::ALL.len() - 1)
    }
}
