//! Scans on request, and waiting until what changed before is noticed. Where several nodes share the queue, each
//! of them does it: that is a round (`core/round.rs`).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::de::DeserializeOwned;

use super::api::{
    OriginScan, ScanAnswer, ScanBody, SettledAnswer, SettledQuery, WaitAnswer, WaitQuery,
};
use super::input::{Body, Query};
use super::{Admin, AdminError, AdminPipeline};
use crate::core::alarm::AlarmKind;
use crate::core::change::{PipelineId, Seq};
use crate::core::lease::NodeId;
use crate::core::round::{NewRound, Progress, RoundKind, Served};
use crate::fleet::FleetHandle;
use crate::origin::{ScanError, ScanReason};

/// `POST /api/v1/scan`: answers when everything that changed before is committed.
pub(crate) async fn scan(
    State(admin): State<Arc<Admin>>,
    Body(body): Body<ScanBody>,
) -> Result<Json<ScanAnswer>, AdminError> {
    let (id, pipeline) = admin.pipeline(&body.pipeline)?;
    let (origins, silent) = if let Some(fleet) = &admin.fleet {
        let accept_loss = whose_loss(fleet, &body)?;
        let done = round(&admin, fleet, id, RoundKind::Scan, accept_loss, "").await?;
        let mut origins = Vec::new();
        for served in &done.done {
            let found: Vec<OriginScan> = report(served)?;
            origins.extend(found.into_iter().map(|mut origin| {
                origin.node = Some(served.name.clone());
                origin
            }));
        }
        (origins, done.silent)
    } else if body.node.is_some() {
        let why = "node: this node shares its queue with no other; leave it out".to_owned();
        return Err(AdminError::Invalid(why));
    } else {
        let scanned = scanned(pipeline, ScanReason::Request, body.accept_loss).await;
        (scanned.map_err(unavailable)?, Vec::new())
    };
    Ok(Json(ScanAnswer {
        pipeline: pipeline.name.to_string(),
        origins,
        silent,
    }))
}

/// `GET /api/v1/wait`: answers when every change before now is noticed and committed.
pub(super) async fn wait(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<WaitQuery>,
) -> Result<Json<WaitAnswer>, AdminError> {
    let (id, pipeline) = admin.pipeline(&query.pipeline)?;
    let history = admin.store.history().changes;
    let (last, held, silent) = if let Some(fleet) = &admin.fleet {
        let kind = RoundKind::Notice;
        let done = round(&admin, fleet, id, kind, None, &query.without).await?;
        let mut all = Vec::new();
        for served in &done.done {
            let held: Option<String> = report(served)?;
            all.extend(held.map(|held| format!("{}: {held}", served.name)));
        }
        let last = done.done.iter().map(|served| served.last).max();
        let held = (!all.is_empty()).then(|| all.join("\n"));
        (last, held, done.silent)
    } else {
        let held = noticed(pipeline).await.map_err(unavailable)?;
        (None, held, Vec::new())
    };
    // Where no node has origins of it, there is what persons and webhooks have queued.
    let last = match last {
        Some(last) => last,
        None => admin.store.append(Vec::new()).await?.last,
    };
    Ok(Json(WaitAnswer {
        pipeline: pipeline.name.to_string(),
        last: last.0,
        history,
        held,
        silent,
    }))
}

/// `GET /api/v1/settled`: whether a change and all before it are purged or given up.
pub(super) async fn settled(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<SettledQuery>,
) -> Result<Json<SettledAnswer>, AdminError> {
    let (id, pipeline) = admin.pipeline(&query.pipeline)?;
    if query.history != admin.store.history().changes {
        let why = "PostgreSQL may have forgotten the changes that are waited for, as in a failover; they are queued \
                   again under other numbers: wait again";
        return Err(AdminError::Unavailable(why.to_owned()));
    }
    let pending = admin.store.is_pending(id.clone(), Seq(query.last)).await?;
    let failed = admin.store.failed_assets().await?;
    Ok(Json(SettledAnswer {
        pipeline: pipeline.name.to_string(),
        settled: !pending,
        failed_assets: failed.get(id).copied().unwrap_or(0),
    }))
}

