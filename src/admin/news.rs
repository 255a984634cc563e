//! The streams of the status send it anew when one of these changes: the engine, the store, an origin, a reload, an agreement.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, select_all};
use tokio::sync::watch;

use super::Admin;
use crate::core::change::Seq;
use crate::origin::OriginStatus;

/// Waits until something that the status shows may have changed.
pub(crate) struct News {
    turned: watch::Receiver<()>,
    reloads: watch::Receiver<Option<String>>,
    changes: watch::Receiver<Seq>,
    agreements: watch::Receiver<()>,
    /// Where the store is on a server.
    away: Option<watch::Receiver<Option<Arc<str>>>>,
    origins: Vec<watch::Receiver<OriginStatus>>,
}

impl News {
    /// News of all that runs.
    pub(crate) fn of(admin: &Admin) -> Self {
        let origins = admin.pipelines.values().flat_map(|one| &one.origins);
        Self {
            turned: admin.engine.turned(),
            reloads: admin.reloads.subscribe(),
            changes: admin.store.subscribe(),
            agreements: admin.agreements.subscribe(),
            away: admin.store.subscribe_away(),
            origins: origins.map(|(_, origin)| origin.subscribe()).collect(),
        }
    }

    /// Waits for the next; `at_least` is the longest wait, for what wakes nothing.
    pub(crate) async fn next(&mut self, at_least: Duration) {
        // Where a source has ended, the process stops, and so does who waits.
        let mut sources: Vec<BoxFuture<'_, _>> = vec![
            self.turned.changed().boxed(),
            self.reloads.changed().boxed(),
            self.changes.changed().boxed(),
            self.agreements.changed().boxed(),
        ];
        let away = self.away.iter_mut();
        sources.extend(away.map(|away| away.changed().boxed()));
        let origins = self.origins.iter_mut();
        sources.extend(origins.map(|origin| origin.changed().boxed()));
        drop(tokio::time::timeout(at_least, select_all(sources)).await);
    }
}
