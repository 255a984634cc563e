//! What a pushed ref names.

/// A ref of a Git repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ref {
    /// A branch, by its name.
    Branch(String),
    /// A tag, or something else that is no branch.
    Other,
}

impl Ref {
    /// Reads `refs/heads/main`.
    pub(super) fn parse(full: &str) -> Self {
        full.strip_prefix("refs/heads/")
            .filter(|name| !name.is_empty())
            .map_or(Self::Other, |name| Self::Branch(name.to_owned()))
    }

    /// Reads a full ref, or a name that is known to be a branch's.
    pub(super) fn of(name: &str) -> Self {
        if name.starts_with("refs/") {
            return Self::parse(name);
        }
        Self::Branch(name.to_owned())
    }
}

/// Whether an id of a commit stands for none. Both 40 and 64 digits are in use.
pub(super) fn is_zero(commit: &str) -> bool {
    commit.bytes().all(|byte| byte == b'0')
}
