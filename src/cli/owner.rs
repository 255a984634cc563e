//! Who may touch the state while no daemon runs.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Failure;

/// Refuses another user than the state's owner: files of another user there would be in
/// the daemon's way. A state directory that is not there yet has no owner.
pub(super) fn check(state: &Path) -> Result<(), Failure> {
    let Ok(found) = std::fs::metadata(state) else {
        return Ok(());
    };
    let (owner, me) = (found.uid(), rustix::process::geteuid().as_raw());
    if owner == me {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "no daemon runs, and the state directory {} belongs to uid {owner}, not to uid {me}; start \
         the daemon, or run this as its user: sudo -u '#{owner}' edgepurge …",
        state.display()
    )))
}
