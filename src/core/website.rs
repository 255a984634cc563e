//! How a bucket serves its objects as a website.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `index.html at every level, 404.html for what is missing`.
impl fmt::Display for Website {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.index {
            Some(index) => write!(f, "{} at every level", index.escape_debug())?,
            None => write!(f, "no index document")?,
        }
        if let Some(error) = &self.error {
            write!(f, ", {} for what is missing", error.escape_debug())?;
        }
        if self.rules {
            write!(f, ", and rules for redirection, which are not followed")?;
        }
        Ok(())
    }
}

/// The website configuration of a bucket, as far as it decides which URLs an object answers at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Website {
    /// What is put behind a URL that ends with a slash, at every level, such as `index.html`.
    pub index: Option<String>,
    /// The key of the object that answers for what is missing, such as `404.html`.
    pub error: Option<String>,
    /// Whether it has rules for redirection, which are not followed.
    #[serde(default)]
    pub rules: bool,
}
