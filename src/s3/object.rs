//! What a bucket says of its objects.

use jiff::Timestamp;
use reqwest::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_TYPE, DATE, ETAG, EXPIRES, HeaderMap, HeaderName, LAST_MODIFIED,
};
use rusty_s3::actions::ListObjectsV2;

use super::error::S3Error;
use crate::core::etag;

/// The headers of an object that a cache keeps and a visitor notices. What a client adds for itself
/// (`x-amz-meta-mtime` of rclone) is not one of them.
const CACHED: [HeaderName; 7] = [
    CONTENT_TYPE,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_DISPOSITION,
    CACHE_CONTROL,
    EXPIRES,
    HeaderName::from_static("x-amz-website-redirect-location"),
];

/// What the root of a page of a listing begins with, up to its attributes, and ends with.
const ROOT: &str = "<ListBucketResult";
const END: &str = "</ListBucketResult>";
/// The namespace of the documents. Some servers have another one, or none, and mean the same.
pub(super) const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// An object, as a listing or its headers have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// What changes with its bytes, and says nothing else: an MD5 in some cases only.
    pub etag: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, in nanoseconds since the Unix epoch: whole seconds, or finer.
    pub modified_ns: i64,
}

/// Where a page of a listing begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// At the first key.
    Start,
    /// After this key.
    After(String),
    /// Where the page ended that had this [`Page::next`].
    Token(String),
}

/// A page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The objects, as they came.
    pub objects: Vec<Object>,
    /// What the next page is asked for with; `None` on the last one.
    pub next: Option<String>,
}

/// The headers of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The object.
    pub object: Object,
    /// A digest of what a cache keeps beside the bytes.
    pub headers: [u8; 32],
    /// The server's time when it answered, in nanoseconds since the Unix epoch.
    pub date_ns: i64,
}

impl Page {
    /// Reads a page of a listing that was asked for with `encoding-type=url`.
    pub(super) fn read(body: &str) -> Result<Self, S3Error> {
        // The reader takes a text that ends early for a page with fewer entries.
        if !body.trim_end().ends_with(END) {
            return Err(S3Error::Malformed("it is cut short".to_owned()));
        }
        let inside = body
            .split_once(ROOT)
            .and_then(|(_, root)| root.split_once('>'));
        let (_, inside) =
            inside.ok_or_else(|| S3Error::Malformed("it is no listing".to_owned()))?;
        let known = format!("{ROOT} xmlns=\"{NAMESPACE}\">{inside}");
        let listed = ListObjectsV2::parse_response(&known)
            .map_err(|error| S3Error::Malformed(error.to_string()))?;
        let objects = listed.contents.into_iter().map(|one| {
            let modified = one.last_modified.as_deref().and_then(|text| {
                let time: Timestamp = text.parse().ok()?;
                nanoseconds(time)
            });
            match (one.etag, one.size, modified) {
                (Some(etag), Some(size), Some(modified_ns)) => Ok(Object {
                    etag: etag::bare(&etag).to_owned(),
                    key: one.key,
                    size,
                    modified_ns,
                }),
                _ => Err(S3Error::Malformed(format!(
                    "the entry of {:?} has no ETag, size or time",
                    one.key
                ))),
            }
        });
        Ok(Self {
            objects: objects.collect::<Result<_, _>>()?,
            next: listed.next_continuation_token,
        })
    }
}

