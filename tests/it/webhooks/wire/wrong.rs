//! What no receiver should take for a delivery, each with what is wrong with it.

use super::{BODY, chunked, with_headers};

pub(super) type Wrong = Vec<(&'static str, Vec<u8>)>;

/// Heads that are none, or nearly.
pub(super) fn heads() -> Wrong {
    let length = format!("Content-Length: {}\r\n", BODY.len());
    vec![
        (
            "HTTP/2",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
        ),
        ("HTTP/0.9", b"GET /\r\n".to_vec()),
        (
            "TLS",
            [&b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..], &[7; 500]].concat(),
        ),
        ("a method without end", vec![b'A'; 60_000]),
        (
            "a target without end",
            [&b"GET /"[..], &[b'a'; 60_000]].concat(),
        ),
        (
            "a NUL in a header",
            with_headers(&format!("X: a\0b\r\n{length}"), BODY),
        ),
        (
            "a line in a header",
            with_headers(&format!("X: a\r b\r\n{length}"), BODY),
        ),
        (
            "a folded header",
            with_headers(&format!("X: a\r\n b\r\n{length}"), BODY),
        ),
        (
            "a space in a name",
            with_headers(&format!("X : a\r\n{length}"), BODY),
        ),
        (
            "a header without a colon",
            with_headers(&format!("X\r\n{length}"), BODY),
        ),
        (
            "a header without a name",
            with_headers(&format!(": x\r\n{length}"), BODY),
        ),
        (
            "a NUL in a name",
            with_headers(&format!("X\0: x\r\n{length}"), BODY),
        ),
        (
            "a space before the first header",
            b"POST /hooks/www HTTP/1.1\r\n Host: x\r\n\r\n".to_vec(),
        ),
        (
            "a NUL in a target",
            b"POST /hooks/www\0 HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        ),
        (
            "another version",
            b"POST /hooks/www HTTP/1.2\r\nHost: x\r\n\r\n".to_vec(),
        ),
        ("no version", b"POST /hooks/www\r\nHost: x\r\n\r\n".to_vec()),
        (
            "a proxy's method",
            b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        ),
        (
            "no target",
            b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
        ),
    ]
}

/// Lengths that are none, or more than one.
pub(super) fn lengths() -> Wrong {
    let length = format!("Content-Length: {}\r\n", BODY.len());
    vec![
        (
            "two lengths",
            with_headers(&format!("{length}Content-Length: 12\r\n"), BODY),
        ),
        (
            "a list of lengths",
            with_headers("Content-Length: 13, 13\r\n", BODY),
        ),
        (
            "a negative length",
            with_headers("Content-Length: -13\r\n", BODY),
        ),
        (
            "a signed length",
            with_headers("Content-Length: +13\r\n", BODY),
        ),
        (
            "a length above all",
            with_headers("Content-Length: 18446744073709551616\r\n", BODY),
        ),
        (
            "the largest length",
            with_headers("Content-Length: 18446744073709551615\r\n", BODY),
        ),
        (
            "a length in hexadecimal",
            with_headers("Content-Length: 0xd\r\n", BODY),
        ),
        (
            "a length with a space",
            with_headers("Content-Length: 1 3\r\n", BODY),
        ),
        (
            "an empty length",
            with_headers("Content-Length: \r\n", BODY),
        ),
        (
            "a length in other digits",
            with_headers("Content-Length: \u{661}\u{663}\r\n", BODY),
        ),
    ]
}

/// Chunks that are none, and other codings.
pub(super) fn chunks() -> Wrong {
    vec![
        (
            "another coding",
            with_headers("Transfer-Encoding: xchunked\r\n", BODY),
        ),
        (
            "chunks in something",
            with_headers("Transfer-Encoding: chunked, identity\r\n", BODY),
        ),
        ("a negative chunk", chunked(&format!("-1\r\n{BODY}"))),
        (
            "a chunk in C",
            chunked(&format!("0xd\r\n{BODY}\r\n0\r\n\r\n")),
        ),
        (
            "a chunk above all",
            chunked(&format!("1000000000000000d\r\n{BODY}\r\n0\r\n\r\n")),
        ),
        (
            "a chunk that is longer than it says",
            chunked(&format!("5\r\n{BODY}\r\n0\r\n\r\n")),
        ),
        (
            "a chunk that ends with a line feed",
            chunked(&format!("d\n{BODY}\n0\n\n")),
        ),
        (
            "a chunk that ends with a carriage return",
            chunked(&format!("d\r{BODY}\r0\r\r")),
        ),
        (
            "a chunk with a line feed in its name",
            chunked(&format!("d;a\nb\r\n{BODY}\r\n0\r\n\r\n")),
        ),
        (
            "a chunk without a size",
            chunked(&format!("\r\n{BODY}\r\n0\r\n\r\n")),
        ),
        (
            "a chunk with a comma",
            chunked(&format!("d,d\r\n{BODY}\r\n0\r\n\r\n")),
        ),
        (
            "chunks that do not end",
            chunked(&format!("d\r\n{BODY}\r\n")),
        ),
        (
            "chunks twice",
            with_headers(
                "Transfer-Encoding: chunked, chunked\r\n",
                &format!("d\r\n{BODY}\r\n0\r\n\r\n"),
            ),
        ),
        (
            "a folded coding",
            with_headers(
                "Transfer-Encoding:\r\n chunked\r\n",
                &format!("d\r\n{BODY}\r\n0\r\n\r\n"),
            ),
        ),
        (
            "a coding with a vertical tab",
            with_headers(
                "Transfer-Encoding: \x0bchunked\r\n",
                &format!("d\r\n{BODY}\r\n0\r\n\r\n"),
            ),
        ),
        (
            "a coding and another",
            with_headers(
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                BODY,
            ),
        ),
        (
            "chunks in HTTP/1.0",
            String::from_utf8(chunked(&format!("d\r\n{BODY}\r\n0\r\n\r\n")))
                .unwrap()
                .replacen("HTTP/1.1", "HTTP/1.0", 1)
                .into_bytes(),
        ),
        (
            "a chunk with a long name",
            chunked(&format!("d;{}\r\n{BODY}", "x".repeat(99_999))),
        ),
        (
            "trailers without end",
            chunked(&format!("d\r\n{BODY}\r\n0\r\n{}", "x: y\r\n".repeat(9_999))),
        ),
    ]
}
