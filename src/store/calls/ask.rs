//! What is asked of the leader at other nodes, and its answers.

use super::number;
use crate::core::lease::NodeId;
use crate::store::asks::{ASKS_KEPT, Ask, AskId, AskState};
use crate::store::db::{Db, values};
use crate::store::{StoreError, sql};

pub(in crate::store) fn ask(db: &dyn Db, node: NodeId, body: &str) -> Result<AskId, StoreError> {
    let id = number::after(db.value(sql::ask::LAST, &[])?);
    db.execute(sql::ask::ASK, &values![id, node, body])?;
    db.execute(sql::ask::PRUNE, &values![ASKS_KEPT])?;
    Ok(AskId(id))
}

pub(in crate::store) fn state(db: &dyn Db, ask: AskId) -> Result<Option<AskState>, StoreError> {
    db.optional(sql::ask::STATE, &values![ask.0], |row| {
        let answer: Option<String> = row.get("answer")?;
        Ok(match answer {
            Some(answer) => AskState::Answered(answer),
            None if row.get("withdrawn")? => AskState::Withdrawn,
            None => AskState::Open,
        })
    })
}

pub(in crate::store) fn again(db: &dyn Db, ask: AskId) -> Result<(), StoreError> {
    db.execute(sql::ask::AGAIN, &values![ask.0]).map(drop)
}

/// `false`: it is answered.
pub(in crate::store) fn withdraw(db: &dyn Db, ask: AskId) -> Result<bool, StoreError> {
    Ok(db.execute(sql::ask::WITHDRAW, &values![ask.0])? > 0)
}

pub(in crate::store) fn withdraw_all(db: &dyn Db) -> Result<(), StoreError> {
    db.execute(sql::ask::WITHDRAW_ALL, &[]).map(drop)
}

pub(in crate::store) fn open(db: &dyn Db) -> Result<Vec<Ask>, StoreError> {
    db.query(sql::ask::OPEN, &[], |row| {
        Ok(Ask {
            id: AskId(row.get("id")?),
            node: row.get("node")?,
            body: row.get("body")?,
        })
    })
}

/// Answers what is open; without an answer it stays so. Refuses whatever the transaction does where it is not open.
pub(in crate::store) fn answer(
    db: &dyn Db,
    ask: AskId,
    answer: Option<&str>,
) -> Result<(), StoreError> {
    match db.execute(sql::ask::ANSWER, &values![ask.0, answer])? {
        0 => Err(StoreError::Withdrawn),
        _ => Ok(()),
    }
}
