//! Scans on request, and waiting until what changed before is noticed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::api::{OriginScan, ScanAnswer, ScanBody, WaitAnswer, WaitQuery};
use super::input::{Body, Query};
use super::{Admin, AdminError};
use crate::core::alarm::AlarmKind;
use crate::origin::{ScanError, ScanReason};

/// `POST /api/v1/scan`: answers when everything that changed before is committed.
pub(crate) async fn scan(
    State(admin): State<Arc<Admin>>,
    Body(body): Body<ScanBody>,
) -> Result<Json<ScanAnswer>, AdminError> {
    let (_, pipeline) = admin.pipeline(&body.pipeline)?;
    let scans = pipeline.origins.iter().map(|(name, origin)| async {
        let summary = origin.scan(ScanReason::Request, body.accept_loss).await?;
        Ok(OriginScan {
            name: name.to_string(),
            scan: summary,
        })
    });
    let origins = futures_util::future::try_join_all(scans).await;
    Ok(Json(ScanAnswer {
        pipeline: pipeline.name.to_string(),
        origins: origins.map_err(unavailable)?,
    }))
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
        .filter(|alarm| alarm.reason == AlarmKind::Loss)
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