impl Head {
    /// Reads the headers of the object of a key.
    pub(super) fn read(key: &str, headers: &HeaderMap) -> Result<Self, S3Error> {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let missing = |name: &HeaderName| {
            S3Error::Malformed(format!("the headers of {key:?} have no usable {name}"))
        };
        let etag = text(&ETAG).ok_or_else(|| missing(&ETAG))?;
        let size = text(&CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let modified = text(&LAST_MODIFIED).and_then(http_date);
        let mut digest = blake3::Hasher::new();
        for name in &CACHED {
            for value in headers.get_all(name) {
                digest.update(name.as_str().as_bytes());
                digest.update(b": ");
                digest.update(value.as_bytes());
                digest.update(b"\n");
            }
        }
        Ok(Self {
            object: Object {
                key: key.to_owned(),
                etag: etag::bare(etag).to_owned(),
                size: size.ok_or_else(|| missing(&CONTENT_LENGTH))?,
                modified_ns: modified.ok_or_else(|| missing(&LAST_MODIFIED))?,
            },
            headers: *digest.finalize().as_bytes(),
            date_ns: text(&DATE)
                .and_then(http_date)
                .ok_or_else(|| missing(&DATE))?,
        })
    }
}

/// A date of an HTTP header, in nanoseconds since the Unix epoch.
pub(super) fn http_date(text: &str) -> Option<i64> {
    let time = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()?;
    nanoseconds(time)
}

fn nanoseconds(time: Timestamp) -> Option<i64> {
    i64::try_from(time.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(contents: &str, end: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>site</Name>\
             <Prefix></Prefix><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType>\
             {contents}{end}</ListBucketResult>"
        )
    }

    fn entry(key: &str) -> String {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2026-11-29T10:00:00.123Z</LastModified>\
             <ETag>&quot;9a0364b9e99bb480dd25e1f0284c8555&quot;</ETag><Size>7</Size>\
             <StorageClass>STANDARD</StorageClass></Contents>"
        )
    }

    #[test]
    fn keys_of_a_page_are_read_as_they_are_in_the_bucket() {
        let keys = ["a+b%20c.html", "a%2Bb.html", "%C3%A9/%0A%25.html"].map(entry);
        let end = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>";
        let page = Page::read(&page(&keys.concat(), end)).unwrap();
        let keys: Vec<&str> = page.objects.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(keys, ["a b c.html", "a+b.html", "é/\n%.html"]);
        assert_eq!(page.next.as_deref(), Some("t"));
        assert_eq!(page.objects[0].etag, "9a0364b9e99bb480dd25e1f0284c8555");
        assert_eq!(page.objects[0].modified_ns, 1_795_946_400_123_000_000);
    }

    #[test]
    fn a_page_is_read_whatever_namespace_the_server_gives_it() {
        let known = page(&entry("a"), "<IsTruncated>false</IsTruncated>");
        let attribute = format!(" xmlns=\"{NAMESPACE}\"");
        for other in [
            "",
            " xmlns=\"http://doc.s3.amazonaws.com/2006-03-01/\"",
            " xmlns='http://s3.amazonaws.com/doc/2006-03-01'",
        ] {
            let page = Page::read(&known.replace(&attribute, other)).unwrap();
            assert_eq!(page.objects.len(), 1, "{other}");
        }
    }

    #[test]
    fn a_page_that_is_cut_short_is_no_page() {
        let whole = page(&entry("a"), "<IsTruncated>false</IsTruncated>");
        assert_eq!(Page::read(&whole).unwrap().next, None);
        for end in 1..whole.len() {
            assert!(Page::read(&whole[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_listing_never_ends_early_for_want_of_a_token_or_of_a_field() {
        let more = page(&entry("a"), "<IsTruncated>true</IsTruncated>");
        assert!(Page::read(&more).is_err());
        let bare = "<Contents><Key>a</Key><Size>7</Size></Contents>";
        assert!(Page::read(&page(bare, "<IsTruncated>false</IsTruncated>")).is_err());
    }

    #[test]
    fn what_a_cache_keeps_is_in_the_digest_of_the_headers_and_nothing_else() {
        let head = |more: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in [
                ("etag", "\"abc\""),
                ("content-length", "7"),
                ("last-modified", "Sun, 29 Nov 2026 10:00:00 GMT"),
                ("date", "Sun, 29 Nov 2026 10:00:05 GMT"),
                ("content-type", "text/html"),
            ] {
                headers.insert(name, value.parse().unwrap());
            }
            for (name, value) in more {
                headers.insert(*name, value.parse().unwrap());
            }
            Head::read("a", &headers).unwrap()
        };
        let plain = head(&[]);
        assert_eq!(plain.object.etag, "abc");
        assert_eq!(plain.date_ns - plain.object.modified_ns, 5_000_000_000);
        for other in [
            ("content-type", "text/plain"),
            ("content-encoding", "gzip"),
            ("content-language", "fr"),
            ("content-disposition", "attachment"),
            ("cache-control", "max-age=60"),
            ("x-amz-website-redirect-location", "/b"),
        ] {
            assert_ne!(head(&[other]).headers, plain.headers, "{other:?}");
        }
        let own = [("x-amz-meta-mtime", "1"), ("x-amz-request-id", "2")];
        assert_eq!(head(&own).headers, plain.headers);
    }
}
