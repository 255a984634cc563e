//! Percent-encoding: which bytes are encoded where. Knows nothing of segments or assets.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// Everything outside RFC 3986's `unreserved`. Bytes beyond ASCII are always encoded.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Everything outside RFC 3986's `pchar` and `/`.
const PATH: &AsciiSet = &RESERVED
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/');

/// Everything outside RFC 3986's `query`.
const QUERY: &AsciiSet = &PATH.remove(b'?');

/// What has a meaning inside a query, besides `/`.
const QUERY_VALUE: &AsciiSet = &RESERVED.remove(b'/');

/// Encodes the raw bytes of a path; `/` separates segments.
pub(in crate::core) fn push_path(to: &mut String, raw: &[u8]) {
    to.extend(percent_encode(raw, PATH));
}

/// Encodes raw bytes as one value inside a query: `&`, `=` and `+` are encoded too.
pub(in crate::core) fn push_query_value(to: &mut String, raw: &[u8]) {
    to.extend(percent_encode(raw, QUERY_VALUE));
}

/// The canonical spelling of a path, or a part of one, that may hold escapes already.
pub(in crate::core) fn canonical_path(text: &str) -> String {
    respell(text, PATH, |to, byte, _| match byte {
        b'-' | b'.' | b'_' | b'~' => to.push(char::from(byte)),
        _ if byte.is_ascii_alphanumeric() => to.push(char::from(byte)),
        _ => to.push_str(percent_encoding::percent_encode_byte(byte)),
    })
}

/// A query as it was written, with only what can't stand in one encoded.
pub(in crate::core) fn canonical_query(text: &str) -> String {
    respell(text, QUERY, |to, _, escape| to.push_str(escape))
}

/// Undoes the encoding of what the URL standard's path percent-encode set leaves alone in an
/// `http` URL. `^` is in that set since 2025, and before that browsers encoded it all the same;
/// a raw `\` would become `/`.
pub(super) fn browser_path(canonical: &str) -> String {
    decode_some(canonical, |byte| matches!(byte, b'[' | b']' | b'|'))
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
    const NOTHING: &AsciiSet = &AsciiSet::EMPTY;
    respell(text, NOTHING, |to, byte, escape| {
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
