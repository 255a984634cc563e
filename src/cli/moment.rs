//! Times, lengths and numbers as people read them.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::core::time::Time;

/// What times are written by: the moment, and the time zone of this machine.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    now: Time,
    zone: TimeZone,
    /// Whether ages are written beside times: not where two outputs are compared.
    ages: bool,
}

impl Moment {
    pub(super) fn new(now: Time, ages: bool) -> Self {
        let zone = TimeZone::system();
        Self { now, zone, ages }
    }

    /// Whether ages are written.
    pub(super) const fn tells_ages(&self) -> bool {
        self.ages
    }

    /// A time of this day as `16:02:07`, another one with its date; and how long ago it was.
    pub(super) fn past(&self, at: Time) -> String {
        if self.ages {
            let ago = length(self.now.since(at));
            format!("{} ({ago})", self.clock(at))
        } else {
            self.clock(at)
        }
    }

    /// How long ago it was, or when where ages are not written.
    pub(super) fn ago(&self, at: Time) -> String {
        if self.ages {
            format!("{} ago", length(self.now.since(at)))
        } else {
            format!("at {}", self.clock(at))
        }
    }

    /// When something is, as `in 41 s`.
    pub(super) fn until(&self, at: Time) -> String {
        if self.ages {
            format!("in {}", length(at.since(self.now)))
        } else {
            format!("at {}", self.clock(at))
        }
    }

    /// A time of this day as `16:02:07`, another one with its date.
    pub(super) fn clock(&self, at: Time) -> String {
        let local = |time: Time| {
            let millis = i64::try_from(time.millis()).ok()?;
            let timestamp = jiff::Timestamp::from_millisecond(millis).ok()?;
            Some(timestamp.to_zoned(self.zone.clone()))
        };
        match (local(at), local(self.now)) {
            (Some(at), Some(now)) if at.date() == now.date() => at.strftime("%H:%M:%S").to_string(),
            (Some(at), _) => at.strftime("%Y-%m-%d %H:%M").to_string(),
            _ => at.to_string(),
        }
    }
}

/// A length, with two digits at least: `0.4 s`, `41 s`, `18 min`, `5.2 h`, `6 d`.
pub(super) fn length(of: Duration) -> String {
    let seconds = of.as_secs_f64();
    match of.as_secs() {
        0..10 => format!("{seconds:.1} s"),
        10..120 => format!("{seconds:.0} s"),
        120..7_200 => format!("{:.0} min", seconds / 60.0),
        7_200..36_000 => format!("{:.1} h", seconds / 3_600.0),
        36_000..172_800 => format!("{:.0} h", seconds / 3_600.0),
        _ => format!("{:.0} d", seconds / 86_400.0),
    }
}

/// A number with commas.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things, with commas.
pub(super) fn counted(number: u64, thing: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {thing}{s}", grouped(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_numbers_are_short() {
        let of = |millis| length(Duration::from_millis(millis));
        assert_eq!(of(420), "0.4 s");
        assert_eq!(of(41_000), "41 s");
        assert_eq!(of(18 * 60_000), "18 min");
        assert_eq!(of(6 * 86_400_000), "6 d");
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(300_002), "300,002");
        assert_eq!(counted(1, "file"), "1 file");
        assert_eq!(counted(1_204, "file"), "1,204 files");
    }
}
