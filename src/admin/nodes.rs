//! What an operator does with the nodes of a fleet.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::api::ForgetBody;
use super::input::Body;
use super::{Admin, AdminError};
use crate::core::nodes::Node;

/// `POST /api/v1/forget`
pub(super) async fn forget(
    State(admin): State<Arc<Admin>>,
    Body(ForgetBody { node }): Body<ForgetBody>,
) -> Result<Json<Node>, AdminError> {
    let Some(fleet) = &admin.fleet else {
        return Err(AdminError::Invalid(
            "this edgepurge shares its queue with no other node".to_owned(),
        ));
    };
    if let Some(why) = admin.store.away() {
        // What is known of the nodes is old.
        return Err(AdminError::Unavailable(format!("the queue: {why}")));
    }
    let mut nodes = fleet.nodes().into_iter();
    let found = nodes.find(|one| one.name == node);
    let found = found.ok_or_else(|| AdminError::NotFound(format!("there is no node `{node}`")))?;
    let lives = || {
        AdminError::Conflict(format!(
            "the node {node} runs, or did ten seconds ago: stop it first"
        ))
    };
    match found.observed {
        Some((id, beat)) if !found.state.is_live() && admin.store.forget(id, beat).await? => {
            tracing::warn!(node, "a node is forgotten");
            fleet.without(id).await;
            Ok(Json(found))
        }
        _ => Err(lives()),
    }
}
