//! A pooler in transaction mode: it gives each transaction another session of the server. A node needs sessions of
//! its own, as they have its locks, its settings and its prepared statements. It would work now and then, and two
//! processes could have one lock.

use tokio_postgres::Client;

use super::survey::{connected, one};
use super::{Database, failed};
use crate::store::StoreError;

/// What is in the way.
pub(super) const WHY: &str = "a pooler is in between that gives each transaction another session of the server, and a node \
     needs sessions of its own";
/// What to do.
pub(super) const HELP: &str = "connect to the server itself, or set pool_mode = session";

/// Leaves something in a session.
const LEAVE: &str = "SELECT set_config('edgepurge.session', $1, false)";
/// What a session was left.
const FIND: &str = "SELECT coalesce(current_setting('edgepurge.session', true), '')";

/// Whether a connection has no session of its own: what it leaves there is found by another connection, or is gone.
/// The other one keeps what it got until then.
pub(super) async fn is_pooled(database: &Database, client: &Client) -> Result<bool, StoreError> {
    let left = fastrand::u64(..).to_string();
    one(client, LEAVE, &[&left]).await?;
    connected(database, async |other| {
        other.batch_execute("BEGIN").await.map_err(failed)?;
        for (of, is_own) in [(other, false), (client, true)] {
            let found: String = one(of, FIND, &[]).await?.get(0);
            if (found == left) != is_own {
                return Ok(true);
            }
        }
        Ok(false)
    })
    .await
}
