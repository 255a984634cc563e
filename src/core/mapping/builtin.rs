//! The built-in mapping: the URLs of a file where no rule matches. The table of the user documentation,
//! and nothing else.
//!
//! A compressed file purges its base's URLs and its own, whether the base is there or not: a server sends
//! `list.gz` for `/list` to a client that accepts it, and for `/list.gz` to a client that asks for that, as
//! package managers do.

use super::{Pages, UrlPrefix};
use crate::core::asset::{Asset, AssetError};

/// The names that a directory's own page has.
const INDEX_NAMES: [&[u8]; 3] = [b"index.html", b"index.htm", b"index.xhtml"];

/// What a server adds to the name of a file that it keeps compressed beside the original.
const COMPRESSED: [&[u8]; 3] = [b".gz", b".br", b".zst"];

/// The assets of a file below `prefix`. A spelling that no request can have is an error of its
/// own; the others stand.
pub(super) fn assets(
    prefix: &UrlPrefix,
    path: &[u8],
    pages: Pages,
) -> Vec<Result<Asset, AssetError>> {
    let mut assets = vec![prefix.asset(path)];
    let (directory, name) = split_name(path);
    let is_index = INDEX_NAMES.contains(&name);
    if is_index && pages != Pages::Exact {
        assets.push(prefix.asset(directory));
        assets.extend(prefix.bare(directory));
    }
    if pages == Pages::Clean
        && name != b".html"
        && let Some(page) = path.strip_suffix(b".html")
    {
        // Servers that drop an extension from URLs drop this one only.
        assets.push(prefix.asset(page));
        if !is_index {
            assets.push(prefix.asset(&[page, b"/"].concat()));
        }
    }
    assets
}

/// Those of them that are of no other file: its name's, and that of a directory which it is the page
/// of.
pub(super) fn own(prefix: &UrlPrefix, path: &[u8], pages: Pages) -> Vec<Result<Asset, AssetError>> {
    let (directory, name) = split_name(path);
    let mut own = vec![prefix.asset(path)];
    if INDEX_NAMES.contains(&name) && pages != Pages::Exact {
        own.push(prefix.asset(directory));
    }
    own
}

/// The path of the file that `path` is a compressed copy of, if its name says that it is one.
pub(super) fn base_of(path: &[u8]) -> Option<&[u8]> {
    let base = COMPRESSED
        .iter()
        .find_map(|suffix| path.strip_suffix(*suffix))?;
    (!split_name(base).1.is_empty()).then_some(base)
}

/// A path as its directory, with the last `/`, and its name.
pub(super) fn split_name(path: &[u8]) -> (&[u8], &[u8]) {
    let name_at = path
        .iter()
        .rposition(|&byte| byte == b'/')
        .map_or(0, |at| at + 1);
    path.split_at(name_at)
}
