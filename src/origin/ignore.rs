//! Which paths below a root are none of the edge's business: temporaries of editors and transfer
//! tools, hidden files, and what the user lists. Pure; asks no filesystem.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::OriginError;

/// What is ignored unless the user takes it back with `!`: lines of gitignore syntax, as if they
/// stood before the user's. Each that ignores is a head, a `*` and a tail, or
/// a whole name.
///
/// A name belongs here only if no tool gives it to a file that is meant to be served. What an editor
/// makes and removes at once, as vim its `4913`, needs no line: it is gone before anything looks.
const BUILT_IN: [&str; 21] = [
    // Backups and locks of editors and office suites.
    "*~",
    "\\#*#",
    "~$*",
    "*.swp",
    "*.swx",
    // Files that are still being transferred or unpacked, by many tools; WinSCP, rclone, browsers,
    // aria2, lftp, FreeFileSync, Resilio, dpkg.
    "*.tmp",
    "*.part",
    "*.filepart",
    "*.partial",
    "*.crdownload",
    "*.opdownload",
    "*.aria2",
    "*.lftp-pget-status",
    "*.ffs_tmp",
    "*.!sync",
    "*.dpkg-new",
    "*.dpkg-tmp",
    // A directory of such a name holds files like any other.
    "!*/",
    // What is hidden, directories too: `.git`, rsync's `.name.XXXXXX` and `.~tmp~`, `.name.swp`,
    // `.#name`, Kubernetes' `..data`.
    ".*",
    "!.well-known",
    // Of root alone, at the top of a volume.
    "lost+found",
];

/// The built-in list and the user's patterns.
#[derive(Debug)]
pub(super) struct Ignore {
    built_in: Gitignore,
    /// What names on the built-in list end with, by its last byte; and the bytes that the others begin
    /// with. So few names are matched at all.
    ends: [Vec<&'static [u8]>; 256],
    begins: [bool; 256],
    user: Gitignore,
}

/// What ignores a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct IgnoredBy<'a> {
    /// The pattern as written.
    pub(super) pattern: &'a str,
    /// Whether it is on the built-in list.
    pub(super) built_in: bool,
    /// What it matches: the path, or a directory above it.
    pub(super) matched: &'a [u8],
}

impl Ignore {
    pub(super) fn new(patterns: &[String]) -> Result<Self, OriginError> {
        let (mut ends, mut begins) = ([const { Vec::new() }; 256], [false; 256]);
        for line in BUILT_IN.iter().filter(|line| !line.starts_with('!')) {
            let end = line.rsplit('*').next().unwrap_or_default().as_bytes();
            match (end.last(), line.bytes().next()) {
                (Some(last), _) => ends[usize::from(*last)].push(end),
                (None, Some(first)) => begins[usize::from(first)] = true,
                (None, None) => {}
            }
        }
        Ok(Self {
            built_in: matcher(&BUILT_IN)?,
            ends,
            begins,
            user: matcher(patterns)?,
        })
    }

    /// Whether the path, or a directory above it, is ignored. `path` is relative to the root.
    pub(super) fn matches(&self, path: &[u8], is_dir: bool) -> bool {
        self.by(path, is_dir).is_some()
    }

    /// What ignores the path, or the first directory above it that is ignored: nothing below that
    /// is ever seen, so that no pattern takes it back.
    pub(super) fn by<'a>(&'a self, path: &'a [u8], is_dir: bool) -> Option<IgnoredBy<'a>> {
        let mut start = 0;
        while start < path.len() {
            let rest = &path[start..];
            let length = rest.iter().position(|&byte| byte == b'/');
            let end = start + length.unwrap_or(rest.len());
            let found = self.one(&path[..end], start, length.is_some() || is_dir);
            if found.is_some() {
                return found;
            }
            start = end + 1;
        }
        None
    }

    /// What ignores the path itself, whose name starts at `name_at`.
    fn one<'a>(&'a self, path: &'a [u8], name_at: usize, is_dir: bool) -> Option<IgnoredBy<'a>> {
        let as_path = Path::new(OsStr::from_bytes(path));
        let by = |glob: &'a ignore::gitignore::Glob, built_in| IgnoredBy {
            pattern: glob.original(),
            built_in,
            matched: path,
        };
        if !self.user.is_empty() {
            match self.user.matched(as_path, is_dir) {
                Match::Ignore(glob) => return Some(by(glob, false)),
                Match::Whitelist(_) => return None,
                Match::None => {}
            }
        }
        if !self.is_suspicious(&path[name_at..]) {
            return None;
        }
        match self.built_in.matched(as_path, is_dir) {
            Match::Ignore(glob) => Some(by(glob, true)),
            Match::Whitelist(_) | Match::None => None,
        }
    }

    fn is_suspicious(&self, name: &[u8]) -> bool {
        let (Some(first), Some(last)) = (name.first(), name.last()) else {
            return false;
        };
        let mut ends = self.ends[usize::from(*last)].iter();
        self.begins[usize::from(*first)] || ends.any(|end| name.ends_with(end))
    }
}

