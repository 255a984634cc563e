//! From a key to a path of the origin. A key that no URL leads to for sure is refused, and never guessed.

/// Why a key is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// It does not begin with the prefix that was asked for: the listing is of something else.
    #[error("it does not begin with the prefix")]
    Foreign,
    /// It is empty, begins or ends with a slash, or has two in a row: a marker of a folder, or a key whose URL
    /// servers and browsers read in different ways.
    #[error("it begins or ends with a slash, or has two in a row")]
    Slashes,
    /// A part of it is `.` or `..`, which a URL can't have.
    #[error("a part of it is . or ..")]
    Dots,
}

/// The path below the prefix of a bucket that a key is.
pub(super) fn path_of<'k>(prefix: &str, key: &'k str) -> Result<&'k [u8], Refused> {
    let path = key.strip_prefix(prefix).ok_or(Refused::Foreign)?;
    let mut parts = path.split('/');
    if parts.clone().any(str::is_empty) {
        return Err(Refused::Slashes);
    }
    if parts.any(|part| part == "." || part == "..") {
        return Err(Refused::Dots);
    }
    Ok(path.as_bytes())
}

/// The path that a key is; `None` where it does not begin with the prefix.
///
/// # Errors
/// Why it is left out, in words.
#[must_use]
pub fn path_of_key<'k>(prefix: &str, key: &'k str) -> Option<Result<&'k [u8], String>> {
    match path_of(prefix, key) {
        Err(Refused::Foreign) => None,
        path => Some(path.map_err(|why| why.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_no_url_leads_to_for_sure_is_refused() {
        for key in ["a", "a/b.html", "é/ü", "a\nb", "a b+c", "...", "a/.b/c.."] {
            assert_eq!(path_of("", key), Ok(key.as_bytes()), "{key:?}");
        }
        for key in ["", "/", "/a", "a/", "a//b", "//"] {
            assert_eq!(path_of("", key), Err(Refused::Slashes), "{key:?}");
        }
        for key in ["..", "a/../b", "./a", "a/."] {
            assert_eq!(path_of("", key), Err(Refused::Dots), "{key:?}");
        }
    }

    #[test]
    fn a_path_is_what_follows_the_prefix() {
        assert_eq!(path_of("site/", "site/a/b"), Ok(&b"a/b"[..]));
        assert_eq!(path_of("site/", "site/"), Err(Refused::Slashes));
        assert_eq!(path_of("site/", "other/a"), Err(Refused::Foreign));
    }
}
