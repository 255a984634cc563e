//! Percent-encoding: which bytes are encoded in which part of a URL. Knows nothing of segments or assets.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// Everything outside RFC 3986's `unreserved`, and `/`. Bytes beyond ASCII are always encoded.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// Everything outside RFC 3986's `pchar` and `/`: the canonical spelling of a path.
const PATH: &AsciiSet = &COMPONENT
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// Everything outside RFC 3986's `query`.
const QUERY: &AsciiSet = &PATH.remove(b'?');

/// What no browser sends as it is in a path of an `http` URL: the URL standard's path percent-encode
/// set. `^` is in that set since 2025, and before that browsers encoded it all the same; a raw `\`
/// would become `/`.
const SENT_PATH: &AsciiSet = &PATH.remove(b'[').remove(b']').remove(b'|');

/// What no client sends as it is in a query: the query percent-encode set.
const SENT_QUERY: &AsciiSet = &QUERY
    .remove(b'[')
    .remove(b']')
    .remove(b'|')
    .remove(b'\\')
    .remove(b'^')
    .remove(b'`')
    .remove(b'{')
    .remove(b'}');

/// `encodeURIComponent`.
const COMPONENT: &AsciiSet = &STRICT
    .remove(b'!')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// Encoders of before 2005, for which `~` was no unreserved character.
const OLD: &AsciiSet = &STRICT.add(b'~');

/// Go's `url.PathEscape`.
const GO_SEGMENT: &AsciiSet = &STRICT
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b':')
    .remove(b'=')
    .remove(b'@');

/// Go's `url.URL.String`.
const GO: &AsciiSet = &GO_SEGMENT.remove(b',').remove(b';');

/// Go's `html/template`.
const TEMPLATE: &AsciiSet = &PATH.add(b'\'').add(b'(').add(b')');

/// How paths in links are spelled by what writes them, besides the canonical way: what is encoded, and
/// whether in lower-case hex.
const WRITERS: [(&AsciiSet, bool); 8] = [
    // WordPress's slugs, Apache's listings and redirects.
    (PATH, true),
    (TEMPLATE, true),
    // JavaScript, Django.
    (COMPONENT, false),
    // PHP's rawurlencode, Python's quote, S3 clients, nginx's listings.
    (STRICT, false),
    // Java's URLEncoder, PHP's urlencode, older Python; in lower-case hex apt and .NET.
    (OLD, false),
    (OLD, true),
    (GO, false),
    (GO_SEGMENT, false),
];

/// Encodes the raw bytes of a path; `/` separates segments.
pub(in crate::core) fn push_path(to: &mut String, raw: &[u8]) {
    to.extend(percent_encode(raw, PATH));
}

/// Encodes raw bytes as one value inside a query: `&`, `=` and `+` are encoded too.
pub(in crate::core) fn push_query_value(to: &mut String, raw: &[u8]) {
    to.extend(percent_encode(raw, STRICT));
}

/// A path, or a part of one, as it was written, with only what can't be sent in one encoded.
pub(in crate::core) fn sent_path(text: &str) -> String {
    respell(text, SENT_PATH, |to, _, escape| to.push_str(escape))
}

/// A query as it was written, with only what can't be sent in one encoded.
pub(in crate::core) fn sent_query(text: &str) -> String {
    respell(text, SENT_QUERY, |to, _, escape| to.push_str(escape))
}

/// The canonical spelling of a path that may hold escapes. An encoded `/` stays one: it separates
/// nothing.
pub(super) fn canonical_path(text: &str) -> String {
    respell(text, PATH, canonical_escape)
}

/// Whether a path has an escape that the canonical spelling does not have so.
pub(super) fn has_own_escapes(path: &str) -> bool {
    path.contains('%') && respell(path, &AsciiSet::EMPTY, canonical_escape) != path
}

fn canonical_escape(to: &mut String, byte: u8, _: &str) {
    match byte {
        b'/' => to.push_str("%2F"),
        _ => to.extend(percent_encode(&[byte], PATH)),
    }
}

/// The path as each of the writers spells it that are known, from its canonical spelling.
pub(super) fn written_paths(canonical: &str) -> impl Iterator<Item = String> {
    WRITERS.iter().map(|(set, lower)| {
        let path = respell(canonical, set, |to, _, escape| to.push_str(escape));
        if *lower { in_lower_case(&path) } else { path }
    })
}

fn in_lower_case(path: &str) -> String {
    let mut digits = 0;
    let lower = |char: char| {
        digits = match char {
            '%' => 2,
            _ if digits > 0 => {
                digits -= 1;
                return char.to_ascii_lowercase();
            }
            _ => 0,
        };
        char
    };
    path.chars().map(lower).collect()
}

/// The path as browsers send it where a link encodes as little as it may, from its canonical spelling.
pub(super) fn browser_path(canonical: &str) -> String {
    decode_some(canonical, |byte| matches!(byte, b'[' | b']' | b'|'))
}

/// A query with all encoded that RFC 3986 does not have in one.
pub(super) fn canonical_query(text: &str) -> String {
    respell(text, QUERY, |to, _, escape| to.push_str(escape))
}

/// As [`browser_path`], for the special-query percent-encode set, which encodes `'`.
pub(super) fn browser_query(canonical: &str) -> String {
    decode_some(canonical, |byte| {
        matches!(byte, b'[' | b']' | b'|' | b'\\' | b'^' | b'`' | b'{' | b'}')
    })
    .replace('\'', "%27")
}

fn decode_some(text: &str, raw: impl Fn(u8) -> bool) -> String {
    // Everything outside escapes stays, so the set is empty; a canonical text has no lone `%`.
    respell(text, &AsciiSet::EMPTY, |to, byte, escape| {
        if raw(byte) {
            to.push(char::from(byte));
        } else {
            to.push_str(escape);
        }
    })
}

/// Copies `text`: what is in `set` is encoded, a `%` that starts no escape becomes `%25`, and
/// `escape` is given each valid escape as its byte and as it was written.
fn respell(text: &str, set: &'static AsciiSet, escape: impl Fn(&mut String, u8, &str)) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.extend(percent_encode(&rest.as_bytes()[..at], set));
        let from_percent = &rest[at..];
        let decoded = from_percent
            .get(1..3)
            .filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let Some(byte) = decoded {
            escape(&mut out, byte, &from_percent[..3]);
            rest = &from_percent[3..];
        } else {
            out.push_str("%25");
            rest = &from_percent[1..];
        }
    }
    out.extend(percent_encode(rest.as_bytes(), set));
    out
}
