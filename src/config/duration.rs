//! Durations as people write them: `500ms`, `10s`, `5m`, `1h`, `30d`.

use std::time::Duration;

use super::size::with_unit;

/// Each unit with its length in milliseconds, the largest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a whole number with a unit; `None` where it is anything else, or too large.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    with_unit(text, &UNITS).map(Duration::from_millis)
}

/// Writes a duration with the largest unit that leaves no rest. What is below a millisecond is
/// dropped: [`parse`] can't read it.
pub(crate) fn written(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    UNITS
        .into_iter()
        .find(|(_, unit)| millis % unit == 0)
        .map_or_else(String::new, |(name, unit)| {
            format!("{}{name}", millis / unit)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_reads_each_unit() {
        for (text, millis) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("30d", 2_592_000_000),
            ("0s", 0),
            ("10 s", 10_000),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn it_refuses_everything_else() {
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1.5s",
            "1h30m",
            "10 sec",
            "10S",
            "1M",
            " 1s",
            "1s ",
            "+1s",
            "99999999999999999999s",
            "18446744073709551615d",
            "١s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(millis in any::<u64>()) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&written(duration)), Some(duration));
        }

        #[test]
        fn reading_never_panics(text in ".*") {
            let parsed = parse(&text);
            prop_assert!(parsed.is_none() || text.starts_with(|c: char| c.is_ascii_digit()));
        }
    }
}