/// Scans every origin that this node has of a pipeline.
pub(crate) async fn scanned(
    pipeline: &AdminPipeline,
    reason: ScanReason,
    accept_loss: bool,
) -> Result<Vec<OriginScan>, ScanError> {
    let scans = pipeline.origins.iter().map(async |(name, origin)| {
        Ok(OriginScan {
            node: None,
            name: name.to_string(),
            scan: origin.scan(reason, accept_loss).await?,
        })
    });
    futures_util::future::try_join_all(scans).await
}

/// Waits until everything is noticed and committed that changed before now in the origins that this node has of a
/// pipeline. Returns why what is gone is not believed, if it is not.
pub(crate) async fn noticed(pipeline: &AdminPipeline) -> Result<Option<String>, ScanError> {
    let noticed = pipeline.origins.iter().map(|(_, origin)| origin.noticed());
    futures_util::future::try_join_all(noticed).await?;
    let alarms = pipeline.origins.iter().flat_map(|(_, origin)| {
        let status = origin.status();
        let held = status.held.is_some();
        status.alarms.into_iter().filter(move |_| held)
    });
    let held: Vec<String> = alarms
        .filter(|alarm| alarm.reason == AlarmKind::Loss)
        .map(|alarm| alarm.text)
        .collect();
    Ok((!held.is_empty()).then(|| held.join("\n")))
}

/// Has every node that runs do something, but for those of a list with commas.
async fn round(
    admin: &Admin,
    fleet: &FleetHandle,
    pipeline: &PipelineId,
    kind: RoundKind,
    accept_loss: Option<NodeId>,
    without: &str,
) -> Result<Progress, AdminError> {
    let without: Vec<&str> = without.split(',').collect();
    let new = NewRound {
        pipeline: pipeline.clone(),
        kind,
        accept_loss,
    };
    // One that a failover has forgotten is asked for again.
    loop {
        let round = fleet.open_round(&admin.store, new.clone()).await?;
        let done = fleet.round_done(&admin.store, pipeline, kind, round, &without);
        if let Some(done) = done.await? {
            return Ok(done);
        }
    }
}

/// What a node found.
fn report<T: DeserializeOwned>(served: &Served) -> Result<T, AdminError> {
    serde_json::from_str(&served.report).map_err(|error| {
        AdminError::Unavailable(format!(
            "what {} found can't be read: {error}; it seems to run another version of edgepurge",
            served.name
        ))
    })
}

/// The node whose loss counts as real. On each one other files are gone: none is meant unless it is named.
fn whose_loss(fleet: &FleetHandle, body: &ScanBody) -> Result<Option<NodeId>, AdminError> {
    let nodes = fleet.nodes();
    let running: Vec<_> = nodes.iter().filter(|node| node.state.is_live()).collect();
    let meant = match (&body.node, body.accept_loss) {
        (None, false) => return Ok(None),
        (Some(_), false) => {
            return Err(AdminError::Invalid(
                "node: goes with accept_loss".to_owned(),
            ));
        }
        (Some(name), true) => running.iter().find(|node| node.name == *name),
        (None, true) => None,
    };
    let meant = meant.and_then(|node| node.observed);
    meant.map(|(id, _)| Some(id)).ok_or_else(|| {
        let names: Vec<&str> = running.iter().map(|node| &*node.name).collect();
        let why = match &body.node {
            Some(name) => format!("node: no node {name} runs"),
            None => "several nodes share the queue: name the one whose loss is meant to be, with --node (the API: \
                     \"node\")"
                .to_owned(),
        };
        AdminError::Invalid(format!("{why}; these run: {}", names.join(", ")))
    })
}

fn unavailable(error: ScanError) -> AdminError {
    AdminError::Unavailable(error.to_string())
}
