//! Why a bucket did not give what was asked for.

use instant_xml::FromXml;
use reqwest::StatusCode;

/// The most characters of a server's words that are kept.
const MAX_WORDS: usize = 300;

/// Why a call came to nothing. None of them says that an object is gone, but for [`S3Error::Missing`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum S3Error {
    /// There is no object of this key.
    #[error("there is no such object")]
    Missing,
    /// The server refuses it: a wrong key, a right that is missing, a bucket that is not there.
    #[error("{status} {code}{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's word for it, such as `AccessDenied`; empty where it gives none.
        code: String,
        /// The server's sentence, with `: ` before it; empty where it gives none.
        message: String,
    },
    /// The server is busy, or failed; the same may work in a moment.
    #[error("the server answers {0}")]
    Busy(String),
    /// No whole answer came.
    #[error("{0}")]
    Unreachable(String),
    /// The answer is not what the API answers.
    #[error("the answer can't be used: {0}")]
    Malformed(String),
    /// There is no usable access key or secret key.
    #[error("{0}")]
    Keys(String),
}

/// The document of an error.
#[derive(Debug, Default, FromXml)]
#[xml(rename = "Error")]
struct Document {
    #[xml(rename = "Code")]
    code: Option<String>,
    #[xml(rename = "Message")]
    message: Option<String>,
}

impl S3Error {
    /// Whether the same call may work in a moment.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Busy(_) | Self::Unreachable(_) | Self::Malformed(_)
        )
    }

    /// The server's word for a refusal.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// What is to be done about a refusal, with `; ` before it; empty where only the server knows.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        let Some(code) = self.code() else {
            return "";
        };
        match code {
            "NoSuchBucket" => "; correct `bucket` or `region`, or make the bucket again",
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" => {
                "; the access key and the secret key are not a pair that is valid there"
            }
            "PermanentRedirect" | "AuthorizationHeaderMalformed" => {
                "; the bucket is in another region: correct `region`"
            }
            "RequestTimeTooSkewed" => "; set the clock of this machine",
            "AccessDenied" | "" => {
                "; the key needs the right to list the bucket and to read its objects \
                 (ObjectStorageBucketsRead and ObjectStorageObjectsRead), also by the bucket's policy"
            }
            _ => "",
        }
    }

    /// What an answer means that is no success. The answer to HEAD has no body.
    pub(super) fn of_answer(status: StatusCode, body: &str) -> Self {
        let document: Document = instant_xml::from_str(body).unwrap_or_default();
        let words = |text: Option<String>| {
            let text = text.unwrap_or_default();
            let shown = text.chars().filter(|one| !one.is_control());
            shown.take(MAX_WORDS).collect::<String>()
        };
        let code = words(document.code);
        let message = words(document.message);
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Self::Busy(format!("{} {code}", status.as_u16()).trim().to_owned());
        }
        Self::Refused {
            status: status.as_u16(),
            message: if message.is_empty() {
                message
            } else {
                format!(": {message}")
            },
            code,
        }
    }

    /// Why no answer came. It never shows the URL, which holds the signature.
    pub(super) fn of_transport(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if error.is_timeout() {
            return Self::Unreachable("no whole answer came in time".to_owned());
        }
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self::Unreachable(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_from_a_server_that_is_busy() {
        let denied = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code>\
                      <Message>Access Denied</Message><RequestId>1</RequestId></Error>";
        let denied = S3Error::of_answer(StatusCode::FORBIDDEN, denied);
        assert_eq!(denied.to_string(), "403 AccessDenied: Access Denied");
        assert!(denied.remedy().contains("ObjectStorageObjectsRead"));
        assert!(!denied.is_passing());
        let slow = "<Error><Code>SlowDown</Code></Error>";
        let slow = S3Error::of_answer(StatusCode::SERVICE_UNAVAILABLE, slow);
        assert_eq!(slow.to_string(), "the server answers 503 SlowDown");
        assert!(slow.is_passing());
        let page = S3Error::of_answer(StatusCode::NOT_FOUND, "<html>no</html>");
        assert_eq!(page.to_string().trim(), "404");
    }
}
