//! What is asked of the leader at other nodes (`store/asks.rs`): the leader has its engine do it.
//!
//! It looks at each commit of another node, and every [`ASK_LOOK`]. It withdraws all asks before its first look, and
//! when it has not been through with all of them for a while: how old they are is not known then, and who asked may
//! be gone. So an ask is done within a minute, or never.

use tokio::sync::watch;

use super::{Job, Next, Parts, StepError};
use crate::admin::{ASK_LOOK, ASK_PATIENCE};
use crate::clock::Clock;
use crate::core::time::Time;
use crate::engine::{EngineHandle, Operation, answering};
use crate::store::{Ask, Desk, OtherNodes, StoreError};
use crate::supervise::Supervisor;

struct Asks {
    desk: Desk,
    engine: EngineHandle,
    others: watch::Receiver<OtherNodes>,
    /// When it last began to go through all of them, of those times at which it came to the end.
    through: Option<Time>,
}

/// Starts the job, where other nodes can ask.
pub(crate) fn spawn(desk: &Desk, parts: &Parts, supervisor: &Supervisor) {
    if desk.is_on_server() {
        let asks = Asks {
            desk: desk.clone(),
            engine: parts.engine.clone(),
            others: desk.subscribe_others(),
            through: None,
        };
        super::spawn("asks", asks, Vec::new(), supervisor);
    }
}

impl Asks {
    async fn carry_out(&self, ask: Ask) -> Result<(), StepError> {
        tracing::debug!(node = ask.node.0, "asked at another node: {}", ask.body);
        let done = match serde_json::from_str::<Operation>(&ask.body) {
            Ok(operation) => {
                let done = self.engine.operate(operation, Some(ask.id));
                let late = |_| StepError::Failed("the engine does not answer".to_owned());
                let done = tokio::time::timeout(ASK_PATIENCE, done);
                done.await.map_err(late)?.map(drop)
            }
            Err(error) => {
                let version = env!("CARGO_PKG_VERSION");
                let why = format!(
                    "the leader, which is version {version}, can't read what was asked ({error}): update it"
                );
                self.desk.answer(answering(ask.id, &Err(why))).await
            }
        };
        match done {
            // It does not matter any more.
            Ok(()) | Err(StoreError::Withdrawn) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Job for Asks {
    async fn step(&mut self) -> Result<Next, StepError> {
        let began = Clock::since_boot();
        let late = |through: Time| began.since(through) > ASK_PATIENCE;
        if self.through.is_none_or(late) {
            self.desk.withdraw_asks().await?;
        }
        self.others.mark_unchanged();
        for ask in self.desk.asks().await? {
            self.carry_out(ask).await?;
        }
        self.through = Some(began);
        Ok(Next::After(ASK_LOOK))
    }

    async fn woken(&mut self) -> Result<(), StepError> {
        let news = self.others.changed().await;
        news.map_err(|_| StepError::Stopping)
    }

    fn failed(&self, why: &str) {
        tracing::warn!("what is asked at other nodes can't be done: {why}; trying again");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::lease::Term;
    use crate::engine::AskAnswer;
    use crate::store::{AskId, AskState, InlineDatabase};

    /// A leader without an engine: what it would do, it ends with.
    async fn leader() -> Asks {
        let store = Arc::new(InlineDatabase::new().unwrap().open().unwrap());
        let desk = store.lead(Term(1)).await.unwrap();
        Asks {
            engine: EngineHandle::new(),
            others: desk.subscribe_others(),
            through: None,
            desk,
        }
    }

    async fn state(asks: &Asks, ask: AskId) -> AskState {
        asks.desk.ask_state(ask).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn what_may_be_old_is_withdrawn_and_done_once_it_is_asked_again() {
        let mut asks = leader().await;
        let body = r#"{"Drop":"www"}"#.to_owned();
        let ask = asks.desk.ask(body).await.unwrap();
        asks.step().await.unwrap();
        assert_eq!(
            state(&asks, ask).await,
            AskState::Withdrawn,
            "it begins to lead"
        );
        asks.desk.ask_again(ask).await.unwrap();
        let done = asks.step().await;
        assert!(matches!(done, Err(StepError::Stopping)), "{done:?}");
        assert_eq!(state(&asks, ask).await, AskState::Open);
        // It was cut off from the database for a while.
        let while_ago = ASK_PATIENCE + ASK_LOOK;
        asks.through = Some(Clock::since_boot().before(while_ago));
        asks.step().await.unwrap();
        assert_eq!(state(&asks, ask).await, AskState::Withdrawn);
    }

    #[tokio::test]
    async fn what_the_leader_cannot_read_is_answered_with_what_to_do() {
        let mut asks = leader().await;
        asks.step().await.unwrap();
        let body = r#"{"Unheard":"of"}"#.to_owned();
        let ask = asks.desk.ask(body).await.unwrap();
        asks.step().await.unwrap();
        let AskState::Answered(answer) = state(&asks, ask).await else {
            panic!("it is answered");
        };
        let answer: AskAnswer = serde_json::from_str(&answer).unwrap();
        assert!(answer.unwrap_err().contains("update it"));
    }
}
