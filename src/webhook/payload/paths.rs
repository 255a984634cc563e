//! Paths from payloads. They are hostile: whatever may push or upload chooses them.
//!
//! A path is decoded once where the kind encodes it (S3 keys, as forms are), and never again. Then it may
//! have no control character, backslash, empty or dot segment, may be no URL, and has at most 2,048
//! bytes. A refused path makes the list of a forge or bucket incomplete; in edgepurge's own body it is an
//! error of the sender. What passes is only a file below the origin's root, which the mapping turns into
//! assets as any other file.

use std::collections::BTreeSet;

/// The most paths of one delivery; more are not worth a list.
pub(in crate::webhook) const MAX_PATHS: usize = 10_000;

/// The longest path in bytes.
const MAX_BYTES: usize = 2048;

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::webhook) enum PathProblem {
    #[error("is empty")]
    Empty,
    #[error("is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("holds a control character")]
    Control,
    #[error("holds a backslash")]
    Backslash,
    #[error("has an empty, `.` or `..` segment")]
    Segment,
    #[error("is a URL: write the path of a file below the origin's root")]
    Url,
}

/// Checks a path that has been decoded as often as its kind says, and is not decoded again.
pub(in crate::webhook) fn check(path: &str) -> Result<(), PathProblem> {
    if path.is_empty() {
        return Err(PathProblem::Empty);
    }
    if path.len() > MAX_BYTES {
        return Err(PathProblem::TooLong);
    }
    if path.chars().any(char::is_control) {
        return Err(PathProblem::Control);
    }
    if path.contains('\\') {
        return Err(PathProblem::Backslash);
    }
    if is_url(path) {
        return Err(PathProblem::Url);
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(PathProblem::Segment);
    }
    Ok(())
}

/// `https://…`, and `//host/…`, which a client completes to one.
fn is_url(path: &str) -> bool {
    path.starts_with("//")
        || path.split_once("://").is_some_and(|(scheme, _)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        })
}

/// The files that a delivery lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::webhook) struct Listed {
    files: BTreeSet<String>,
    incomplete: Option<&'static str>,
}

impl Listed {
    /// Adds a file. One that is refused is not passed over: the list is not complete then.
    pub(in crate::webhook) fn add(&mut self, path: &str) {
        self.add_named(path, path);
    }

    /// Adds an object of a bucket. Its name may end with a slash, as the folders of consoles do.
    pub(in crate::webhook) fn add_object(&mut self, key: &str) {
        self.add_named(key, key.strip_suffix('/').unwrap_or(key));
    }

    fn add_named(&mut self, path: &str, named: &str) {
        if self.incomplete.is_some() {
            return;
        }
        if check(named).is_err() {
            self.cut("one of the paths is refused");
        } else if self.files.len() == MAX_PATHS && !self.files.contains(path) {
            self.cut("it lists more than 10000 files");
        } else {
            self.files.insert(path.to_owned());
        }
    }

    /// Says that files are missing from the list, and why.
    pub(in crate::webhook) fn cut(&mut self, why: &'static str) {
        self.incomplete.get_or_insert(why);
        self.files = BTreeSet::new();
    }

    /// The files, or why the list is not all of them.
    pub(in crate::webhook) fn complete(self) -> Result<BTreeSet<String>, &'static str> {
        self.incomplete.map_or(Ok(self.files), Err)
    }
}

/// Whether `root`, which is empty or ends with `/`, lies in one of these: then that is no file.
pub(in crate::webhook) fn hold(files: &BTreeSet<String>, root: &str) -> bool {
    let mut ends = root.match_indices('/').map(|(end, _)| end);
    ends.any(|end| root.get(..end).is_some_and(|above| files.contains(above)))
}

/// The files below `root`, which is empty or ends with `/`, as paths below it.
pub(in crate::webhook) fn below(root: &str, files: &BTreeSet<String>) -> Vec<Vec<u8>> {
    files
        .iter()
        .filter_map(|file| file.strip_prefix(root))
        .filter(|file| !file.is_empty())
        .map(|file| file.as_bytes().to_vec())
        .collect()
}
