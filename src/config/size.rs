//! Sizes as people write them: `5 MiB`, `100 kB`.

/// Each unit with its bytes, the largest first.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

/// Reads a whole number of bytes with a unit; `None` where it is anything else, or too large.
pub(crate) fn parse(text: &str) -> Option<u64> {
    with_unit(text, &UNITS)
}

/// Reads a whole number with one of these units; `None` where it is anything else, or too large.
pub(super) fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit = unit.trim_start_matches(' ');
    let (_, size) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*size)
}

/// Writes a size as [`parse`] reads it, with the largest unit that leaves a whole number.
pub(crate) fn written(bytes: u64) -> String {
    UNITS
        .into_iter()
        .find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size))
        .map_or_else(
            || format!("{bytes} B"),
            |(unit, size)| format!("{} {unit}", bytes / size),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_both_families_of_units() {
        for (text, bytes) in [
            ("5 MiB", 5 << 20),
            ("100 kB", 100_000),
            ("25MiB", 25 << 20),
            ("0 B", 0),
            ("2 GB", 2_000_000_000),
            ("3 KiB", 3072),
        ] {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn what_it_writes_it_reads() {
        for text in ["25 MiB", "1 GB", "100 kB", "1500 B", "0 B"] {
            assert_eq!(parse(text).map(written).as_deref(), Some(text));
        }
    }

    #[test]
    fn it_refuses_everything_else() {
        for text in [
            "",
            "5",
            "MiB",
            "5 mib",
            "5 Mb",
            "1.5 MiB",
            "-1 B",
            "99999999999999999999 B",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
