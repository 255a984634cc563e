//! How a bucket serves its objects as a website, and what that makes stale beyond the URL of an object: an index
//! document answers for its folder, and the error document for every URL that is missing. As rules of the
//! configuration: `init` writes them, `check --online` and the alarm `website` say which are missing.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::change::Kind;
use super::mapping::{Effect, Mapping, UrlPrefix};

/// The index documents that the built-in mapping knows.
const USUAL: [&str; 3] = ["index.html", "index.htm", "index.xhtml"];

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

/// A rule that a website needs.
#[derive(Debug)]
struct Needed {
    about: &'static str,
    patterns: Vec<String>,
    purge: &'static str,
}

impl Needed {
    /// For the index document, at every level.
    fn index(name: &str) -> Self {
        Self {
            about: "An index document answers for its folder too",
            patterns: vec![literal(name), format!("**/{}", literal(name))],
            purge: "[\"/{path}\", \"/{dir}/\", \"/{dir}\"]",
        }
    }

    /// For the error document.
    fn error(key: &str) -> Self {
        Self {
            about: "It answers for every URL that is missing",
            patterns: vec![literal(key)],
            purge: "\"all\"",
        }
    }

    /// Its lines in the configuration, below that of its table.
    fn lines(&self) -> [String; 2] {
        let quoted = self.patterns.iter();
        let quoted = quoted.map(|one| toml::Value::from(one.as_str()).to_string());
        let patterns = quoted.collect::<Vec<_>>().join(", ");
        [
            format!("match = [{patterns}]"),
            format!("purge = {}", self.purge),
        ]
    }
}

impl Website {
    /// What most sites have: `index.html` at every level, and `404.html` for what is missing.
    #[must_use]
    pub fn usual() -> Self {
        Self {
            index: Some("index.html".to_owned()),
            error: Some("404.html".to_owned()),
            rules: false,
        }
    }

    /// The rules that it needs, as the configuration has them; each ends with a new line.
    #[must_use]
    pub fn rules(&self) -> String {
        let index = self.index.as_deref().filter(|one| !USUAL.contains(one));
        let needed = index.map(Needed::index).into_iter();
        let needed = needed.chain(self.error.as_deref().map(Needed::error));
        let rules = needed.map(|one| {
            let lines = one.lines().join("\n");
            format!("\n# {}.\n[[pipeline.rule]]\n{lines}\n", one.about)
        });
        rules.collect()
    }

    /// What of it the mapping of a pipeline does not purge, and what to write: one text for each. `url_prefix` and
    /// `key_prefix` are those of the origin.
    #[must_use]
    pub fn uncovered(
        &self,
        mapping: &Mapping,
        url_prefix: &UrlPrefix,
        key_prefix: &str,
    ) -> Vec<String> {
        let effect = |path: &str| {
            let mapped = mapping.effect(url_prefix, path.as_bytes(), Kind::Changed);
            mapped.effect
        };
        let rule =
            |needed: &Needed| format!("a [[pipeline.rule]] with {}", needed.lines().join(" and "));
        let mut found = Vec::new();
        if let Some(index) = &self.index {
            let folder = url_prefix.asset(b"folder/").ok();
            let purges = match effect(&format!("folder/{index}")) {
                Effect::All => true,
                Effect::Assets(assets) => folder.is_some_and(|folder| assets.contains(&folder)),
                Effect::Nothing => false,
            };
            let write = if USUAL.contains(&index.as_str()) {
                "pages = \"directory\"".to_owned()
            } else {
                rule(&Needed::index(index))
            };
            if !purges {
                found.push(format!(
                    "{} answers for its folder, which is not purged with it: write {write}",
                    index.escape_debug()
                ));
            }
        }
        // The error document is one of the whole bucket, which may be more than is served.
        let error = self.error.as_deref();
        if let Some(error) = error.and_then(|key| key.strip_prefix(key_prefix))
            && effect(error) != Effect::All
        {
            found.push(format!(
                "{} answers for every URL that is missing, and no rule purges everything with it: write {}",
                error.escape_debug(),
                rule(&Needed::error(error))
            ));
        }
        found
    }
}

/// A pattern that matches this path alone.
fn literal(path: &str) -> String {
    let mut pattern = String::new();
    for c in path.chars() {
        if "*?[]{}\\!".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests;
