//! Times, numbers and foreign text, as the page shows them.

use std::time::Duration;

use maud::{Markup, html};

use crate::core::time::Time;

/// Letters of an id that are shown.
const ID: usize = 12;

/// A time. The script turns it into local time; the whole time, in UTC, is in the title.
pub(super) fn moment(time: Time) -> Markup {
    let whole = time.to_string();
    let seconds = whole.get(..19).unwrap_or(&whole).replace('T', " ");
    html! { time class="moment" datetime=(whole) title=(whole) { (seconds) " UTC" } }
}

/// How long ago a time is. The script keeps it true.
pub(super) fn age(now: Time, time: Time) -> Markup {
    let whole = time.to_string();
    html! { time class="age" datetime=(whole) title=(whole) { (span(now.since(time))) } }
}

/// A length of time, in the one or two units that matter.
pub(super) fn span(length: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let (seconds, tenths) = (length.as_secs(), length.subsec_millis() / 100);
    let two = |large: &str, of: u64, small: &str, unit: u64| match seconds % of / unit {
        0 => format!("{} {large}", seconds / of),
        rest => format!("{} {large} {rest} {small}", seconds / of),
    };
    match seconds {
        0..10 => format!("{seconds}.{tenths} s"),
        10..120 => format!("{seconds} s"),
        120..HOUR => format!("{} min", seconds / MINUTE),
        HOUR..DAY => two("h", HOUR, "min", MINUTE),
        _ => two("d", DAY, "h", HOUR),
    }
}

/// A number, its thousands apart.
pub(super) fn number(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things.
pub(super) fn counted(count: impl TryInto<u64>, thing: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    let s = if count == 1 { "" } else { "s" };
    format!("{} {thing}{s}", number(count))
}

/// A name from a file system or a sender: without what no reader sees, and in a direction of its own.
pub(super) fn name(text: &str) -> Markup {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let text: String = text.chars().map(plain).collect();
    html! { bdi { code { (text) } } }
}

/// An id: its beginning, which tells it from others, and the whole of it in the title.
pub(super) fn id(text: &str) -> Markup {
    let mut letters = text.chars();
    let begins: String = letters.by_ref().take(ID).collect();
    html! {
        @if letters.next().is_some() { span title=(text) { (name(&begins)) "…" } } @else { (name(text)) }
    }
}

/// A value in a query.
pub(super) fn encoded(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

/// A value in a path.
pub(super) fn segment(value: &str) -> String {
    percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_the_units_that_matter() {
        let spans = [
            0_u64,
            2_940,
            41_000,
            1_080_000,
            11_100_000,
            7_200_000,
            525_600_000,
        ];
        let spans = spans.map(|millis| span(Duration::from_millis(millis)));
        assert_eq!(
            spans,
            [
                "0.0 s",
                "2.9 s",
                "41 s",
                "18 min",
                "3 h 5 min",
                "2 h",
                "6 d 2 h"
            ]
        );
    }

    #[test]
    fn thousands_stand_apart() {
        let numbers = [0_u64, 999, 1_000, 48_211, 1_234_567].map(number);
        assert_eq!(numbers, ["0", "999", "1,000", "48,211", "1,234,567"]);
        assert_eq!(counted(1_usize, "file"), "1 file");
        assert_eq!(counted(2_000_u64, "file"), "2,000 files");
    }

    #[test]
    fn a_long_id_is_cut_and_whole_in_its_title() {
        assert_eq!(id("42").into_string(), "<bdi><code>42</code></bdi>");
        let long = id("0123456789ab<script>").into_string();
        assert_eq!(
            long,
            "<span title=\"0123456789ab&lt;script&gt;\"><bdi><code>0123456789ab</code></bdi>…</span>"
        );
    }

    #[test]
    fn a_name_is_text() {
        let shown = name("<img src=x onerror=alert(1)>\n\u{202e}gpj").into_string();
        assert_eq!(
            shown,
            "<bdi><code>&lt;img src=x onerror=alert(1)&gt;\u{fffd}\u{202e}gpj</code></bdi>"
        );
        assert_eq!(segment("a/b\"<"), "a%2Fb%22%3C");
    }
}
