//! Which directory the root is, what is mounted, and whether its events tell everything. Asks the kernel;
//! purges and forgets nothing itself.
//!
//! `statfs` shows filesystems without events (NFS, SMB, FUSE, 9p and the like), at the root and where a
//! walk enters them. A mount over the root is found by device, inode and mount number; a mount below it
//! by the kernel's list of mounts.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, StatxFlags};

/// Filesystems whose changes may come from other machines, or from a process behind the kernel's
/// back: they have no events for those. Numbers of `statfs(2)`, and of coreutils' list for `tail -f`,
/// which has the same question.
const REMOTE: [i64; 20] = [
    0x6969,      // NFS
    0x517B,      // SMB
    0xFE53_4D42, // SMB2
    0xFF53_4D42, // CIFS
    0x6573_5546, // FUSE
    0x0102_1997, // 9p
    0x00C3_6400, // Ceph
    0x5346_414F, // AFS
    0x6B41_4653, // AFS in the kernel
    0x7461_636F, // OCFS2
    0x0116_1970, // GFS2
    0x0BD0_0BD0, // Lustre
    0x4750_4653, // GPFS
    0x1983_0326, // BeeGFS
    0xAAD7_AAEA, // Panasas
    0xBEEF_DEAD, // StorNext
    0x7375_7245, // Coda
    0x786F_4256, // VirtualBox
    0xBACB_ACBC, // VMware
    0x7C7C_6673, // Parallels
];

/// The overlay filesystem.
const OVERLAY: i64 = 0x794C_7630;

/// The mount's number that no other mount ever had, where the kernel knows it (since 6.8): `statx(2)`.
const UNIQUE_MOUNT: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// Which directory the root is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::origin) struct Root {
    pub(in crate::origin) resolved: PathBuf,
    pub(in crate::origin) id: Identity,
    pub(in crate::origin) events: Events,
}

/// What tells a directory from every other, and from itself mounted once more. The mount's number is
/// 0 on kernels that do not tell it (before 5.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::origin) struct Identity {
    device: u64,
    inode: u64,
    mount: u64,
}

impl Identity {
    /// Whether both lie on the same mount of the same filesystem.
    pub(in crate::origin) const fn same_mount(&self, other: &Self) -> bool {
        self.device == other.device && self.mount == other.mount
    }

    /// The number of its device.
    pub(in crate::origin) const fn device(&self) -> u64 {
        self.device
    }

    /// Whether both are the same directory, through whatever mount.
    pub(in crate::origin) const fn same_directory(&self, other: &Self) -> bool {
        self.device == other.device && self.inode == other.inode
    }
}

/// Whether a filesystem's events tell of every change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::origin) enum Events {
    /// They do.
    All,
    /// Of those made through it, and not of those made below it.
    Some,
    /// They do not.
    None,
}

impl Root {
    /// The root as it is now. An error when it is missing, no directory, or cannot be listed.
    pub(in crate::origin) fn find(path: &Path) -> io::Result<Self> {
        let id = identity(path)?;
        let resolved = std::fs::canonicalize(path)?;
        std::fs::read_dir(&resolved)?;
        let events = events(&resolved);
        Ok(Self {
            resolved,
            id,
            events,
        })
    }

    /// Whether this is still the root, and can still be listed.
    pub(in crate::origin) fn is_still(&self, path: &Path) -> io::Result<bool> {
        let same = identity(path)? == self.id;
        std::fs::read_dir(path)?;
        Ok(same)
    }
}

/// The identity of the directory at `path`: one call.
pub(in crate::origin) fn identity(path: &Path) -> io::Result<Identity> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID | UNIQUE_MOUNT;
    let found = rustix::fs::statx(CWD, path, AtFlags::empty(), wanted)?;
    if !FileType::from_raw_mode(found.stx_mode.into()).is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let known = StatxFlags::from_bits_retain(found.stx_mask);
    let known = known.intersects(StatxFlags::MNT_ID | UNIQUE_MOUNT);
    Ok(Identity {
        device: rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor),
        inode: found.stx_ino,
        mount: if known { found.stx_mnt_id } else { 0 },
    })
}

/// What the events of this directory's filesystem tell. An overlay's lower directories may be changed
/// behind its back; that which `/` is on, as in a container, is the only way to its files.
pub(in crate::origin) fn events(path: &Path) -> Events {
    match rustix::fs::statfs(path).map(|found| found.f_type) {
        Ok(kind) if REMOTE.contains(&kind) => Events::None,
        Ok(OVERLAY) => {
            let device = |path: &Path| std::fs::metadata(path).map(|found| found.dev());
            let main = device(path).ok().zip(device(Path::new("/")).ok());
            if main.is_some_and(|(this, main)| this == main) {
                Events::All
            } else {
                Events::Some
            }
        }
        Ok(_) | Err(_) => Events::All,
    }
}
