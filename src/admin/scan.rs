//! Scans that somebody asks for, and waiting until what changed before is noticed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::input::{Body, Query};
use super::status::ScanView;
use super::{Admin, AdminError};
use crate::origin::{ScanError, ScanReason};

/// Which pipeline's origins are to be scanned.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanBody {
    /// The pipeline's name or id.
    pub pipeline: String,
    /// A loss that the guard holds back counts as real.
    #[serde(default)]
    pub accept_loss: bool,
}

/// What the scans found; committed to disk.
#[derive(Debug, Serialize)]
pub(super) struct ScanAnswer {
    pipeline: String,
    origins: Vec<OriginScan>,
}

#[derive(Debug, Serialize)]
struct OriginScan {
    name: String,
    #[serde(flatten)]
    scan: ScanView,
}

/// `POST /api/v1/scan`: answers when everything that changed before is committed.
pub(super) async fn scan(
    State(admin): State<Arc<Admin>>,
    Body(body): Body<ScanBody>,
) -> Result<Json<ScanAnswer>, AdminError> {
    let (_, pipeline) = admin.pipeline(&body.pipeline)?;
    let scans = pipeline.origins.iter().map(|(name, origin)| async {
        let summary = origin.scan(ScanReason::Request, body.accept_loss).await?;
        Ok(OriginScan {
            name: name.to_string(),
            scan: ScanView::from(summary),
        })
    });
    let origins = futures_util::future::try_join_all(scans).await;
    Ok(Json(ScanAnswer {
        pipeline: pipeline.name.to_string(),
        origins: origins.map_err(unavailable)?,
    }))
}

/// Which pipeline is waited for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitQuery {
    /// The pipeline's name or id.
    pub pipeline: String,
}

/// Where the queue stands.
#[derive(Debug, Serialize)]
pub(super) struct WaitAnswer {
    pipeline: String,
    /// The last change that was committed.
    last: u64,
    /// Why what is gone is not believed, if it is not.
    held: Option<String>,
}

/// `GET /api/v1/wait`: answers when every change before now is noticed and committed.
pub(super) async fn wait(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<WaitQuery>,
) -> Result<Json<WaitAnswer>, AdminError> {
    let (_, pipeline) = admin.pipeline(&query.pipeline)?;
    let noticed = pipeline.origins.iter().map(|(_, origin)| origin.noticed());
    let noticed = futures_util::future::try_join_all(noticed).await;
    noticed.map_err(unavailable)?;
    let last = admin.store.append(Vec::new()).await?.last;
    let alarms = pipeline.origins.iter().flat_map(|(_, origin)| {
        let status = origin.status();
        let held = status.held.is_some();
        status.alarms.into_iter().filter(move |_| held)
    });
    let held: Vec<String> = alarms
        .filter(|alarm| alarm.reason == crate::origin::LOSS)
        .map(|alarm| alarm.text)
        .collect();
    Ok(Json(WaitAnswer {
        pipeline: pipeline.name.to_string(),
        last: last.0,
        held: (!held.is_empty()).then(|| held.join("\n")),
    }))
}

fn unavailable(error: ScanError) -> AdminError {
    AdminError::Unavailable(error.to_string())
}
