//! Timestamps that a sender signed: canonical digits, and near enough to now.

use super::refused::Refused;

/// How far a timestamp may be from now, in seconds, to either side.
pub(in crate::webhook) const TOLERANCE: u64 = 300;

/// The unit that a sender counts in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Seconds since 1970.
    #[default]
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
}

impl Unit {
    /// How many there are in a second.
    const fn per_second(self) -> i64 {
        match self {
            Self::Seconds => 1,
            Self::Milliseconds => 1_000,
        }
    }

    /// The word for it.
    pub(in crate::webhook) const fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
        }
    }
}

/// Refuses a timestamp that is not written in the one way a number is written, or is not within 300
/// seconds of `now_unix`. What is signed is the text as it came, so that it has to have one meaning.
pub(in crate::webhook) fn check(text: &str, unit: Unit, now_unix: i64) -> Result<(), Refused> {
    let then = number(text, unit)?;
    // In the sender's own unit, so that 300.999 seconds are not 300.
    let per_second = unit.per_second();
    let now = now_unix.checked_mul(per_second).ok_or(Refused::Expired)?;
    if now.abs_diff(then) > TOLERANCE * per_second.unsigned_abs() {
        return Err(Refused::Expired);
    }
    Ok(())
}

/// By how many seconds a timestamp is ahead of `now_unix`; `None` for what is none.
pub(in crate::webhook) fn off(text: &str, unit: Unit, now_unix: i64) -> Option<i64> {
    let then = number(text, unit).ok()?;
    (then / unit.per_second()).checked_sub(now_unix)
}

fn number(text: &str, unit: Unit) -> Result<i64, Refused> {
    let longest = match unit {
        Unit::Seconds => 12,
        Unit::Milliseconds => 15,
    };
    let canonical = !text.is_empty()
        && text.len() <= longest
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    if !canonical {
        return Err(Refused::Malformed);
    }
    text.parse().map_err(|_| Refused::Malformed)
}
