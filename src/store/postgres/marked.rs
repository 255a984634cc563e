//! The mark of a node's last commit, in its state directory: it shows the next start whether the database still
//! has what this process was answered.
//!
//! It is not in `index.db`: the writer's thread writes it before any answer of the commit is given, and so waits
//! for nothing. It is not synced, since it has to outlive the process, and not the machine.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::core::ring::Mark;
use crate::store::marks::MarkFile;
use crate::store::{StoreError, Why};

/// The file in the state directory.
const FILE: &str = "node.mark";
/// What a number and a mark take at most, with what separates them.
const LENGTH: usize = 48;

/// The file with the mark.
pub(super) struct Marked {
    file: File,
    is_broken: Cell<bool>,
}

impl Marked {
    /// Opens it, and makes it where there is none.
    pub(super) fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        let mut options = File::options();
        options.read(true).write(true).create(true).mode(0o600);
        let file = options.truncate(false).open(&path).map_err(|error| {
            let text = format!("{}: {error}", path.display());
            StoreError::Failed(Why::because(text, error))
        })?;
        Ok(Self {
            file,
            is_broken: Cell::new(false),
        })
    }
}

impl MarkFile for Marked {
    fn read(&self) -> Option<Mark> {
        let mut text = [0; LENGTH];
        self.file.read_exact_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(&text).ok()?;
        let (n, mark) = text.trim_end().split_once(' ')?;
        Some(Mark {
            n: n.parse().ok()?,
            mark: Some(mark.parse().ok()?),
        })
    }

    fn keep(&self, mark: Mark) {
        let text = format!("{} {}", mark.n, mark.mark.unwrap_or_default());
        let kept: io::Result<()> = self
            .file
            .write_all_at(format!("{text:<LENGTH$}").as_bytes(), 0);
        let was_broken = self.is_broken.replace(kept.is_err());
        if let Err(error) = kept
            && !was_broken
        {
            tracing::warn!(
                "{FILE} in the state directory can't be written: {error}; if PostgreSQL forgets commits while this \
                 node does not run, its next start does not notice; mend the disk"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mark_is_there_for_the_next_process() {
        let directory = tempfile::tempdir().unwrap();
        let marked = Marked::open(directory.path()).unwrap();
        assert_eq!(marked.read(), None);
        for mark in [i64::MIN, 7] {
            let mark = Mark::NONE.next(mark);
            marked.keep(mark);
            let next = Marked::open(directory.path()).unwrap();
            assert_eq!(next.read(), Some(mark));
        }
    }
}
