//! Timestamps that a sender signed: canonical digits, and near enough to now.

use super::verifier::Refused;

/// How far a timestamp may be from now, in seconds, to either side.
const TOLERANCE: u64 = 300;

/// The unit that a sender counts in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Seconds since 1970.
    #[default]
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
}

/// Refuses a timestamp that is not written in the one way a number is written, or is not within 300
/// seconds of `now_unix`. What is signed is the text as it came, so that it has to have one meaning.
pub(super) fn check(text: &str, unit: Unit, now_unix: i64) -> Result<(), Refused> {
    let (longest, per_second) = match unit {
        Unit::Seconds => (12, 1),
        Unit::Milliseconds => (15, 1000),
    };
    let canonical = !text.is_empty()
        && text.len() <= longest
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    if !canonical {
        return Err(Refused::Malformed);
    }
    let then: i64 = text.parse().map_err(|_| Refused::Malformed)?;
    // In the sender's own unit, so that 300.999 seconds are not 300.
    let now = now_unix.checked_mul(per_second).ok_or(Refused::Expired)?;
    if now.abs_diff(then) > TOLERANCE * per_second.unsigned_abs() {
        return Err(Refused::Expired);
    }
    Ok(())
}
