//! What others wrote, made fit for a log line, an answer and a terminal.

/// No more of it than this many bytes is repeated.
const LIMIT: usize = 128;
/// No more names of a list than this are repeated.
const NAMED: usize = 5;

/// The text without control characters, on one line, and at most 128 bytes of it.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(LIMIT));
    for c in text.chars() {
        let c = if c.is_control() || reorders(c) {
            '\u{fffd}'
        } else {
            c
        };
        if shown.len() + c.len_utf8() > LIMIT {
            break;
        }
        shown.push(c);
    }
    shown
}

/// Characters that end a line, or make a terminal show something else than was written.
const fn reorders(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The first names of a list, printable.
pub(super) fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let mut names = names.map(printable);
    let mut shown: Vec<String> = names.by_ref().take(NAMED).collect();
    let more = names.count();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}
