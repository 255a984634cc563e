//! What only the leader runs: the engine, the release of deliveries, what follows on purges, and the end of
//! old history. All of it works by one term of the store ([`Desk`]), as a unit that can be stopped by itself.
//! The rest of the daemon is every node's.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

use super::settings;
use crate::admin::AdminPipeline;
use crate::config::Config;
use crate::core::change::{PipelineId, Seq};
use crate::core::lease::Term;
use crate::engine::{Caller, Ended, Engine, KeyReader, Looks, Seat};
use crate::fleet::{self, FleetHandle, Lead};
use crate::jobs::{self, JobError};
use crate::origin::OriginHandle;
use crate::scaleway::Client;
use crate::store::{Desk, StoreError};
use crate::supervise::{Fault, Supervisor};

/// What a leader works with, beside its desk.
#[derive(Clone)]
pub(super) struct Leader {
    pub(super) config: Config,
    pub(super) parts: jobs::Parts,
    pub(super) client: Arc<Client>,
    pub(super) key: Option<KeyReader>,
    pub(super) supervisor: Supervisor,
}

impl Leader {
    /// Leads in this seat, or, without one, in turn with other nodes. Changes up to `history` are not news.
    pub(super) async fn start(
        self,
        seat: Option<Seat>,
        history: Seq,
    ) -> Result<Option<FleetHandle>, JobError> {
        let (store, supervisor) = (Arc::clone(&self.parts.store), self.supervisor.clone());
        if let Some(seat) = seat {
            let desk = store.lead(Term(fastrand::i64(..))).await?;
            self.alone(desk, seat.with_history(history)).await?;
            return Ok(None);
        }
        let (node, clock) = (store.node(), self.parts.clock);
        let lead = self.in_turn(history);
        Ok(Some(fleet::spawn(&store, node, lead, clock, &supervisor)))
    }

    /// Leads until the process stops: no other node ends its term, since the queue is on this machine's disk.
    async fn alone(self, desk: Desk, seat: Seat) -> Result<(), JobError> {
        let unit = self.supervisor.unit("desk");
        let (engine, stopping) = (self.begin(desk, None, seat, &unit).await?, unit.stopping());
        unit.spawn("engine", async {
            match engine.run(stopping).await? {
                Ended::Stopped => Ok(()),
                Ended::Superseded => Err(Fault {
                    task: "engine".to_owned(),
                    message: "the queue is led from elsewhere: is its directory shared?".to_owned(),
                }),
            }
        });
        Ok(())
    }

    /// Leads for one term after the other. In the first, what was noticed since the start is news.
    fn in_turn(self, history: Seq) -> Lead {
        let mut first = Some(history);
        Box::new(move |desk, fleet, over| {
            let last = *desk.subscribe().borrow();
            let seat = self.parts.engine.seat();
            let seat = seat.with_history(first.take().unwrap_or(last));
            self.clone().term(desk, fleet, seat, over).boxed()
        })
    }

    async fn term(
        self,
        desk: Desk,
        fleet: FleetHandle,
        seat: Seat,
        over: CancellationToken,
    ) -> Result<(), String> {
        let unit = self.supervisor.unit("desk");
        let begun = tokio::select! {
            begun = self.begin(desk, Some(&fleet), seat, &unit) => begun.map(Some),
            () = over.cancelled() => Ok(None),
        };
        let begun = match begun {
            Ok(Some(engine)) => {
                let (stopping, at_the_end) = (unit.stopping(), over.clone().drop_guard());
                unit.spawn("engine", async {
                    let ended = engine.run(stopping).await;
                    drop(at_the_end);
                    ended.map(drop)
                });
                over.cancelled().await;
                Ok(())
            }
            // It tries again as soon as it may lead again.
            Ok(None) | Err(JobError::Store(StoreError::Superseded | StoreError::Away(_))) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        unit.stop().await;
        begun
    }

    /// Restores the engine from the store, and starts the jobs beside it.
    async fn begin(
        &self,
        desk: Desk,
        fleet: Option<&FleetHandle>,
        seat: Seat,
        unit: &Supervisor,
    ) -> Result<Engine, JobError> {
        let (config, parts) = (&self.config, &self.parts);
        parts.metrics.terms.inc();
        let engine = Engine::restore(
            settings::engine(config, fleet.is_some()),
            desk.clone(),
            seat,
            Caller::new(Arc::clone(&self.client), self.key.clone(), parts.clock),
            parts.clock,
            Arc::clone(&parts.metrics),
            unit,
        )
        .await?
        .with_looks(looks(&parts.pipelines));
        jobs::lead(config, &desk, fleet, parts, unit).await?;
        Ok(engine)
    }
}

/// Whether an origin of a pipeline still looks at something that happened before a time.
fn looks(pipelines: &BTreeMap<PipelineId, AdminPipeline>) -> Looks {
    let handles = |pipeline: &AdminPipeline| {
        let origins = pipeline.origins.iter();
        origins.map(|(_, origin)| origin.clone()).collect()
    };
    let pipelines = pipelines.iter();
    let origins: BTreeMap<PipelineId, Vec<OriginHandle>> = pipelines
        .map(|(id, pipeline)| (id.clone(), handles(pipeline)))
        .collect();
    Arc::new(move |pipeline, before| {
        let mut origins = origins.get(pipeline).into_iter().flatten();
        origins.any(|origin| origin.looks(before))
    })
}
