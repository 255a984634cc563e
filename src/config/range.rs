//! Ranges that values have to be in.

use std::fmt::Display;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::duration;
use super::value::{Complaint, complain};

/// Refuses a number that is out of `range`.
pub(super) fn number<T: PartialOrd + Display>(
    range: RangeInclusive<T>,
) -> impl FnOnce(&T) -> Result<(), Complaint> {
    move |value| {
        if range.contains(value) {
            return Ok(());
        }
        let (least, most) = range.into_inner();
        complain("is out of range", format!("write {least} to {most}"))
    }
}

/// Refuses a duration that is out of `range`.
pub(super) fn time(
    range: RangeInclusive<Duration>,
) -> impl FnOnce(&Duration) -> Result<(), Complaint> {
    move |value| {
        if range.contains(value) {
            return Ok(());
        }
        let (least, most) = range.into_inner();
        complain(
            "is out of range",
            format!(
                "write \"{}\" to \"{}\"",
                duration::written(least),
                duration::written(most)
            ),
        )
    }
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
