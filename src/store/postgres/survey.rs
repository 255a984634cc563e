//! Asks a server whether it can have the queue, and changes nothing there.

use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::{Database, failed, pooler, schema};
use crate::database::ConnectError;
use crate::store::StoreError;

/// The oldest server that is supported, as `server_version_num` has it.
const OLDEST: i32 = 130_000;
/// How long all answers may take together.
const PATIENCE: Duration = Duration::from_secs(15);
/// The classes of errors that stay until something is changed: a login, a name, a right.
const REFUSALS: [&str; 3] = ["28", "3D000", "42501"];

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Server and schema, in words.
    pub facts: String,
    /// What works, and may lose commits.
    pub warnings: Vec<String>,
    /// What does not work, each with what to do.
    pub problems: Vec<String>,
}

const SERVER: &str = "
    SELECT current_setting('server_version') AS version,
           current_setting('server_version_num')::integer AS number,
           current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on' AS survives,
           current_setting('synchronous_standby_names') AS synchronous,
           (SELECT count(*) FROM pg_stat_replication) AS standbys,
           current_user::text AS role, current_database()::text AS name,
           has_database_privilege(current_database(), 'CREATE') AS may_create,
           to_regnamespace($1) IS NOT NULL AS has_schema,
           EXISTS (SELECT FROM pg_class WHERE relname = 'meta'
                   AND relnamespace = to_regnamespace($1)::oid) AS has_tables";
/// Whether the role may use the schema and all tables in it.
const RIGHTS: &str = "
    SELECT has_schema_privilege($1, 'USAGE') AND has_schema_privilege($1, 'CREATE')
           AND coalesce(bool_and(has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
                                 AND has_table_privilege(oid, 'UPDATE')
                                 AND has_table_privilege(oid, 'DELETE')), true)
    FROM pg_class WHERE relkind = 'r' AND relnamespace = to_regnamespace($1)::oid";

/// Asks the server of a database.
///
/// # Errors
/// [`StoreError::Away`] when it does not answer, [`StoreError::Unusable`] when it refuses until something is
/// changed.
pub async fn survey(database: &Database) -> Result<Survey, StoreError> {
    let asked = tokio::time::timeout(
        PATIENCE,
        connected(database, async |client| ask(database, client).await),
    );
    asked.await.unwrap_or_else(|_| {
        let why = format!("PostgreSQL: no answer within {} s", PATIENCE.as_secs());
        Err(StoreError::Away(why.into()))
    })
}

/// Runs questions on a connection of their own.
pub(super) async fn connected<T>(
    database: &Database,
    questions: impl AsyncFnOnce(&Client) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let refused = |why: String| StoreError::Unusable(why.into());
    let url = (database.url)().map_err(refused)?;
    let (client, connection) =
        url.connect("edgepurge check")
            .await
            .map_err(|error| match error {
                ConnectError::Server(error) => {
                    let code = error.code().map_or("", |code| code.code());
                    if REFUSALS.iter().any(|class| code.starts_with(class)) {
                        return refused(format!("{}; database {url}", failed(error)));
                    }
                    StoreError::Away(format!("{}; database {url}", failed(error)).into())
                }
                error => refused(format!("{error}; database {url}")),
            })?;
    tokio::select! {
        answered = questions(&client) => answered,
        ended = connection => {
            let why = ended.err().map_or_else(|| "closed".to_owned(), |error| error.to_string());
            Err(StoreError::Away(format!("PostgreSQL: {why}").into()))
        }
    }
}

async fn ask(database: &Database, client: &Client) -> Result<Survey, StoreError> {
    let schema = &database.schema;
    let row = one(client, SERVER, &[schema]).await?;
    let text = |column| row.get::<_, String>(column);
    let mut survey = Survey {
        facts: format!("PostgreSQL {}", text("version")),
        warnings: warnings(&row),
        problems: Vec::new(),
    };
    if row.get::<_, i32>("number") < OLDEST {
        let version = text("version");
        let old = format!("PostgreSQL {version} is older than 13\n  = help: upgrade the server");
        survey.problems.push(old);
    }
    if pooler::is_pooled(database, client).await? {
        let pooled = format!("{}\n  = help: {}", pooler::WHY, pooler::HELP);
        survey.problems.push(pooled);
    }
    let role = text("role");
    if !row.get::<_, bool>("has_schema") {
        survey.facts.push_str(", the first start makes the tables");
        if !row.get::<_, bool>("may_create") {
            survey.problems.push(format!(
                "the role {role} may not make the schema {schema}\n  = help: GRANT CREATE ON DATABASE {} TO {role}",
                text("name")
            ));
        }
    } else if !one(client, RIGHTS, &[schema]).await?.get::<_, bool>(0) {
        survey.problems.push(format!(
            "the role {role} may not use the schema {schema}\n  = help: make it the owner of the schema and of all \
             that is in it"
        ));
    } else if row.get("has_tables") {
        match version(client, schema).await? {
            Ok(version) => survey.facts.extend([", the queue's version ", &version]),
            Err(why) => survey.problems.push(why),
        }
    }
    Ok(survey)
}

/// What works, and may lose commits.
fn warnings(row: &Row) -> Vec<String> {
    let mut warnings = Vec::new();
    if !row.get::<_, bool>("survives") {
        warnings.push(
            "fsync or full_page_writes is off there: a crash of its machine may lose the queue; switch both on"
                .to_owned(),
        );
    }
    let standbys: i64 = row.get("standbys");
    if standbys > 0 && row.get::<_, &str>("synchronous").is_empty() {
        warnings.push(format!(
            "{standbys} replicate it and none is synchronous: a failover may lose the last commits; nodes that \
             run commit them again, and one that dies with the server purges everything once; set \
             synchronous_standby_names"
        ));
    }
    warnings
}

/// The version of the tables, or why this edgepurge can't use them.
async fn version(client: &Client, schema: &str) -> Result<Result<String, String>, StoreError> {
    let sql = format!(
        "SELECT (SELECT value FROM {schema}.meta WHERE key = $1), (SELECT value FROM {schema}.meta WHERE key = $2)"
    );
    let row = one(client, &sql, &[schema::VERSION, schema::READABLE_FROM]).await?;
    let version: String = row.get::<_, Option<_>>(0).unwrap_or_default();
    let readable_from: Option<String> = row.get(1);
    let readable_from = readable_from.and_then(|from| from.parse().ok());
    let pending = schema::pending(version.parse().unwrap_or(usize::MAX), readable_from);
    Ok(pending.map(|_| version).map_err(|error| error.to_string()))
}

/// The row of a statement that returns one. It has no name, which a pooler would have to know.
pub(super) async fn one(client: &Client, sql: &str, texts: &[&str]) -> Result<Row, StoreError> {
    let texts: Vec<(&(dyn ToSql + Sync), Type)> = texts
        .iter()
        .map(|text| (text as &(dyn ToSql + Sync), Type::TEXT))
        .collect();
    let rows = client.query_typed(sql, &texts).await.map_err(failed)?;
    let row = rows.into_iter().next();
    row.ok_or_else(|| StoreError::Failed("PostgreSQL: no answer".to_owned().into()))
}
