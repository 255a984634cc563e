//! The answers of a bucket: objects, and documents in XML.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::bucket::{Listed, Object};
use crate::core::time::Time;
use crate::core::website::Website;

/// What `encoding-type=url` leaves as it is, beside letters and digits.
const PLAIN: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'*')
    .remove(b'/');
const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// What is answered.
#[derive(Debug)]
pub(super) struct StorageAnswer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl StorageAnswer {
    pub(super) fn empty(status: u16) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            body: Vec::new(),
            headers: Vec::new(),
        }
    }

    fn document(status: u16, document: &str) -> Self {
        let xml = HeaderValue::from_static("application/xml");
        Self {
            body: format!("{XML}{document}").into_bytes(),
            headers: vec![(header::CONTENT_TYPE, xml)],
            ..Self::empty(status)
        }
    }

    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        let (code, message) = (escaped(code), escaped(message));
        let document = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        Self::document(status, &document)
    }

    pub(super) fn object(object: &Object) -> Self {
        let time = DateTimePrinter::new().timestamp_to_rfc9110_string(&timestamp(object.modified));
        let own = [
            (header::ETAG, &object.etag),
            (header::LAST_MODIFIED, &time.unwrap_or_default()),
        ];
        let own = own
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.parse().ok()?)));
        Self {
            body: object.body.to_vec(),
            headers: object.headers.iter().cloned().chain(own).collect(),
            ..Self::empty(200)
        }
    }

    pub(super) fn website(website: Option<&Website>) -> Self {
        let Some(website) = website else {
            let why = "The bucket is no website.";
            return Self::error(404, "NoSuchWebsiteConfiguration", why);
        };
        let mut text = format!("<WebsiteConfiguration xmlns=\"{NAMESPACE}\">");
        if let Some(index) = &website.index {
            let suffix = escaped(index);
            text.extend([
                "<IndexDocument><Suffix>",
                &suffix,
                "</Suffix></IndexDocument>",
            ]);
        }
        if let Some(error) = &website.error {
            let key = escaped(error);
            text.extend(["<ErrorDocument><Key>", &key, "</Key></ErrorDocument>"]);
        }
        Self::document(200, &(text + "</WebsiteConfiguration>"))
    }

    /// A page of a listing.
    pub(super) fn listing(
        bucket: &str,
        prefix: &str,
        listed: &Listed<'_>,
        url_encoded: bool,
    ) -> Self {
        let written = |key: &str| {
            if url_encoded {
                let key = utf8_percent_encode(key, &PLAIN).to_string();
                key.replace("%20", "+")
            } else {
                escaped(key)
            }
        };
        let mut text = format!(
            "<ListBucketResult xmlns=\"{NAMESPACE}\"><Name>{}</Name><Prefix>{}</Prefix>\
             <KeyCount>{}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>{}</IsTruncated>",
            escaped(bucket),
            written(prefix),
            listed.objects.len(),
            listed.truncated,
        );
        if url_encoded {
            text += "<EncodingType>url</EncodingType>";
        }
        if let Some((last, _)) = listed.objects.last().filter(|_| listed.truncated) {
            let token = BASE64URL_NOPAD.encode(last.as_bytes());
            text.extend([
                "<NextContinuationToken>",
                &token,
                "</NextContinuationToken>",
            ]);
        }
        for (key, object) in &listed.objects {
            write!(
                text,
                "<Contents><Key>{}</Key><LastModified>{:.3}</LastModified><ETag>{}</ETag>\
                 <Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
                written(key),
                timestamp(object.modified),
                escaped(&object.etag),
                object.body.len(),
            )
            .unwrap_or_default();
        }
        Self::document(200, &(text + "</ListBucketResult>"))
    }

    /// As HTTP.
    pub(super) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }
}

/// The key that a token of a listing stands for.
pub(super) fn key_of_token(token: &str) -> Option<String> {
    let key = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
    String::from_utf8(key).ok()
}

fn timestamp(time: Time) -> Timestamp {
    let millis = i64::try_from(time.millis()).unwrap_or_default();
    Timestamp::from_millisecond(millis).unwrap_or_default()
}

/// A text as XML has it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            c if c.is_control() => write!(escaped, "&#{};", u32::from(c)).unwrap_or_default(),
            c => escaped.push(c),
        }
    }
    escaped
}
