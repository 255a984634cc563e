//! What a store does, in statements (`sql/`): their values are bound and their rows are read here, once
//! for every engine ([`Db`](super::db::Db)).

pub(super) mod agreement;
pub(super) mod ask;
pub(super) mod asset;
pub(super) mod batch;
pub(super) mod decide;
pub(super) mod deliveries;
pub(super) mod delivery_keys;
pub(super) mod fleet;
pub(super) mod history;
pub(super) mod listing;
pub(super) mod node;
mod number;
pub(super) mod operate;
pub(super) mod queue;
pub(super) mod recent;
pub(super) mod round;
pub(super) mod verify;