fn matcher(patterns: &[impl AsRef<str>]) -> Result<Gitignore, OriginError> {
    let refused = |pattern: &str, why: String| OriginError::Ignore {
        pattern: pattern.to_owned(),
        why,
    };
    let mut builder = GitignoreBuilder::new("");
    // git takes `a[` as it stands; in a configuration it is a slip of the pen.
    builder.allow_unclosed_class(false);
    for pattern in patterns {
        let pattern = pattern.as_ref();
        builder
            .add_line(None, pattern)
            .map_err(|error| refused(pattern, error.to_string()))?;
    }
    builder.build().map_err(|error| {
        let all: Vec<&str> = patterns.iter().map(AsRef::as_ref).collect();
        refused(&all.join(" "), error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ignore(patterns: &[&str]) -> Ignore {
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        Ignore::new(&patterns).unwrap()
    }

    #[test]
    fn temporaries_are_ignored_and_pages_are_not() {
        let ignore = ignore(&[]);
        for path in [
            ".git/index",
            "a/.f.html.Xy12Zq",
            ".~tmp~/f",
            "a.html~",
            ".a.swp",
            ".#a",
            "#a.html#",
            "~$prices.xlsx",
            "x.part",
            "x.tmp",
            "film.mp4.filepart",
            "a/film.mp4.Zb3kQ01x.partial",
            "x.iso.aria2",
            "x.html.dpkg-new",
            "lost+found/x",
            "..data/x",
        ] {
            assert!(ignore.matches(path.as_bytes(), false), "{path}");
        }
        for path in [
            "",
            "index.html",
            ".well-known/security.txt",
            "a/b.c/d",
            "#1.html",
            "4913",
            "#123",
            "~user/a",
            "x.tmpl",
            "partial",
        ] {
            assert!(!ignore.matches(path.as_bytes(), false), "{path}");
        }
    }

    #[test]
    fn a_directory_named_as_a_temporary_file_counts_and_a_hidden_one_does_not() {
        let ignore = ignore(&[]);
        for dir in [
            "4913",
            "a/4913",
            "#77",
            "old~",
            "v1.tmp",
            "disc.part",
            "#a#",
            "~$x",
        ] {
            assert!(!ignore.matches(dir.as_bytes(), true), "{dir}");
            let page = format!("{dir}/index.html");
            assert!(!ignore.matches(page.as_bytes(), false), "{page}");
            let temporary = format!("{dir}/x.tmp");
            assert!(ignore.matches(temporary.as_bytes(), false), "{temporary}");
        }
        for dir in [".git", "a/.cache", "..data", ".tmp"] {
            assert!(ignore.matches(dir.as_bytes(), true), "{dir}");
        }
    }

    #[test]
    fn the_user_takes_back_what_is_built_in_and_never_what_lies_in_an_ignored_directory() {
        let ignore = ignore(&["!*.part", "!/.config/", "!.htaccess", ".config/secret/"]);
        for path in ["a/disc.part", ".config/app.json", "a/.htaccess"] {
            assert!(!ignore.matches(path.as_bytes(), false), "{path}");
        }
        for path in [
            "a.tmp",
            ".git/a.part",
            "x/.config/a",
            ".config/secret/a.part",
        ] {
            assert!(ignore.matches(path.as_bytes(), false), "{path}");
        }
    }

    #[test]
    fn what_ignores_a_path_is_named() {
        let ignore = ignore(&["*.map", "/drafts/"]);
        let by = |path: &'static str| {
            let by = ignore.by(path.as_bytes(), false).unwrap();
            let matched = String::from_utf8(by.matched.to_vec()).unwrap();
            (by.pattern.to_owned(), by.built_in, matched)
        };
        let expected = |pattern: &str, built_in, matched: &str| {
            (pattern.to_owned(), built_in, matched.to_owned())
        };
        assert_eq!(by("a/b.map"), expected("*.map", false, "a/b.map"));
        assert_eq!(by("drafts/x/y"), expected("/drafts/", false, "drafts"));
        assert_eq!(by("a/.git/x/y"), expected(".*", true, "a/.git"));
        assert_eq!(by("a/x~"), expected("*~", true, "a/x~"));
    }

    #[test]
    fn the_users_patterns_speak_gitignore() {
        let ignore = ignore(&["*.map", "/drafts/", "!keep.map"]);
        assert!(ignore.matches(b"js/app.map", false));
        assert!(!ignore.matches(b"js/keep.map", false));
        assert!(ignore.matches(b"drafts/a.html", false));
        assert!(!ignore.matches(b"blog/drafts/a.html", false));
        assert!(ignore.matches(b"drafts", true));
        assert!(!ignore.matches(b"drafts", false));
    }

    #[test]
    fn a_broken_pattern_is_refused_by_name() {
        let error = Ignore::new(&["a[".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("a["), "{error}");
    }

    #[test]
    fn the_documents_name_the_whole_list() {
        for document in [
            include_str!("../../docs/urls.md"),
            include_str!("../../config.example.toml"),
        ] {
            let words: Vec<&str> = document.split([' ', '`', ',', '\n', ')']).collect();
            for line in BUILT_IN.iter().filter(|line| **line != "!*/") {
                let name = line.replace('\\', "");
                assert!(words.contains(&name.as_str()), "{name}");
            }
        }
    }

    proptest! {
        /// The names that are not matched at all, for speed, would match nothing.
        #[test]
        fn no_name_escapes_the_built_in_list(
            name in "[.~#$a-c]{0,2}[a-z~#.]{0,3}(\\.(tmp|part|partial|!sync|swp|aria2|dpkg-new|html))?[~#]?",
            is_dir in any::<bool>(),
        ) {
            let ignore = ignore(&[]);
            let whole = ignore.built_in.matched(Path::new(&name), is_dir).is_ignore();
            prop_assert_eq!(!name.is_empty() && whole, ignore.matches(name.as_bytes(), is_dir));
        }
    }
}
