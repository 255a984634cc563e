//! Names in a route's settings that may be patterns: of branches, workflows and environments.

use globset::{GlobBuilder, GlobMatcher};

/// The prefix of a branch's full name.
pub(super) const HEADS: &str = "refs/heads/";

/// A name, or a pattern of names.
#[derive(Clone, Debug)]
pub(in crate::webhook) struct Pattern {
    name: String,
    /// `None` where it can only be meant literally.
    glob: Option<GlobMatcher>,
    ignores_case: bool,
}

/// Why something is no branch, and no pattern of branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BranchProblem {
    /// `refs/tags/v1`.
    #[error("is a ref, but not of a branch")]
    OtherRef,
    /// `!main`.
    #[error("says what does not count")]
    Negated,
    /// `release**`.
    #[error("has `**` beside something else than a `/`")]
    Stars,
    /// What no branch can be named.
    #[error("is not a name that a branch can have, nor a pattern")]
    Impossible,
}

/// Whether a text is a branch, or a pattern of branches.
///
/// # Errors
/// Why it is not.
pub(crate) fn check_branch(text: &str) -> Result<(), BranchProblem> {
    Pattern::branch(text).map(|_| ())
}

impl Pattern {
    /// A branch: `main`, `refs/heads/main`, `release/*`, `**`. `*` and `?` stop at a `/`, `**` does not.
    pub(in crate::webhook) fn branch(text: &str) -> Result<Self, BranchProblem> {
        let name = text.strip_prefix(HEADS).unwrap_or(text);
        if name.starts_with("refs/") {
            return Err(BranchProblem::OtherRef);
        }
        if name.starts_with('!') {
            return Err(BranchProblem::Negated);
        }
        let odd = |c: char| c.is_control() || c.is_whitespace() || "~^:\\".contains(c);
        let part = |part: &str| {
            part.is_empty() || part.starts_with('.') || part.rsplit('.').next() == Some("lock")
        };
        if name.chars().any(odd)
            || name.split('/').any(part)
            || name.contains("..")
            || name.contains("@{")
            || name.ends_with('.')
        {
            return Err(BranchProblem::Impossible);
        }
        if name
            .split('/')
            .any(|part| part != "**" && part.contains("**"))
        {
            return Err(BranchProblem::Stars);
        }
        let glob = GlobBuilder::new(name).literal_separator(true).build();
        let glob = glob.map_err(|_| BranchProblem::Impossible)?;
        Ok(Self {
            name: name.to_owned(),
            glob: Some(glob.compile_matcher()),
            ignores_case: false,
        })
    }

    /// A name without case. Names may hold anything, so that what is no pattern is meant literally.
    pub(in crate::webhook) fn name(text: &str) -> Self {
        let glob = GlobBuilder::new(text).case_insensitive(true).build();
        Self {
            name: text.to_owned(),
            glob: glob.ok().map(|glob| glob.compile_matcher()),
            ignores_case: true,
        }
    }

    /// A workflow by its name or its file, of which only the last part counts.
    pub(in crate::webhook) fn workflow(text: &str) -> Self {
        Self::name(file_of(text).unwrap_or(text))
    }

    /// Exactly this.
    pub(in crate::webhook) fn literal(text: &str) -> Self {
        Self {
            name: text.to_owned(),
            glob: None,
            ignores_case: false,
        }
    }

    /// Whether a name is this one, or one of these.
    pub(in crate::webhook) fn matches(&self, name: &str) -> bool {
        self.name == name
            || (self.ignores_case && self.name.to_lowercase() == name.to_lowercase())
            || self.glob.as_ref().is_some_and(|glob| glob.is_match(name))
    }

    pub(in crate::webhook) fn as_str(&self) -> &str {
        &self.name
    }
}

/// The name of a workflow's file, where this is one: `deploy.yml` of `.github/workflows/deploy.yml`.
pub(in crate::webhook) fn file_of(path: &str) -> Option<&str> {
    let (_, ending) = path.rsplit_once('.')?;
    let is_file = matches!(ending, "yml" | "yaml");
    let name = path.rsplit('/').next().unwrap_or(path);
    is_file.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_meant_as_it_is_usually_written() {
        for (text, yes, no) in [
            ("main", &["main"][..], &["Main", "mainly", "x/main"][..]),
            ("refs/heads/main", &["main"], &["refs/heads/main"]),
            (
                "release/*",
                &["release/1", "release/v2.0"],
                &["release", "release/1/fix", "releases/1"],
            ),
            ("refs/heads/release/*", &["release/1"], &["main"]),
            ("release/**", &["release/1", "release/1/fix"], &["release"]),
            ("**", &["main", "a/b/c"], &[]),
            ("*", &["main"], &["a/b"]),
            ("**/live", &["live", "eu/live", "a/b/live"], &["alive"]),
            ("v?.x", &["v1.x"], &["v10.x", "v/.x"]),
            ("v[0-9]*", &["v1", "v2-beta"], &["vx"]),
            ("{main,live}", &["main", "live"], &["dev"]),
        ] {
            let pattern = Pattern::branch(text).unwrap();
            for name in yes {
                assert!(pattern.matches(name), "{text} {name}");
            }
            for name in no {
                assert!(!pattern.matches(name), "{text} {name}");
            }
        }
    }

    #[test]
    fn what_no_branch_can_be_is_refused() {
        for (text, problem) in [
            ("refs/tags/v1", BranchProblem::OtherRef),
            ("refs/heads/refs/x", BranchProblem::OtherRef),
            ("!main", BranchProblem::Negated),
            ("release**", BranchProblem::Stars),
            ("**x/y", BranchProblem::Stars),
            ("", BranchProblem::Impossible),
            ("refs/heads/", BranchProblem::Impossible),
            ("/main", BranchProblem::Impossible),
            ("main/", BranchProblem::Impossible),
            ("a..b", BranchProblem::Impossible),
            ("a b", BranchProblem::Impossible),
            ("main ", BranchProblem::Impossible),
            ("HEAD~1", BranchProblem::Impossible),
            ("origin:main", BranchProblem::Impossible),
            ("^main$", BranchProblem::Impossible),
            ("release\\/1", BranchProblem::Impossible),
            ("release/[1", BranchProblem::Impossible),
            ("{main", BranchProblem::Impossible),
            ("x.lock", BranchProblem::Impossible),
        ] {
            assert_eq!(Pattern::branch(text).unwrap_err(), problem, "{text}");
        }
    }

    #[test]
    fn names_are_compared_without_case_and_may_hold_anything() {
        for (text, yes, no) in [
            ("Deploy", &["deploy", "DEPLOY"][..], &["deploys"][..]),
            ("review/*", &["Review/a", "review/a/b"], &["review"]),
            ("Ship [eu", &["ship [EU"], &["ship e"]),
            ("Ship [eu]", &["Ship [eu]"], &["Ship"]),
            ("\u{dc}bergabe", &["\u{fc}bergabe"], &["ubergabe"]),
        ] {
            let pattern = Pattern::name(text);
            for name in yes {
                assert!(pattern.matches(name), "{text} {name}");
            }
            for name in no {
                assert!(!pattern.matches(name), "{text} {name}");
            }
        }
        assert!(Pattern::workflow(".github/workflows/deploy.yml").matches("deploy.yml"));
        assert!(Pattern::workflow("build/deploy").matches("Build/Deploy"));
    }
}
