//! What is mounted where, by the kernel's list: no event tells of a mount. Decides nothing.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// One mount: a line of `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::origin) struct Mount {
    /// Where it is mounted.
    pub(in crate::origin) point: PathBuf,
    /// The device number that its files have.
    pub(in crate::origin) device: u64,
    /// The type of its filesystem.
    kind: String,
    /// The filesystem itself can't be written, through whatever mount: the times of its files can't
    /// move.
    read_only: bool,
    line: String,
}

/// The kernel's list.
#[derive(Clone, Debug, Default)]
pub(in crate::origin) struct Mounts {
    text: String,
    all: Vec<Mount>,
}

impl Mounts {
    /// The list as it is now; empty where there is none.
    pub(in crate::origin) fn now() -> Self {
        let text = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
        Self::parse(String::from_utf8_lossy(&text).into_owned())
    }

    /// The list as it is now, if it is another one.
    pub(in crate::origin) fn changed(&self) -> Option<Self> {
        let text = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        (text != self.text).then(|| Self::parse(text.into_owned()))
    }

    fn parse(text: String) -> Self {
        let all = text.lines().filter_map(mount).collect();
        Self { text, all }
    }

    /// Where something was mounted, and nothing is any more.
    pub(in crate::origin) fn gone<'a>(&'a self, now: &Self) -> impl Iterator<Item = &'a Path> {
        let points: BTreeSet<PathBuf> = now.points().map(Path::to_owned).collect();
        self.points().filter(move |point| !points.contains(*point))
    }

    /// Where something else is mounted than before, or something at all.
    pub(in crate::origin) fn new_since<'a>(
        &'a self,
        before: &Self,
    ) -> impl Iterator<Item = &'a Path> {
        let lines: BTreeSet<String> = before.all.iter().map(|one| one.line.clone()).collect();
        self.all
            .iter()
            .filter(move |one| !lines.contains(&one.line))
            .map(|one| one.point.as_path())
    }

    /// Every mount point.
    pub(in crate::origin) fn points(&self) -> impl Iterator<Item = &Path> {
        self.all.iter().map(|one| one.point.as_path())
    }

    /// What is mounted at, below or above a directory, as paths below it; what is above has its own,
    /// which is empty. Not what `/` is.
    pub(in crate::origin) fn names_below<'a>(
        &'a self,
        root: &'a Path,
    ) -> impl Iterator<Item = Vec<u8>> + 'a {
        self.points()
            .filter(|point| *point != Path::new("/"))
            .filter_map(|point| name_below(point, root))
    }

    /// Devices whose files may hold other bytes under the same times, once something else is mounted.
    pub(in crate::origin) fn fixed_devices(&self) -> BTreeSet<u64> {
        let fixed = self.all.iter().filter(|one| one.read_only);
        fixed.map(|one| one.device).collect()
    }

    /// Whether the files of a directory come from an overlay, but for the one that `/` is on: its lower
    /// filesystems may be such that can't be written.
    pub(in crate::origin) fn on_overlay(&self, directory: &Path) -> bool {
        let holds = |one: &&Mount| directory.starts_with(&one.point);
        // Of several at one place the last one listed is on top.
        let mut top: Option<&Mount> = None;
        for one in self.all.iter().filter(holds) {
            let longer = |top: &Mount| one.point.as_os_str().len() >= top.point.as_os_str().len();
            if top.is_none_or(longer) {
                top = Some(one);
            }
        }
        top.is_some_and(|one| one.kind == "overlay" && one.point != Path::new("/"))
    }
}

/// What the real directory `real` is called below the real directory `root`; where `root` lies in it,
/// that is the root itself, with an empty name.
pub(in crate::origin) fn name_below(real: &Path, root: &Path) -> Option<Vec<u8>> {
    if root.starts_with(real) {
        return Some(Vec::new());
    }
    let rest = real.strip_prefix(root).ok()?;
    Some(rest.as_os_str().as_bytes().to_vec())
}

fn mount(line: &str) -> Option<Mount> {
    let mut fields = line.split(' ');
    let device = fields.nth(2)?;
    let point = fields.nth(1)?;
    // Optional fields of any number end with a dash.
    let mut rest = fields.skip_while(|field| *field != "-").skip(1);
    let kind = rest.next()?.to_owned();
    let options = rest.nth(1).unwrap_or_default();
    let (major, minor) = device.split_once(':')?;
    Some(Mount {
        point: unescaped(point),
        device: rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?),
        kind,
        read_only: options.split(',').any(|option| option == "ro"),
        line: line.to_owned(),
    })
}

/// Space, tab, line end and backslash are written as three octal digits.
fn unescaped(text: &str) -> PathBuf {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = text.get(at + 1..at + 4).filter(|_| byte == b'\\');
        let octal = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(octal.unwrap_or(byte));
        at += if octal.is_some() { 4 } else { 1 };
    }
    PathBuf::from(OsStr::from_bytes(&plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
31 22 7:0 / /srv/a\\040b ro,relatime shared:4 master:2 - erofs /dev/loop0 ro,user_xattr
32 22 254:1 /x /srv/www ro,nosuid - ext4 /dev/vda1 rw,errors=remount-ro
33 22 0:41 / /srv/over rw - overlay overlay rw,lowerdir=/l
broken line";

    #[test]
    fn the_kernels_list_is_read_as_it_is_written() {
        let mounts = Mounts::parse(LIST.to_owned());
        let points: Vec<_> = mounts.points().collect();
        let expected = ["/", "/srv/a b", "/srv/www", "/srv/over"].map(Path::new);
        assert_eq!(points, expected);
        // A mount that may not be written through is not a filesystem that can't be written.
        let fixed = mounts.fixed_devices();
        assert_eq!(fixed, [rustix::fs::makedev(7, 0)].into());
        assert!(mounts.on_overlay(Path::new("/srv/over/site")));
        assert!(!mounts.on_overlay(Path::new("/srv/www")));
        assert!(!Mounts::now().all.is_empty());
    }

    #[test]
    fn what_went_and_what_is_another_is_found() {
        let before = Mounts::parse(LIST.to_owned());
        let text = LIST.replace("31 22 7:0", "40 22 7:1");
        let swapped = Mounts::parse(text);
        assert_eq!(before.gone(&swapped).count(), 0);
        let new: Vec<_> = swapped.new_since(&before).collect();
        assert_eq!(new, [Path::new("/srv/a b")]);
        let less = Mounts::parse(LIST.lines().take(1).collect());
        let gone: Vec<_> = before.gone(&less).collect();
        assert_eq!(gone, ["/srv/a b", "/srv/www", "/srv/over"].map(Path::new));
    }
}
