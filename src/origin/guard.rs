//! Whether what is seen can be believed: is the root still the directory it was, and are not too
//! many files gone at once? Decides; purges and forgets nothing itself.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::settings::{LOSS_ALWAYS_FINE, LOSS_WINDOW};
use crate::core::time::Time;

/// Filesystems whose changes may come from other machines: they have no events for those.
const REMOTE: [i64; 9] = [
    0x6969,      // NFS
    0x517B,      // SMB
    0xFE53_4D42, // SMB2
    0xFF53_4D42, // CIFS
    0x6573_5546, // FUSE
    0x0102_1997, // 9p
    0x00C3_6400, // Ceph
    0x5346_414F, // AFS
    0x7461_636F, // OCFS2
];

/// Which directory the root is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Root {
    pub(super) resolved: PathBuf,
    pub(super) id: (u64, u64),
}

impl Root {
    /// The root as it is now. An error when it is missing, no directory, or cannot be listed.
    pub(super) fn find(path: &Path) -> io::Result<Self> {
        let id = identity(path)?;
        let resolved = std::fs::canonicalize(path)?;
        std::fs::read_dir(&resolved)?;
        Ok(Self { resolved, id })
    }
}

/// The identity of the directory at `path`: one stat.
pub(super) fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok((metadata.dev(), metadata.ino()))
}

/// Whether changes below this directory may come without events.
pub(super) fn is_remote(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| REMOTE.contains(&found.f_type))
}

/// What is mounted below a directory: a line of the kernel's list for each. Empty where there is no
/// such list.
pub(super) fn mounts_below(directory: &Path) -> Vec<String> {
    let list = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    list.lines()
        .filter(|line| {
            // The fifth field; a space in it is written `\040`.
            let point = line.split(' ').nth(4).unwrap_or_default();
            let point = point.replace("\\040", " ");
            let point = Path::new(&point);
            point.starts_with(directory) && point != directory
        })
        .map(str::to_owned)
        .collect()
}

/// The guard against sudden loss.
#[derive(Debug)]
pub(super) struct LossGuard {
    percent: u64,
    /// Files gone since the window began.
    gone: u64,
    since: Time,
    held: bool,
}

impl LossGuard {
    pub(super) fn new(percent: u8) -> Self {
        Self {
            percent: percent.into(),
            gone: 0,
            since: Time::ZERO,
            held: false,
        }
    }

    /// Whether it says that nothing may go.
    pub(super) const fn held(&self) -> bool {
        self.held
    }

    /// Looks at the numbers: files in the index, and those of them that are absent. Returns
    /// whether files may go.
    pub(super) fn check(&mut self, files: u64, absent: u64, now: Time) -> bool {
        if now.since(self.since) > LOSS_WINDOW {
            self.gone = 0;
        }
        let lost = absent.saturating_add(self.gone);
        let all = files.saturating_add(self.gone);
        self.held = lost > LOSS_ALWAYS_FINE
            && u128::from(lost) * 100 > u128::from(all) * u128::from(self.percent);
        !self.held
    }

    /// Remembers that files went.
    pub(super) fn went(&mut self, files: u64, now: Time) {
        if now.since(self.since) > LOSS_WINDOW {
            self.gone = 0;
            self.since = now;
        }
        self.gone = self.gone.saturating_add(files);
    }

    /// An operator accepts the loss: what went so far is forgotten.
    pub(super) fn accept(&mut self) {
        self.gone = 0;
        self.held = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    #[test]
    fn few_files_may_always_go_and_many_never_at_once() {
        let mut guard = LossGuard::new(50);
        assert!(guard.check(20, 20, at(100)));
        assert!(guard.check(100, 50, at(100)));
        assert!(!guard.check(100, 51, at(100)));
        assert!(guard.check(100, 3, at(100)));
    }

    #[test]
    fn a_loss_in_pieces_is_one_loss() {
        let mut guard = LossGuard::new(50);
        assert!(guard.check(100, 30, at(100)));
        guard.went(30, at(100));
        assert!(!guard.check(70, 30, at(110)));
        assert!(guard.check(70, 30, at(200)));
    }
}
