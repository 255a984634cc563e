//! The two databases of a state directory belong together: one epoch, one sequence, one API. What
//! does not belong is set aside, never overwritten, and the log says why.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::core::change::{PipelineId, Seq};

/// How a database came to be open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// It goes on.
    Continued,
    /// There was none.
    New,
    /// The one before is set aside, and this is a new one: why, for logs and history.
    Anew(String),
}

/// What the queue says of itself, for the index to hold itself against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The name of this queue; a new one has another.
    pub epoch: String,
    /// The last sequence number it gave.
    pub last: Seq,
    /// The last change of each origin's files that its history has forgotten: an index that ends before
    /// it can't be brought up to date from it.
    pub pruned: BTreeMap<(PipelineId, String), Seq>,
    /// How it came to be open.
    pub beginning: Beginning,
}

/// Renames a database with its journals to the first free `NAME.aside-N`, and returns that.
///
/// # Errors
/// When the directory can't be written.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let name = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let mut number = 1_u32;
    let mut aside = name(".aside-1");
    while aside.exists() {
        number += 1;
        aside = name(&format!(".aside-{number}"));
    }
    std::fs::rename(path, &aside)?;
    for journal in ["-wal", "-shm"] {
        match std::fs::rename(name(journal), name(&format!(".aside-{number}{journal}"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_keeps_its_bytes_and_takes_nothing_elses_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        for content in ["one", "two"] {
            std::fs::write(&path, content).unwrap();
            std::fs::write(directory.path().join("a.db-wal"), content).unwrap();
            let aside = set_aside(&path).unwrap();
            assert_eq!(std::fs::read_to_string(&aside).unwrap(), content);
        }
        assert!(!path.exists());
        let left = std::fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(left, 4);
    }
}
