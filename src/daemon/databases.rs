//! What the daemon keeps its work in: the database or the file of the queue, the index beside it, and the clock whose
//! times stand in the queue.

use std::sync::Arc;

use super::{StartError, settings};
use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::core::change::PipelineId;
use crate::core::drift::Reading;
use crate::origin::Index;
use crate::store::{Database, Store, StoreError, StoreSettings, survey};
use crate::supervise::Supervisor;

/// How often the time of the database's machine is read at a start.
const READINGS: usize = 3;

/// The clock, which a reload does not start again. Nodes that share a queue go by the clock of its database's machine,
/// so that the times in it are those of one clock. Of a few readings the quickest is the most exact: the first may
/// have to connect.
pub(super) async fn started_clock(
    started: Option<Clock>,
    store: &Store,
) -> Result<Clock, StoreError> {
    if let Some(clock) = started {
        return Ok(clock);
    }
    let mut best: Option<(Reading, Clock)> = None;
    for _ in 0..READINGS {
        let Some(reading) = store.time().await? else {
            return Ok(Clock::start());
        };
        if best.is_none_or(|(best, _)| reading.took < best.took) {
            best = Some((reading, Clock::showing(reading.now())));
        }
    }
    Ok(best.map_or_else(Clock::start, |(_, clock)| clock))
}

/// The database that has the queue, if one has, once it has been asked whether it can. One that refuses the login may take
/// it later: a new password comes to server and file one after the other.
pub(super) async fn fit_database(
    config: &Config,
    environment: &Environment,
) -> Result<Option<Database>, StartError> {
    let database = settings::database(config, environment).map_err(StartError::Config)?;
    match (&database, &config.state.node) {
        (Some(database), _) => match survey(database).await {
            Ok(survey) if survey.problems.is_empty() => {}
            Ok(survey) => return Err(StartError::Config(survey.problems.join("\n"))),
            Err(error) => return Err(StartError::Temporary(error.to_string())),
        },
        (None, Some(node)) => {
            return Err(StartError::Config(format!(
                "state.node: {node:?} is of no use without a database that nodes share: set database_url_file or the \
                 credential database_url, or remove the line"
            )));
        }
        (None, None) => {}
    }
    Ok(database)
}

/// Opens the queue, and the index that belongs to it.
pub(super) fn open_databases(
    config: &Config,
    database: Option<Database>,
    supervisor: &Supervisor,
) -> Result<(Arc<Store>, Arc<Index>), StartError> {
    let settings = StoreSettings {
        directory: config.state.directory.clone(),
        api_url: config.scaleway.api_url.as_str().to_owned(),
        database,
    };
    let store = Store::open(&settings, supervisor)?;
    let ids: Vec<PipelineId> = config.pipelines.iter().map(|p| p.id.clone()).collect();
    let index = Index::open(&config.state.directory, store.lineage(), &ids)
        .map_err(|error| StartError::Temporary(error.to_string()))?;
    Ok((Arc::new(store), Arc::new(index)))
}
