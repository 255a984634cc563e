//! The key of a node: a random text in its state directory, which says in the database which node this is.
//!
//! It is a file of its own: where `index.db` is lost or set aside, the node is still the one whose changes
//! were noticed until then.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::store::{StoreError, Why};

/// The file in the state directory.
const FILE: &str = "node";

/// The key in a state directory, which is made when there is none.
///
/// # Errors
/// [`StoreError::Unusable`] when the file has something else, [`StoreError::Failed`] when it can't be read or
/// written.
pub(super) fn key(directory: &Path) -> Result<String, StoreError> {
    let path = directory.join(FILE);
    let failed = |error: io::Error| {
        let text = format!("{}: {error}", path.display());
        StoreError::Failed(Why::because(text, error))
    };
    let known = match std::fs::read(&path) {
        Ok(known) => known,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return make(directory).map_err(failed);
        }
        Err(error) => return Err(failed(error)),
    };
    let key = uuid::Uuid::parse_str(String::from_utf8_lossy(&known).trim()).map_err(|error| {
        let text = format!(
            "{} has no key of a node: {error}; remove it, and the next start makes one",
            path.display()
        );
        StoreError::Unusable(Why::because(text, error))
    })?;
    Ok(key.to_string())
}

/// Makes a key that is there as a whole or not at all, also after a power cut.
fn make(directory: &Path) -> io::Result<String> {
    let key = uuid::Uuid::new_v4().to_string();
    let new = directory.join("node.new");
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    writeln!(file, "{key}")?;
    file.sync_all()?;
    std::fs::rename(new, directory.join(FILE))?;
    File::open(directory)?.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_directory_keeps_its_key_and_each_has_another() {
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let first = key(one.path()).unwrap();
        assert_eq!(key(one.path()).unwrap(), first);
        assert_ne!(key(other.path()).unwrap(), first);
        std::fs::write(one.path().join(FILE), "").unwrap();
        let refused = key(one.path()).unwrap_err();
        assert!(matches!(refused, StoreError::Unusable(_)), "{refused}");
    }
}
