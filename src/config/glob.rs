//! What is wrong with a glob that can be written and matches nothing.

use super::value::{Complaint, complain};

/// Refuses a glob about paths below a root that no such path can be.
pub(super) fn may_match(glob: &str) -> Result<(), Complaint> {
    let below = glob.strip_prefix('/').unwrap_or(glob);
    let below = below.strip_suffix('/').unwrap_or(below);
    if below.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return complain(
            "matches nothing: no path has an empty part, or one that is . or ..",
            "write it as the path is below the origin's root, such as \"cache/*.html\"",
        );
    }
    Ok(())
}
