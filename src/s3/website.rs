//! The website configuration of a bucket, as its document says it.

use instant_xml::FromXml;

use super::error::S3Error;
use super::object::NAMESPACE;
use crate::core::website::Website;

/// What a website may have beside the two documents.
const OTHERS: [&str; 2] = ["<RedirectAllRequestsTo", "<RoutingRule>"];

#[derive(Debug, FromXml)]
#[xml(rename = "WebsiteConfiguration")]
struct Configuration {
    index: Option<Index>,
    error: Option<ErrorKey>,
}

#[derive(Debug, FromXml)]
#[xml(rename = "IndexDocument")]
struct Index {
    #[xml(rename = "Suffix")]
    suffix: Option<String>,
}

#[derive(Debug, FromXml)]
#[xml(rename = "ErrorDocument")]
struct ErrorKey {
    #[xml(rename = "Key")]
    key: Option<String>,
}

/// Reads the document.
pub(super) fn read(body: &str) -> Result<Website, S3Error> {
    let bare = body.replacen(&format!(" xmlns=\"{NAMESPACE}\""), "", 1);
    let read: Configuration =
        instant_xml::from_str(&bare).map_err(|error| S3Error::Malformed(error.to_string()))?;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    Ok(Website {
        index: given(read.index.and_then(|index| index.suffix)),
        error: given(read.error.and_then(|error| error.key)),
        rules: OTHERS.iter().any(|other| bare.contains(other)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_and_error_document_are_read_with_and_without_a_namespace() {
        for namespace in [String::new(), format!(" xmlns=\"{NAMESPACE}\"")] {
            let body = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<WebsiteConfiguration{namespace}>\n  \
                 <ErrorDocument><Key>a&amp;b/404.html</Key></ErrorDocument>\n  <New>1</New>\
                 <IndexDocument><Suffix>index.html</Suffix></IndexDocument></WebsiteConfiguration>"
            );
            let website = Website {
                index: Some("index.html".to_owned()),
                error: Some("a&b/404.html".to_owned()),
                rules: false,
            };
            assert_eq!(read(&body).unwrap(), website);
        }
    }

    #[test]
    fn what_is_not_said_is_not_there() {
        let empty = read("<WebsiteConfiguration></WebsiteConfiguration>").unwrap();
        assert_eq!(empty, Website::default());
        let elsewhere = "<WebsiteConfiguration><RedirectAllRequestsTo><HostName>a</HostName>\
                         </RedirectAllRequestsTo></WebsiteConfiguration>";
        assert!(read(elsewhere).unwrap().rules);
        assert!(read("<html>no</html>").is_err());
    }
}
