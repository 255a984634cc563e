//! What a ref names.

use super::pattern::HEADS;

/// A ref of a Git repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::webhook) enum Ref {
    /// A branch, by its name.
    Branch(String),
    /// A tag, or something else that is no branch.
    Other,
}

impl Ref {
    /// Reads `refs/heads/main`.
    pub(in crate::webhook) fn parse(full: &str) -> Self {
        full.strip_prefix(HEADS)
            .filter(|name| !name.is_empty())
            .map_or(Self::Other, |name| Self::Branch(name.to_owned()))
    }

    /// Reads a full ref, or a name that is known to be a branch's.
    pub(in crate::webhook) fn of(name: &str) -> Self {
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

/// Whether a ref is that of a pull or merge request, or of a queue of such.
pub(in crate::webhook) fn is_proposed(reference: &str) -> bool {
    ["refs/pull/", "refs/merge-requests/", "refs/for/"]
        .iter()
        .any(|start| reference.starts_with(start))
}

/// Whether a forge's word for what started a run is a pull request, or a queue of such.
pub(in crate::webhook) fn is_proposal(event: &str) -> bool {
    event.starts_with("pull_request")
        || matches!(
            event,
            "merge_group" | "merge_request_event" | "external_pull_request_event"
        )
}

/// Whether a text is a commit's id, as a whole.
pub(in crate::webhook) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
