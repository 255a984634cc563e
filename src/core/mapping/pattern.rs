//! The patterns of rules: globs over whole paths below an origin's root.

use globset::{Candidate, Glob, GlobBuilder, GlobSet};

/// Why something is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is no glob.
    #[error("the pattern {pattern:?} is not a glob: {why}")]
    Syntax {
        /// The pattern as written.
        pattern: String,
        /// What the glob parser says.
        why: String,
    },
    /// It could never match, because no path below a root looks so.
    #[error("the pattern {pattern:?} can never match: {hint}")]
    Never {
        /// The pattern as written.
        pattern: String,
        /// Why, and what to write instead.
        hint: &'static str,
    },
}

/// Reads one pattern. It is matched against the whole path below the origin's root, by bytes:
/// `*` and `?` don't cross a `/`, `**` does, so `404.html` is the one at the root and
/// `**/404.html` every one.
///
/// # Errors
/// What is no glob, and what could never match.
pub fn parse_pattern(pattern: &str) -> Result<Glob, PatternError> {
    let never = |hint| {
        let pattern = pattern.to_owned();
        Err(PatternError::Never { pattern, hint })
    };
    if pattern.is_empty() {
        return never("it is empty; `**` matches every file");
    }
    if pattern.starts_with('/') {
        return never("patterns are relative to the origin's root; leave out the first `/`");
    }
    if pattern.ends_with('/') {
        return never("only files are matched; write `**` at the end for all below a directory");
    }
    if pattern
        .split('/')
        .any(|part| matches!(part, "" | "." | ".."))
    {
        return never("paths have no empty, `.` or `..` segment; leave them out");
    }
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|error| PatternError::Syntax {
            pattern: pattern.to_owned(),
            why: error.kind().to_string(),
        })
}

/// All patterns of all rules, in order, so that a path is matched once.
#[derive(Clone, Debug)]
pub(super) struct Patterns {
    set: GlobSet,
    /// For each glob its rule's index and its text.
    of: Vec<(usize, String)>,
}

impl Patterns {
    /// Builds the set of globs, each with the index of its rule, in order of rules.
    pub(super) fn new(globs: &[(usize, Glob)]) -> Result<Self, globset::Error> {
        let set = GlobSet::new(globs.iter().map(|(_, glob)| glob.clone()))?;
        let of = globs
            .iter()
            .map(|(rule, glob)| (*rule, glob.glob().to_owned()))
            .collect();
        Ok(Self { set, of })
    }

    /// The rules and patterns that match, in order.
    pub(super) fn matching(&self, path: &[u8]) -> impl Iterator<Item = (usize, &str)> {
        let mut matches = self.set.matches_candidate(&Candidate::from_bytes(path));
        matches.sort_unstable();
        matches.into_iter().filter_map(|at| {
            let (rule, pattern) = self.of.get(at)?;
            Some((*rule, pattern.as_str()))
        })
    }
}
