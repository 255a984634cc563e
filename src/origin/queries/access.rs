//! What this process can read below a root, and which groups can where others can't: for `check`,
//! which remembers nothing.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::origin::error::OriginError;
use crate::origin::settings::{Compare, FollowSymlinks};
use crate::origin::tree::fingerprint::may_read;
use crate::origin::tree::ignore::Ignore;
use crate::origin::tree::links_bound::Links;
use crate::origin::tree::resolver::Resolver;
use crate::origin::tree::walk::{Item, Walk};

/// Files and directories looked at, at most.
const ENTRIES: u64 = 200_000;

/// Some files or directories: how many, and the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// How many.
    pub count: u64,
    /// The path of the first, below the root; empty: the root itself.
    pub first: String,
}

impl Sample {
    fn add(&mut self, path: &[u8]) {
        if self.count == 0 {
            self.first = String::from_utf8_lossy(path).into_owned();
        }
        self.count += 1;
    }
}

/// Who gets at what below a root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Directories that this process can't list.
    pub closed: Sample,
    /// Files that it can't read.
    pub unread: Sample,
    /// What a group may read, or enter, and others may not, by the group's number.
    pub groups: BTreeMap<u32, Sample>,
    /// There is more than was looked at.
    pub truncated: bool,
}

/// Looks through the files of an origin, as far as they count.
///
/// # Errors
/// When a pattern is no gitignore syntax.
pub fn access(
    root: &Path,
    follow: FollowSymlinks,
    patterns: &[String],
) -> Result<Access, OriginError> {
    let ignore = Arc::new(Ignore::new(patterns)?);
    let resolver = Arc::new(Resolver {
        root: root.to_owned(),
        resolved: std::fs::canonicalize(root).unwrap_or_else(|_| root.to_owned()),
        compare: Compare::Metadata,
        follow,
        group: None,
        links: Links::new(Arc::clone(&ignore), None),
    });
    let mut found = Access::default();
    let mut walk = Walk::new(Arc::clone(&resolver), ignore, None, b"");
    for _ in 0..ENTRIES {
        let Some(item) = walk.next() else {
            return Ok(found);
        };
        match item {
            Item::Unreadable { path } => found.closed.add(&path),
            Item::Directory { open: true, .. } => {}
            Item::Directory { path, .. } => found.group(&resolver, &path, 0o1),
            Item::File { path, stat, .. } => {
                let real = resolver.real(&path);
                let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
                // A link may lead to what can't be reached.
                if stat.is_none() && std::fs::metadata(&real).is_err_and(|error| denied(&error)) {
                    found.closed.add(&path);
                } else if (stat.is_some() || real.is_file()) && !may_read(&real) {
                    found.unread.add(&path);
                }
                found.group(&resolver, &path, 0o4);
            }
        }
    }
    found.truncated = true;
    Ok(found)
}

impl Access {
    /// Counts a path for its group, if that has a right which others have not.
    fn group(&mut self, resolver: &Resolver, path: &[u8], right: u32) {
        let Ok(stat) = std::fs::metadata(resolver.real(path)) else {
            return;
        };
        if stat.mode() & right == 0 && (stat.mode() >> 3) & right != 0 {
            self.groups.entry(stat.gid()).or_default().add(path);
        }
    }
}
