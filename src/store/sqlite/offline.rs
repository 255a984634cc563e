//! Reading the history while no daemon runs.

use std::path::Path;

use super::schema;
use crate::core::asset::Asset;
use crate::core::change::PipelineId;
use crate::store::calls::asset;
use crate::store::{AssetHistory, StoreError};

/// The history of an asset, read from a state directory; `None` when nothing is there.
///
/// # Errors
/// When the database can't be read, or is of another version than this program's.
pub fn history_of(
    directory: &Path,
    pipeline: &PipelineId,
    of: &Asset,
    limit: usize,
) -> Result<Option<AssetHistory>, StoreError> {
    let path = directory.join("queue.db");
    if !path.exists() {
        return Ok(None);
    }
    let connection = schema::open_reader(&path)?;
    schema::check_version(&connection, &path)?;
    asset::history(&connection, pipeline, of, limit).map(Some)
}
