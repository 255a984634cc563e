//! Reads small files that hold secrets. What it says of them never quotes them.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags, StatVfsMountFlags};

/// The largest file that is read, in bytes.
const LIMIT: u64 = 64 * 1024;

/// What such a file holds.
pub(super) struct Content {
    /// The text.
    pub(super) text: String,
    /// Which other users may read or write the file, and what to do; `None` where only the owner may.
    pub(super) exposed: Option<(String, String)>,
}

/// Reads a regular file of UTF-8 text. An error is why, and what to do.
pub(super) fn read(path: &Path) -> Result<Content, (String, String)> {
    // Non-blocking, so that opening a pipe without a writer does not wait for one.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = rustix::fs::open(path, flags, Mode::empty())
        .map(File::from)
        .map_err(|error| {
            let error = std::io::Error::from(error);
            (
                format!("{} can't be opened: {error}", path.display()),
                "correct the path, or let the user that edgepurge runs as read it".to_owned(),
            )
        })?;
    let unreadable = |error: std::io::Error| {
        (
            format!("{} can't be read: {error}", path.display()),
            "try again, and look at the file system".to_owned(),
        )
    };
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err((
            format!("{} is not a regular file", path.display()),
            "name a file".to_owned(),
        ));
    }
    let mut bytes = Vec::new();
    file.by_ref()
        .take(LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LIMIT {
        return Err((
            format!("{} is larger than 64 KiB", path.display()),
            "name the file that holds the secret and nothing else".to_owned(),
        ));
    }
    // Windows writes UTF-16 by default.
    let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let text = String::from_utf8(bytes).map_err(|_| {
        let (why, hint) = if utf16 {
            ("is UTF-16", "save it as UTF-8")
        } else {
            ("is not text", "write the secret into it as text")
        };
        (format!("{} {why}", path.display()), hint.to_owned())
    })?;
    let read_only = rustix::fs::fstatvfs(&file)
        .is_ok_and(|mounted| mounted.f_flag.contains(StatVfsMountFlags::RDONLY));
    let owner = Owner {
        mode: metadata.mode(),
        user: metadata.uid(),
        group: metadata.gid(),
    };
    Ok(Content {
        text,
        exposed: owner.exposed(path, read_only),
    })
}

/// Whose a file is, and who may do what with it.
#[derive(Clone, Copy)]
struct Owner {
    mode: u32,
    user: u32,
    group: u32,
}

impl Owner {
    /// Who may read or write the file and should not. A group may read it where the platform gives secrets
    /// so, and `chmod` is not for who runs there: mounted read-only, or a file of root that root gave to a
    /// group of its own (Kubernetes with `fsGroup`, Docker). The rule does not depend on the user who
    /// reads it, so that `check` says the same for root as for the daemon's user.
    fn exposed(self, path: &Path, read_only: bool) -> Option<(String, String)> {
        let others = self.mode & 0o077;
        let handed_over = self.user == 0 && self.group != 0;
        if others == 0 || (others == 0o040 && (read_only || handed_over)) {
            return None;
        }
        let hint = if read_only {
            "let the platform mount it with mode 0440 (Kubernetes: defaultMode, Docker: mode)"
                .to_owned()
        } else {
            format!("chmod 600 {}", path.display())
        };
        let why = "others than the owner may read or write the file";
        Some((why.to_owned(), hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_reads_a_secret_only_where_the_platform_mounts_it_so() {
        let root = |mode, group| Owner {
            mode,
            user: 0,
            group,
        };
        let own = |mode| Owner {
            mode,
            user: 1000,
            group: 1000,
        };
        // (file, mounted read-only, fit)
        for (owner, read_only, fit) in [
            (own(0o100_600), false, true),
            (own(0o100_400), true, true),
            // A volume of Kubernetes with fsGroup, seen from the node and from the container.
            (root(0o100_440, 2000), false, true),
            (root(0o100_440, 2000), true, true),
            (root(0o100_640, 998), false, true),
            (root(0o100_440, 0), true, true),
            (own(0o100_440), true, true),
            // These can be changed.
            (root(0o100_440, 0), false, false),
            (own(0o100_440), false, false),
            // Others, or a group that may write.
            (root(0o100_444, 2000), true, false),
            (root(0o100_660, 2000), false, false),
            (root(0o100_604, 0), true, false),
            (own(0o100_602), false, false),
        ] {
            let exposed = owner.exposed(Path::new("/run/secrets/key"), read_only);
            assert_eq!(exposed.is_none(), fit, "{:o} {read_only}", owner.mode);
            if let Some((_, hint)) = exposed {
                assert_eq!(hint.contains("chmod"), !read_only, "{hint}");
            }
        }
    }
}
