//! What this node can't do itself is asked of the leader, through the store (`store/asks.rs`).

use std::time::Duration;

use super::{Admin, AdminError};
use crate::engine::{AskAnswer, Operated, Operation};
use crate::store::{AskId, AskState, StoreError};

/// How long an answer of the leader is waited for: longer than it takes until another node leads.
pub(crate) const ASK_PATIENCE: Duration = Duration::from_secs(20);
/// How often, at the least, a leader looks for asks and an asker for its answer: commits that are not announced.
pub(crate) const ASK_LOOK: Duration = Duration::from_secs(1);

impl Admin {
    /// Does something with a queue: by the engine where this node leads, else by the leader's.
    pub(super) async fn operate(&self, operation: Operation) -> Result<Operated, AdminError> {
        if !self.follows() {
            match self.engine.operate(operation.clone(), None).await {
                Err(StoreError::Superseded) if self.fleet.is_some() => {}
                Err(StoreError::Closed) if self.fleet.is_some() => {
                    return Err(unavailable(
                        "this node led until now, and whether it is done is not known: \
                         look at `edgepurge status`, and ask again",
                    ));
                }
                operated => return Ok(operated?),
            }
        }
        self.ask(&operation).await
    }

    async fn ask(&self, operation: &Operation) -> Result<Operated, AdminError> {
        let ask = serde_json::json!(operation).to_string();
        let ask = self.store.ask(ask).await?;
        let answer = match tokio::time::timeout(ASK_PATIENCE, self.answered(ask)).await {
            Ok(answer) => answer?,
            Err(_) => self.withdrawn(ask).await?,
        };
        match serde_json::from_str::<AskAnswer>(&answer) {
            Ok(Ok(operated)) => Ok(operated),
            Ok(Err(why)) => Err(unavailable(&why)),
            Err(error) => Err(unavailable(&format!(
                "it is done, and the answer of the leader can't be read ({error}): is that of another version?"
            ))),
        }
    }

    /// Waits for the answer to an ask, and asks again if a leader has begun meanwhile.
    async fn answered(&self, ask: AskId) -> Result<String, AdminError> {
        let mut others = self.store.subscribe_others();
        loop {
            others.mark_unchanged();
            match self.store.ask_state(ask).await {
                Ok(Some(AskState::Answered(answer))) => return Ok(answer),
                Ok(None) => return Err(not_known()),
                Ok(Some(AskState::Withdrawn)) => match self.store.ask_again(ask).await {
                    Ok(()) | Err(StoreError::Away(_)) => {}
                    Err(error) => return Err(error.into()),
                },
                Ok(Some(AskState::Open)) | Err(StoreError::Away(_)) => {}
                Err(error) => return Err(error.into()),
            }
            // The server may be away longer than this node waits.
            drop(tokio::time::timeout(ASK_LOOK, others.changed()).await);
        }
    }

    /// Withdraws an ask, unless it was answered at the last moment.
    async fn withdrawn(&self, ask: AskId) -> Result<String, AdminError> {
        match self.store.withdraw(ask).await {
            Ok(true) => Err(unavailable(&format!(
                "no node leads now, or the leader does not answer within {} s, so that it is not done: look at \
                 `edgepurge node list`, and ask again",
                ASK_PATIENCE.as_secs()
            ))),
            Ok(false) => match self.store.ask_state(ask).await {
                Ok(Some(AskState::Answered(answer))) => Ok(answer),
                _ => Err(not_known()),
            },
            Err(_) => Err(not_known()),
        }
    }
}

fn unavailable(why: &str) -> AdminError {
    AdminError::Unavailable(why.to_owned())
}

/// The database is away, or has forgotten the ask.
fn not_known() -> AdminError {
    unavailable(
        "the leader's answer can't be read, so that whether it is done is not known; in a minute it is done, or \
         never: look at `edgepurge status` then",
    )
}
