//! Why a delivery is not authentic: the word for the log and the metrics.

/// Why a delivery is not authentic. For the log and the metrics only: an answer never says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// A header that has to be there is not, or is empty.
    Missing,
    /// A header that may be there once is there again.
    Twice,
    /// A header that is not written as the kind writes it.
    Malformed,
    /// A timestamp that is too far from now.
    Expired,
    /// The signature or the token is wrong.
    Wrong,
    /// The body is larger than 1 MiB, and its scheme can't verify more.
    TooLarge,
}

impl Refused {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Missing,
        Self::Twice,
        Self::Malformed,
        Self::Expired,
        Self::Wrong,
        Self::TooLarge,
    ];

    /// The word for it in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Twice => "twice",
            Self::Malformed => "malformed",
            Self::Expired => "expired",
            Self::Wrong => "wrong",
            Self::TooLarge => "too_large",
        }
    }
}
