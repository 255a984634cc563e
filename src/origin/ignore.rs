//! Which paths below a root are none of the edge's business: temporaries of editors and transfer
//! tools, hidden files, and what the user lists. Pure; asks no filesystem.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::OriginError;

/// The built-in list and the user's patterns.
#[derive(Debug)]
pub(super) struct Ignore {
    user: Gitignore,
}

impl Ignore {
    pub(super) fn new(patterns: &[String]) -> Result<Self, OriginError> {
        let refused = |pattern: &str, why: String| OriginError::Ignore {
            pattern: pattern.to_owned(),
            why,
        };
        let mut builder = GitignoreBuilder::new("");
        // git takes `a[` as it stands; in a configuration it is a slip of the pen.
        builder.allow_unclosed_class(false);
        for pattern in patterns {
            builder
                .add_line(None, pattern)
                .map_err(|error| refused(pattern, error.to_string()))?;
        }
        let user = builder
            .build()
            .map_err(|error| refused(&patterns.join(" "), error.to_string()))?;
        Ok(Self { user })
    }

    /// Whether the path, or a directory above it, is ignored. `path` is relative to the root.
    pub(super) fn matches(&self, path: &[u8], is_dir: bool) -> bool {
        if path.is_empty() {
            return false;
        }
        if path.split(|&byte| byte == b'/').any(built_in) {
            return true;
        }
        if self.user.is_empty() {
            return false;
        }
        self.user
            .matched_path_or_any_parents(Path::new(OsStr::from_bytes(path)), is_dir)
            .is_ignore()
    }
}

/// Whether one name is on the built-in list. Hidden names cover rsync's `.name.XXXXXX` and
/// `.~tmp~`, editors' `.#name` and `.name.swp`, `.git`, and Kubernetes' `..data`.
fn built_in(name: &[u8]) -> bool {
    let digits = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    match name {
        b".well-known" => false,
        // The last is of root alone, at the top of a volume.
        [b'.', ..] | [.., b'~'] | b"4913" | b"lost+found" => true,
        // What inotify calls a file that has no name yet (O_TMPFILE), and emacs' auto-save.
        [b'#', rest @ ..] if digits(rest) || rest.ends_with(b"#") => true,
        _ => [&b".swp"[..], b".swx", b".part", b".tmp", b".crdownload"]
            .iter()
            .any(|end| name.ends_with(end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporaries_are_ignored_and_pages_are_not() {
        let ignore = Ignore::new(&[]).unwrap();
        for path in [
            ".git/index",
            "a/.f.html.Xy12Zq",
            ".~tmp~/f",
            "a.html~",
            ".a.swp",
            "4913",
            ".#a",
            "x.part",
            "x.tmp",
            "#10299953",
            "lost+found/#12",
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
            "49130",
        ] {
            assert!(!ignore.matches(path.as_bytes(), false), "{path}");
        }
    }

    #[test]
    fn the_users_patterns_speak_gitignore() {
        let patterns = ["*.map", "/drafts/", "!keep.map"].map(str::to_owned);
        let ignore = Ignore::new(&patterns).unwrap();
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
}
