//! What others wrote, made fit for a log line and a terminal.

/// No more of an error's body than this many bytes is repeated.
const LIMIT: usize = 1024;

/// The text without control characters, on one line, and not too long of it.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(LIMIT));
    let mut gap = false;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() || reorders(c) {
            gap = !out.is_empty();
            continue;
        }
        if out.len() + c.len_utf8() + usize::from(gap) > LIMIT {
            out.push('…');
            break;
        }
        if std::mem::take(&mut gap) {
            out.push(' ');
        }
        out.push(c);
    }
    out
}

/// Characters that make a terminal show something else than was written.
const fn reorders(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_escape_sequence_does_not_reach_the_terminal() {
        assert_eq!(printable("  a\x1b[31m\r\n\tb\u{202e}c\0 "), "a [31m b c");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_short_and_on_one_line(text in ".{0,3000}") {
            let shown = printable(&text);
            prop_assert!(shown.len() <= LIMIT + '…'.len_utf8());
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }
}
