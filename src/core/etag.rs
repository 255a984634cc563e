//! The `ETag` of an object of a bucket, as facts and the probe of the edge compare it.

use super::change::ContentHash;

/// An `ETag` without its quotes, and without the mark of a weak one.
#[must_use]
pub fn bare(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

/// What stands for the content of an object of this `ETag`: a hash of it, and not of the bytes.
#[must_use]
pub fn content(etag: &str) -> ContentHash {
    *blake3::hash(bare(etag).as_bytes()).as_bytes()
}
