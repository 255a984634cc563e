//! Where a unit's credentials are copied from, as its files say. Only a message bus could
//! ask systemd itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where units are, the first wins.
const UNITS: [&str; 5] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
/// Where a credential that is given by name is looked for.
const STORES: [&str; 4] = [
    "etc/credstore",
    "run/credstore",
    "usr/local/lib/credstore",
    "usr/lib/credstore",
];

/// What a credential is a copy of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// The copy is decrypted, and so differs from it.
    pub(super) encrypted: bool,
}

/// The sources of a unit's credentials by their names, with `root` for `/`. Those that its files do not name as
/// a plain path are left out.
pub(super) fn of_unit(unit: &str, root: &Path) -> BTreeMap<String, Source> {
    let mut sources = BTreeMap::new();
    let fragment = UNITS.iter().map(|place| root.join(place).join(unit));
    let fragment = fragment.into_iter().find(|path| path.is_file());
    for path in fragment.into_iter().chain(drop_ins(unit, root)) {
        let text = fs::read_to_string(path).unwrap_or_default();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let encrypted = match key.trim() {
                "LoadCredential" => false,
                "LoadCredentialEncrypted" => true,
                _ => continue,
            };
            let value = value.trim();
            if value.is_empty() {
                sources.retain(|_, source: &mut Source| source.encrypted != encrypted);
                continue;
            }
            let (name, path) = value.split_once(':').unwrap_or((value, value));
            match found(path, encrypted, root) {
                Some(path) => sources.insert(name.to_owned(), Source { path, encrypted }),
                None => sources.remove(name),
            };
        }
    }
    sources
}

/// The drop-ins of a unit in the order in which they count: by name, whatever their directory.
fn drop_ins(unit: &str, root: &Path) -> Vec<PathBuf> {
    let mut found = BTreeMap::new();
    for place in UNITS.iter().rev() {
        let directory = root.join(place).join(format!("{unit}.d"));
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|end| end == "conf") {
                found.insert(entry.file_name(), entry.path());
            }
        }
    }
    found.into_values().collect()
}

/// The file that a path in a unit means; `None` where that takes more than looking.
fn found(path: &str, encrypted: bool, root: &Path) -> Option<PathBuf> {
    if path.contains('%') {
        return None;
    }
    if let Some(path) = path.strip_prefix('/') {
        return Some(root.join(path));
    }
    let end = if encrypted { ".encrypted" } else { "" };
    let stores = STORES.iter().map(|store| format!("{store}{end}"));
    let mut stores = stores.map(|store| root.join(store).join(path));
    stores.find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str = "edgepurge.service";

    fn put(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_unit_and_its_drop_ins_say_where_a_credential_is_from() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        put(root, "etc/credstore/edgepurge.key", "x");
        put(
            root,
            "usr/lib/systemd/system/edgepurge.service",
            "[Service]\nLoadCredential=ignored:/else\n",
        );
        put(
            root,
            "etc/systemd/system/edgepurge.service",
            "[Service]\nLoadCredential=scw_secret_key:edgepurge.key\n#LoadCredential=no:/no\nLoadCredential=old:/old\n",
        );
        put(
            root,
            "etc/systemd/system/edgepurge.service.d/20-mine.conf",
            "[Service]\nLoadCredential = gh:/etc/edgepurge/gh\nLoadCredential=host:/etc/%H\nLoadCredential=gone:gone\n\
             LoadCredentialEncrypted=sealed:/etc/sealed\n",
        );
        put(
            root,
            "run/systemd/system/edgepurge.service.d/10-first.conf",
            "[Service]\nLoadCredential=gh:/first\n",
        );
        put(
            root,
            "run/systemd/system/edgepurge.service.d/30-not.bak",
            "[Service]\nLoadCredential=\n",
        );
        let found = of_unit(UNIT, root);
        let plain = |path: &str| Source {
            path: root.join(path),
            encrypted: false,
        };
        assert_eq!(
            found["scw_secret_key"],
            plain("etc/credstore/edgepurge.key")
        );
        assert_eq!(found["gh"], plain("etc/edgepurge/gh"));
        assert!(found["sealed"].encrypted);
        let names: Vec<&String> = found.keys().collect();
        assert_eq!(names, ["gh", "old", "scw_secret_key", "sealed"]);

        put(
            root,
            "etc/systemd/system/edgepurge.service.d/30-other.conf",
            "[Service]\nLoadCredential=\nLoadCredential=gh:/other\n",
        );
        let found = of_unit(UNIT, root);
        let names: Vec<&String> = found.keys().collect();
        assert_eq!(names, ["gh", "sealed"]);
        assert_eq!(found["gh"], plain("other"));
    }

    #[test]
    fn without_a_unit_nothing_is_known() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(of_unit(UNIT, root.path()), BTreeMap::new());
    }
}
