//! The built-in table: at which URLs a file answers when no rule says so.

use std::collections::BTreeSet;

use super::Pages;
use crate::core::asset::Asset;

/// Names that stand for their directory.
const INDEX: [&[u8]; 3] = [b"index.html", b"index.htm", b"index.xhtml"];
/// Endings that a clean URL leaves out.
const PAGE: [&[u8]; 3] = [b".html", b".htm", b".xhtml"];
/// Endings of precompressed siblings.
const COMPRESSED: [&[u8]; 3] = [b".gz", b".br", b".zst"];

/// The assets of a path below an origin's root.
pub(super) fn assets(pages: Pages, url_prefix: &str, path: &[u8]) -> BTreeSet<Asset> {
    let mut assets = BTreeSet::new();
    // A sibling stands for its base file; and for itself, since `dump.sql.gz` has no base and is
    // fetched under its own name.
    for name in [Some(path), base_of_compressed(path)].into_iter().flatten() {
        add(pages, &served(url_prefix, name), &mut assets);
    }
    assets
}

fn served(url_prefix: &str, path: &[u8]) -> Vec<u8> {
    let mut served = percent_encoding::percent_decode_str(url_prefix).collect::<Vec<u8>>();
    served.extend_from_slice(path);
    served
}

fn add(pages: Pages, served: &[u8], assets: &mut BTreeSet<Asset>) {
    assets.insert(Asset::of_path(served));
    if pages == Pages::Exact {
        return;
    }
    let cut = served
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1);
    let (directory, name) = served.split_at(cut);
    if INDEX.contains(&name) {
        assets.insert(Asset::of_path(directory));
        let bare = directory.strip_suffix(b"/").unwrap_or(directory);
        assets.insert(Asset::of_path(bare));
    } else if pages == Pages::Clean
        && let Some(stem) = PAGE.iter().find_map(|ending| name.strip_suffix(*ending))
        && !stem.is_empty()
    {
        let mut clean = [directory, stem].concat();
        assets.insert(Asset::of_path(&clean));
        clean.push(b'/');
        assets.insert(Asset::of_path(&clean));
    }
}

fn base_of_compressed(path: &[u8]) -> Option<&[u8]> {
    let base = COMPRESSED
        .iter()
        .find_map(|ending| path.strip_suffix(*ending))?;
    (!base.is_empty() && !base.ends_with(b"/")).then_some(base)
}
