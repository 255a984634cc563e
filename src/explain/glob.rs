//! Globs over assets, expanded over the index: what is not indexed is not matched.

use std::collections::BTreeSet;
use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};
use percent_encoding::percent_decode_str;

use super::Explained;
use crate::core::asset::Asset;
use crate::core::queue::QUEUE_CAP;
use crate::origin::{self, OriginError};

/// Why a glob is not expanded.
#[derive(Debug, thiserror::Error)]
pub enum GlobError {
    /// It is none.
    #[error("{0}")]
    Syntax(String),
    /// Nothing that is indexed matches.
    #[error("{0}")]
    Nothing(String),
    /// There is no complete index yet.
    #[error(
        "origin {0} was not indexed yet, so that no glob can be expanded; wait until `status` says watching"
    )]
    NotIndexed(String),
    /// The index can't be read.
    #[error(transparent)]
    Index(#[from] OriginError),
}

/// Whether what a person wrote is a glob. A `?` begins a query, and brackets and braces are
/// characters of names, so it is the star that makes one.
#[must_use]
pub fn is_glob(text: &str) -> bool {
    path_of(text).contains('*')
}

/// The path of a URL, or what is given.
fn path_of(text: &str) -> &str {
    match text.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            rest.find('/').map_or("", |at| &rest[at..])
        }
        _ => text,
    }
}

/// A glob, and what it matched.
struct Glob {
    text: String,
    matcher: GlobMatcher,
    matched: bool,
}

impl Glob {
    fn parse(text: &str) -> Result<Self, GlobError> {
        let path = path_of(text);
        if !path.starts_with('/') {
            return Err(GlobError::Syntax(format!(
                "the glob `{text}` does not begin with /: it is about URLs, such as /blog/* or \
                 /**/*.css"
            )));
        }
        let glob = GlobBuilder::new(path).literal_separator(true).build();
        let glob = glob
            .map_err(|error| GlobError::Syntax(format!("`{text}` is no glob: {}", error.kind())))?;
        Ok(Self {
            text: text.to_owned(),
            matcher: glob.compile_matcher(),
            matched: false,
        })
    }

    /// As it is sent, or as people read it.
    fn matches(&mut self, asset: &Asset) -> bool {
        let path = asset.as_str();
        let found = self.matcher.is_match(path)
            || (path.contains('%')
                && percent_decode_str(path)
                    .decode_utf8()
                    .is_ok_and(|path| self.matcher.is_match(&*path)));
        self.matched |= found;
        found
    }
}

impl Explained {
    /// The assets of indexed files that match any of the globs: what the files answer at, and what
    /// the rules purge for them. `*` does not cross a `/`, `**` does.
    ///
    /// # Errors
    /// When one is no glob, matches nothing, or what all match is more than a queue takes.
    pub fn expand(&self, state: &Path, globs: &[String]) -> Result<BTreeSet<Asset>, GlobError> {
        let parsed: Result<Vec<Glob>, GlobError> = globs.iter().map(|g| Glob::parse(g)).collect();
        let mut globs = parsed?;
        let mut assets = BTreeSet::new();
        for (name, origin) in &self.known.origins {
            let indexed = origin::remembered(state, &self.id, name, |path, _| {
                let own = self.known.mapping.own(&origin.url_prefix, path);
                for asset in self.assets_of(origin, path).into_iter().chain(own) {
                    // Every glob, since each has to match something.
                    let hits = globs
                        .iter_mut()
                        .filter_map(|glob| glob.matches(&asset).then_some(()));
                    if hits.count() > 0 {
                        assets.insert(asset);
                    }
                }
                if assets.len() > QUEUE_CAP {
                    return Err(GlobError::Syntax(format!(
                        "more than {QUEUE_CAP} assets match; use --all"
                    )));
                }
                Ok(())
            })?;
            if !indexed {
                return Err(GlobError::NotIndexed(name.to_string()));
            }
        }
        let idle: Vec<&str> = globs
            .iter()
            .filter(|glob| !glob.matched)
            .map(|glob| glob.text.as_str())
            .collect();
        if idle.is_empty() {
            return Ok(assets);
        }
        Err(GlobError::Nothing(format!(
            "no file that is indexed of {} matches {}; nothing was purged",
            self.name,
            idle.join(", ")
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_makes_a_glob_and_a_query_or_bracket_none() {
        for glob in ["/*.css", "/blog/**", "https://example.com/*", "*.css"] {
            assert!(is_glob(glob), "{glob}");
        }
        for plain in ["/a.css?x=1", "/a[1].css", "https://*.example.com/a", "/%2A"] {
            assert!(!is_glob(plain), "{plain}");
        }
    }

    #[test]
    fn what_people_read_matches_too() {
        let mut glob = Glob::parse("https://example.com/b\u{fc}cher/*").unwrap();
        assert!(glob.matches(&Asset::from_stored("/b%C3%BCcher/1.html")));
        assert!(glob.matches(&Asset::from_stored("/b%C3%BCcher/")));
        assert!(!glob.matches(&Asset::from_stored("/b%C3%BCcher/a/1.html")));
        let mut deep = Glob::parse("/blog/**").unwrap();
        assert!(deep.matches(&Asset::from_stored("/blog/a/b.html")));
        assert!(Glob::parse("*.css").is_err());
    }
}
