//! The lock of a state directory: one process at a time.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::store::{StoreError, Why};

/// Holds the lock while it lives. The kernel lets go of it when the process ends, however it does.
#[derive(Debug)]
pub(in crate::store) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // To close the file would not do: a child that is being started has a copy of it until it has become
        // another program, and this process may take the lock again at once.
        flock(&self.0, FlockOperation::Unlock).unwrap_or_default();
    }
}

impl Lock {
    /// Makes the directory if need be, and takes its lock.
    pub(in crate::store) fn take(directory: &Path) -> Result<Self, StoreError> {
        let shown = directory.display();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| {
                let text = format!(
                    "the state directory {shown} can't be made: {error}; make it, owned by the \
                     user that edgepurge runs as, or set state.directory"
                );
                StoreError::Failed(Why::because(text, error))
            })?;
        let path = directory.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| {
                let text = format!(
                    "{} can't be opened: {error}; edgepurge has to run as the user that owns \
                     the state directory",
                    path.display()
                );
                StoreError::Failed(Why::because(text, error))
            })?;
        if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            let mut pid = String::new();
            drop(file.read_to_string(&mut pid));
            let pid = pid.trim();
            let text = format!(
                "the state directory {shown} is in use by another edgepurge, process {}: {error}; \
                 stop that one first, or give this one a state.directory of its own",
                if pid.is_empty() { "unknown" } else { pid }
            );
            return Err(StoreError::Locked(Why::because(text, error)));
        }
        let pid = std::process::id();
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{pid}"))
            .map_err(|error| {
                let text = format!("{} can't be written: {error}", path.display());
                StoreError::Failed(Why::because(text, error))
            })?;
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_free_when_it_is_dropped_while_a_child_has_a_copy_of_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let lock = Lock::take(directory.path()).unwrap();
        let copy = lock.0.try_clone().unwrap();
        let second = Lock::take(directory.path());
        assert!(matches!(second, Err(StoreError::Locked(_))), "{second:?}");
        drop(lock);
        Lock::take(directory.path()).unwrap();
        drop(copy);
    }
}
