//! Ranges that values have to be in, and what they are written with.

use std::fmt::Display;
use std::num::NonZeroU32;
use std::time::Duration;

use super::value::{Complaint, complain};

/// What is said of a value that is out of its range; the limits are as they are written.
pub(super) fn out_of<T>(least: impl Display, most: impl Display) -> Result<T, Complaint> {
    complain("is out of range", format!("write {least} to {most}"))
}

/// A second.
pub(super) const SECOND: Duration = Duration::from_secs(1);
/// A minute.
pub(super) const MINUTE: Duration = Duration::from_mins(1);
/// An hour.
pub(super) const HOUR: Duration = Duration::from_hours(1);
/// A day.
pub(super) const DAY: Duration = Duration::from_hours(24);

/// A default that is at least one.
pub(super) const fn nonzero(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => panic!("a default is at least one"),
    }
}
