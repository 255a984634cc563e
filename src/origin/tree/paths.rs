//! Paths below the root of an origin, as bytes: no slash at the start or the end; the root is empty.

use std::collections::BTreeSet;

/// Takes what is `path` or lies below it out of a set of paths.
pub(in crate::origin) fn remove_below(paths: &mut BTreeSet<Vec<u8>>, path: &[u8]) {
    if path.is_empty() {
        paths.clear();
        return;
    }
    paths.remove(path);
    let below = paths.range([path, b"/"].concat()..[path, b"0"].concat());
    let below: Vec<_> = below.cloned().collect();
    for path in below {
        paths.remove(&path);
    }
}

/// Whether `path` is `ancestor` or lies below it.
pub(in crate::origin) fn below(path: &[u8], ancestor: &[u8]) -> bool {
    ancestor.is_empty()
        || path
            .strip_prefix(ancestor)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// `name` below `dir`.
pub(in crate::origin) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    match (dir, name) {
        ([], only) | (only, []) => only.to_vec(),
        _ => [dir, b"/", name].concat(),
    }
}
