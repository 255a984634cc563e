//! `[pipeline.verify]`: how it is looked at through the edge what a purge did.

use std::time::Duration;

use url::Url;

use super::keys::table;
use super::range::{MINUTE, SECOND};
use super::reader::Reader;
use super::section::Section;
use super::shape::Shape;
use super::syntax::{Syntax, bytes, parsed, time};
use super::value::{Complaint, complain};

const HINT: &str =
    "write scheme and host, such as \"https://www.example.com\"; the assets are its paths";

table! {
    /// Optional: after a purge is done, its assets are fetched through the edge, without cookies and without
    /// following redirects, and compared with their files. Old bytes are purged again, up to three times, and
    /// failed with an alarm if they stay.
    "[pipeline.verify]" => Option<Verify>, VerifyKeys {
        /// Where visitors fetch the site: scheme, host and port.
        edge_url: Url = required(
            "say where visitors fetch the site, such as edge_url = \"https://www.example.com\""
        ), edge_url();
        /// Of one fetch, from connecting to the last byte.
        timeout: Duration = default(30 * SECOND), time(SECOND / 10..=10 * MINUTE);
        /// Bytes read through the edge in an hour, at most: it is cache egress, and billed. Half of it may be
        /// spent at once; once that is spent, a sample is verified.
        max_bytes_per_hour: u64 = default(100 << 20), bytes(1 << 20..=1 << 50);
    }
}

/// Reads the section; `None` where there is none.
pub(super) fn read(reader: &mut Reader<'_>, pipeline: &mut Section<'_>) -> Option<Verify> {
    let mut section = reader.table(pipeline, "verify");
    if !section.is_present() {
        return None;
    }
    let keys = VerifyKeys::read(reader, &mut section);
    reader.end(&section);
    keys.complete()
}

/// A scheme, a host and a port: paths are the assets'.
fn edge_url() -> Syntax<Url> {
    let shape = Shape::pattern("scheme and host, https or http", "^[hH][tT][tT][pP][sS]?:");
    parsed(shape, HINT, parse_edge_url, |url| {
        url.as_str().trim_end_matches('/').to_owned()
    })
}

fn parse_edge_url(text: &str) -> Result<Url, Complaint> {
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return complain(format!("is not a URL ({error})"), HINT),
    };
    if !["https", "http"].contains(&url.scheme()) {
        return complain("is neither https nor http", HINT);
    }
    let surplus = [
        (
            !url.username().is_empty() || url.password().is_some(),
            "user",
        ),
        (url.path() != "/", "path"),
        (url.query().is_some(), "query"),
        (url.fragment().is_some(), "fragment"),
    ];
    if let Some((_, what)) = surplus.into_iter().find(|(present, _)| *present) {
        return complain(format!("has a {what}"), HINT);
    }
    Ok(url)
}
