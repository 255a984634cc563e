//! The schema of a demo: made for it, marked by a comment, and dropped with it. One without the mark may have a
//! real queue, and is left alone.

use tokio_postgres::Client;

use super::session::NODES;
use super::survey::{connected, one};
use super::{Database, failed};
use crate::store::StoreError;

/// What the comment of a demo's schema is.
const MARK: &str = "a demo of edgepurge, which drops it";

/// Makes the schema anew, for a demo that begins.
///
/// # Errors
/// [`StoreError::Unusable`] when the schema is not a demo's, or one that runs; [`StoreError::Away`] when the server
/// can't be reached.
pub async fn begin_demo(database: &Database) -> Result<(), StoreError> {
    let schema = &database.schema;
    let make = format!("CREATE SCHEMA {schema}; COMMENT ON SCHEMA {schema} IS '{MARK}'");
    connected(database, async |client| {
        replace(database, client, &make).await
    })
    .await
}

/// Drops the schema of a demo that has ended.
///
/// # Errors
/// As [`begin_demo`].
pub async fn end_demo(database: &Database) -> Result<(), StoreError> {
    connected(database, async |client| replace(database, client, "").await).await
}

/// Drops the schema of a demo, if there is one, and runs a statement after that: all of it or nothing.
async fn replace(database: &Database, client: &Client, then: &str) -> Result<(), StoreError> {
    let schema = &database.schema;
    let found = format!(
        "SELECT to_regnamespace($1) IS NOT NULL
                AND obj_description(to_regnamespace($1)::oid, 'pg_namespace') IS DISTINCT FROM $2 AS foreign,
                EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
                        WHERE datname = current_database() AND locktype = 'advisory'
                              AND classid::bigint = {NODES}) AS used"
    );
    let found = one(client, &found, &[schema, MARK]).await?;
    let why = if found.get("foreign") {
        format!(
            "the schema {schema} there is not a demo's and may have a real queue; nothing was changed in it; give \
             the demo a database of its own (createdb edgepurge_demo)"
        )
    } else if found.get("used") {
        format!(
            "nodes still run on the schema {schema} there; end them, or the demo that they belong to"
        )
    } else {
        let sql = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; {then}");
        return client.batch_execute(&sql).await.map_err(failed);
    };
    let url = (database.url)().map_or_else(|why| why, |url| url.to_string());
    Err(StoreError::Unusable(
        format!("{why}; database {url}").into(),
    ))
}
