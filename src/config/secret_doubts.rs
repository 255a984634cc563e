//! What looks wrong with a secret: how it comes that one is written into its file and is refused all
//! the same. Never quotes it.

/// The start of an access key of Scaleway's, and its length.
const ACCESS_KEY: (&str, usize) = ("SCW", 20);
/// The fewest bytes behind `NAME=` that are taken for the secret itself: base64 ends in `=`, too.
const BEHIND_NAME: usize = 8;
/// What opens a quoted text, and what closes it.
const QUOTES: [(char, char); 5] = [
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('\u{201c}', '\u{201d}'),
    ('\u{ab}', '\u{bb}'),
];
/// What stands before a secret in a header, and is no part of it.
const SCHEMES: [&str; 3] = ["bearer ", "basic ", "token "];

/// Why a secret is likely not what its other side has, and what to do.
pub(super) type Doubt = (&'static str, &'static str);

/// Takes away what an editor or a shell has put around a text: the byte order mark, and the end of the line.
pub(super) fn unwrapped(text: &str) -> &str {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let ends = ["\r\n", "\n", "\r"];
    let without = ends.iter().find_map(|end| text.strip_suffix(end));
    without.unwrap_or(text)
}

/// What looks wrong with any secret.
pub(super) fn of_secret(text: &str) -> Vec<Doubt> {
    const REMOVE: &str = "write the secret and nothing else";
    let bare = text.trim_matches(is_blank);
    let mut doubts = Vec::new();
    if bare != text {
        doubts.push((
            "the secret begins or ends with a space, a line break or another blank, which counts as a part of it",
            "remove it, unless the other side has it too",
        ));
    }
    if bare.contains(['\n', '\r']) {
        doubts.push(("the secret has more than one line", REMOVE));
    } else if bare.contains(|c: char| c.is_control() || (is_blank(c) && !c.is_whitespace())) {
        doubts.push(("the secret holds a character that can't be seen", REMOVE));
    }
    if is_quoted(bare) {
        doubts.push((
            "the secret stands in quotes, which count as a part of it",
            "write it without quotes",
        ));
    }
    if is_named(bare) {
        doubts.push((
            "the secret begins with a name, as in NAME=, which counts as a part of it",
            "write what follows the name, and nothing else",
        ));
    }
    let start = |scheme: &&str| {
        let start = bare.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    if SCHEMES.iter().any(start) {
        doubts.push((
            "the secret begins with the name of an authorization scheme, which counts as a part of it",
            "write what follows it, and nothing else",
        ));
    }
    doubts
}

/// What looks wrong with a secret key of the API. `scaleway`: the API is Scaleway's own, whose keys are
/// UUIDs.
pub(super) fn of_api_key(text: &str, scaleway: bool) -> Vec<Doubt> {
    let mut doubts = of_secret(text);
    let bare: &str =
        text.trim_matches(|c: char| is_blank(c) || QUOTES.iter().any(|q| q.0 == c || q.1 == c));
    let bare = bare.rsplit('=').next().unwrap_or(bare);
    let (start, length) = ACCESS_KEY;
    if bare.len() == length && bare.starts_with(start) {
        doubts.push((
            "this is an access key (SCW...), and not the secret key that belongs to it",
            "write the secret key, a UUID that the console showed once, when the API key was made; if it is \
             lost, make a new API key",
        ));
    } else if scaleway && doubts.is_empty() && uuid::Uuid::try_parse(text).is_err() {
        doubts.push((
            "the secret key is no UUID, as those of Scaleway are",
            "write the secret key of an IAM API key",
        ));
    }
    doubts
}

/// White space, and what looks like it or like nothing.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\0')
}

fn is_quoted(text: &str) -> bool {
    let (mut chars, many) = (text.chars(), text.len() > 1);
    let ends = (chars.next(), chars.next_back());
    many && QUOTES
        .iter()
        .any(|(open, close)| ends == (Some(*open), Some(*close)))
}

/// `NAME=secret`, `export NAME=secret`, `name: secret`.
fn is_named(text: &str) -> bool {
    let text = text.strip_prefix("export ").unwrap_or(text);
    let Some((name, rest)) = text.split_once('=').or_else(|| text.split_once(": ")) else {
        return false;
    };
    let mut letters = name.chars();
    letters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        && rest.trim_matches('=').len() >= BEHIND_NAME
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "5ec7e75e-c7e7-4ec7-8ec7-5ec7e75ec7e7";

    fn said(doubts: &[Doubt], word: &str) -> bool {
        doubts.iter().any(|(why, _)| why.contains(word))
    }

    #[test]
    fn what_is_put_around_a_secret_goes_once() {
        for wrapped in ["\u{feff}s3\n", "s3\r\n", "s3\r", "\u{feff}s3", "s3"] {
            assert_eq!(unwrapped(wrapped), "s3", "{wrapped:?}");
        }
        assert_eq!(unwrapped("s3\n\n"), "s3\n");
        assert_eq!(unwrapped("s3 \n"), "s3 ");
    }

    #[test]
    fn what_surrounds_a_secret_is_doubted_by_name() {
        for (text, word) in [
            (format!("{GOOD} "), "space"),
            (format!("\t{GOOD}"), "blank"),
            (format!("{GOOD}\n"), "blank"),
            (format!("{GOOD}\u{a0}"), "blank"),
            (format!("{GOOD}\r\n{GOOD}"), "more than one line"),
            (format!("abc\u{200b}{GOOD}"), "can't be seen"),
            (format!("\"{GOOD}\""), "quotes"),
            (format!("'{GOOD}' "), "quotes"),
            (format!("\u{201c}{GOOD}\u{201d}"), "quotes"),
            (format!("SCW_SECRET_KEY={GOOD}"), "NAME="),
            (format!("export WEBHOOK_SECRET='{GOOD}'"), "NAME="),
            (format!("secret: {GOOD}"), "NAME="),
            (format!("Bearer {GOOD}"), "authorization scheme"),
        ] {
            let doubts = of_secret(&text);
            assert!(said(&doubts, word), "{text:?}: {doubts:?}");
        }
    }

    #[test]
    fn what_senders_show_is_not_doubted() {
        for text in [
            GOOD,
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "bm90IGEgbmFtZSwgYnV0IGJhc2U2NA==",
            "correct horse battery staple",
            "a=b",
            "x\"y'z-0123456789",
        ] {
            assert_eq!(of_secret(text), [], "{text}");
        }
    }

    #[test]
    fn a_key_that_is_no_key_is_doubted() {
        assert_eq!(of_api_key(GOOD, true), []);
        assert_eq!(of_api_key("0123456789abcdef", false), []);
        assert!(said(&of_api_key("0123456789abcdef", true), "no UUID"));
        for text in [
            "SCWXXXXXXXXXXXXXXXXX",
            "'SCW0123456789ABCDEFG'",
            "SCW_ACCESS_KEY=SCW0123456789ABCDEFG",
        ] {
            assert!(said(&of_api_key(text, false), "access key"), "{text}");
        }
    }
}
