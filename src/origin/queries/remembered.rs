//! Which files an index remembers: to tell what an asset stands for, and what a glob matches.

use std::path::Path;

use crate::core::change::PipelineId;
use crate::core::time::Time;
use crate::origin::error::OriginError;
use crate::origin::index::Index;
use crate::origin::index::known::Confidence;

/// Rows read at once.
const PAGE: usize = 1_000;

/// Tells every file that is remembered of an origin, in the order of their paths, and since when it is
/// absent, beside a running daemon or without one. `false` when there is no complete index yet.
///
/// # Errors
/// When the index can't be read; and what `tell` fails with.
pub fn remembered<E: From<OriginError>>(
    state_dir: &Path,
    pipeline: &PipelineId,
    origin: &str,
    mut tell: impl FnMut(&[u8], Option<Time>) -> Result<(), E>,
) -> Result<bool, E> {
    let Some(index) = Index::read_of(state_dir, pipeline, origin).map_err(OriginError::from)?
    else {
        return Ok(false);
    };
    let mut after = Vec::new();
    loop {
        let rows = index.briefs(&after, false, None, PAGE);
        let rows = rows.map_err(OriginError::from)?;
        let Some(last) = rows.last() else {
            return Ok(true);
        };
        after.clone_from(&last.path);
        for row in rows {
            tell(&row.path, row.absent)?;
        }
    }
}

/// How many files are remembered of an origin; `None` when there is no complete index yet.
///
/// # Errors
/// When the index can't be read.
pub fn remembered_count(
    state_dir: &Path,
    pipeline: &PipelineId,
    origin: &str,
) -> Result<Option<u64>, OriginError> {
    let index = Index::read_of(state_dir, pipeline, origin)?;
    Ok(index.map(|index| index.files()).transpose()?)
}

/// What an index remembers of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Since when it is absent, and not taken for gone yet.
    pub absent: Option<Time>,
    /// Whether its content is known.
    pub read: bool,
}

/// What is remembered of one file; `None` where that is nothing.
///
/// # Errors
/// When the index can't be read.
pub fn remembered_file(
    state_dir: &Path,
    pipeline: &PipelineId,
    origin: &str,
    path: &[u8],
) -> Result<Option<Remembered>, OriginError> {
    let Some(index) = Index::read_of(state_dir, pipeline, origin)? else {
        return Ok(None);
    };
    let row = index.get(path)?;
    Ok(row.map(|row| Remembered {
        absent: row.entry.absent,
        read: row.entry.known != Confidence::Unread,
    }))
}

/// What leaves a path out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// The pattern, in gitignore syntax.
    pub pattern: String,
    /// Whether it is on the built-in list, and not in the settings.
    pub built_in: bool,
    /// What it matches: the path, or a directory above it.
    pub matched: Vec<u8>,
}

/// What in an origin's settings leaves a path below its root out, if it is left out.
///
/// # Errors
/// When a pattern is no gitignore syntax.
pub fn ignored_by(
    patterns: &[String],
    path: &[u8],
    is_dir: bool,
) -> Result<Option<Ignored>, OriginError> {
    let ignore = crate::origin::tree::ignore::Ignore::new(patterns)?;
    Ok(ignore.by(path, is_dir).map(|by| Ignored {
        pattern: by.pattern.to_owned(),
        built_in: by.built_in,
        matched: by.matched.to_vec(),
    }))
}
