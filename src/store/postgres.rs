//! The store in `PostgreSQL`: the tables of `queue.db` in a schema of a database.
//!
//! A connection works as one of `SQLite` does, in a thread of its own that waits for each answer
//! ([`Session`]), so that the statements and what is between them are one code. The thread runs the
//! connection itself (a runtime of one thread): a statement costs one way to the server and back, and no
//! change of threads. Where a transaction writes many rows, they leave together: rows that are
//! inserted as one statement over arrays, others in one flight.
//!
//! **One writer at a time**, as `SQLite` has it: each transaction that writes takes a lock of the schema
//! first, and the lock ends with it. So numbers are consecutive in the order of commits, and no
//! transaction has to be made again.
//!
//! Not yet the daemon's, but of tests: a connection that is lost is not made again, a commit whose answer
//! was lost is not resolved, and nothing is encrypted.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::BytesMut;
use futures_util::future::join_all;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, NoTls, Statement};

use super::calls::delivery_keys::DeliveryKeys;
use super::calls::{history, operate, queue};
use super::db::{Columns, Db, Read, Row, Session, Value, values};
use super::sqlite::{DeliveryBatcher, Lane, Worker};
use super::{Store, StoreError, Why, sql};
use crate::lineage::{Beginning, Lineage};
use crate::supervise::Supervisor;

/// The schema's versions, in order: the first makes version 1.
const MIGRATIONS: [&str; 1] = [include_str!("postgres/0001_initial.sql")];
/// The key of the schema's version among what the queue knows of itself.
const VERSION: &str = "schema";
/// The number that all locks of edgepurge begin with: "EPQ1".
const LOCK: i32 = 0x4550_5131;
/// Statements that leave in one flight: as many as are certainly sent in order.
const FLIGHT: usize = 30;

/// Where a database is, and what it belongs to.
pub(super) struct Settings {
    /// A URL of `PostgreSQL`.
    pub(super) url: String,
    /// The schema that has the tables; made when it is missing.
    pub(super) schema: String,
    /// The URL of the API that the queue is for.
    pub(super) api_url: String,
}

/// Opens the store in a database: makes the tables when they are missing.
///
/// # Errors
/// [`StoreError::Unusable`] when the tables are a newer version's, or for another API; then nothing is
/// changed. [`StoreError::Failed`] when the database can't be reached, or refuses.
pub(super) fn open(settings: &Settings, supervisor: &Supervisor) -> Result<Store, StoreError> {
    // A thread may wait for its own runtime only outside of another.
    let opened = std::thread::scope(|scope| scope.spawn(|| Opened::new(settings)).join());
    let opened = opened.unwrap_or(Err(StoreError::Closed))?;
    let last = Arc::new(watch::Sender::new(opened.lineage.last));
    let commits = Arc::new(AtomicU64::new(0));
    let told = Arc::default();
    let arrivals = DeliveryBatcher::new(opened.keys.clone(), Arc::clone(&told), Arc::clone(&last))
        .answering_from_a_task(supervisor);
    let writer = Worker::writer(opened.writer, &commits, Some((arrivals.clone(), None)));
    let reader = Worker::reader(opened.reader);
    Ok(Store {
        writer: Lane::thread("queue writer", writer, supervisor)?,
        reader: Lane::thread("queue reader", reader, supervisor)?,
        last,
        arrivals,
        keys: opened.keys,
        commits,
        told,
        lineage: opened.lineage,
    })
}

/// The connections of a store, and what was read at its start.
struct Opened {
    writer: Postgres,
    reader: Postgres,
    keys: DeliveryKeys,
    lineage: Lineage,
}

impl Opened {
    fn new(settings: &Settings) -> Result<Self, StoreError> {
        let writer = Postgres::connect(settings)?;
        writer.begin()?;
        let new = writer.migrate()?;
        let (epoch, api) = operate::identity(&writer, &settings.api_url)?;
        if api != settings.api_url {
            let why = format!(
                "the queue in PostgreSQL is for the API {api}, not for {}",
                settings.api_url
            );
            return Err(StoreError::Unusable(why.into()));
        }
        writer.commit()?;
        let db: &dyn Db = &writer;
        Ok(Self {
            reader: Postgres::connect(settings)?,
            keys: DeliveryKeys::read(db)?,
            lineage: Lineage {
                epoch,
                last: queue::last_seq(db)?,
                pruned: history::pruned(db)?,
                beginning: if new {
                    Beginning::New
                } else {
                    Beginning::Continued
                },
            },
            writer,
        })
    }
}

/// A connection, and the runtime that moves its bytes while a statement is waited for.
struct Postgres {
    client: Client,
    schema: String,
    /// Prepared statements by their texts, each with the form of it that takes many rows, if it has one.
    statements: RefCell<BTreeMap<String, Prepared>>,
    in_transaction: Cell<bool>,
    runtime: Runtime,
}

#[derive(Clone)]
struct Prepared {
    one: Statement,
    many: Option<Statement>,
}

impl Postgres {
    fn connect(settings: &Settings) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| {
                let text = format!("a runtime for PostgreSQL: {error}");
                StoreError::Failed(Why::because(text, error))
            })?;
        let connected = runtime.block_on(tokio_postgres::connect(&settings.url, NoTls));
        let (client, connection) = connected.map_err(failed)?;
        drop(runtime.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("the connection to PostgreSQL has ended: {error}");
            }
        }));
        let session = Self {
            client,
            schema: settings.schema.clone(),
            statements: RefCell::default(),
            in_transaction: Cell::new(false),
            runtime,
        };
        session.run(&format!(
            "SET search_path = {}; SET client_min_messages = warning; SET lock_timeout = '8s';
             SET idle_in_transaction_session_timeout = '10s'; SET tcp_user_timeout = '10s';
             SELECT set_config('synchronous_commit', 'on', false)
             WHERE current_setting('synchronous_commit') IN ('off', 'local')",
            settings.schema
        ))?;
        Ok(session)
    }

    /// Brings the tables up to date, within a transaction. Returns whether there were none.
    fn migrate(&self) -> Result<bool, StoreError> {
        self.run(&format!("CREATE SCHEMA IF NOT EXISTS {}", self.schema))?;
        let db: &dyn Db = self;
        let is_new: bool = db.value("SELECT to_regclass('meta') IS NULL", &[])?;
        let version = if is_new {
            0
        } else {
            let version = operate::meta(db, VERSION)?;
            version
                .and_then(|version| version.parse().ok())
                .unwrap_or(usize::MAX)
        };
        let Some(pending) = MIGRATIONS.get(version..) else {
            let why = format!(
                "the queue in PostgreSQL has version {version}, and this edgepurge ({}) knows versions \
                 up to {}; nothing was changed in it; install the newer edgepurge again",
                env!("CARGO_PKG_VERSION"),
                MIGRATIONS.len()
            );
            return Err(StoreError::Unusable(why.into()));
        };
        for migration in pending {
            self.run(migration)?;
        }
        let version = MIGRATIONS.len().to_string();
        Db::execute(self, sql::meta::SET, &values![VERSION, &version])?;
        Ok(is_new)
    }

    fn wait<T>(
        &self,
        of: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        let result = self.runtime.block_on(of);
        if self.client.is_closed() {
            self.in_transaction.set(false);
        }
        result.map_err(failed)
    }

    /// Runs statements without values.
    fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.wait(self.client.batch_execute(sql))
    }

    fn prepared(&self, sql: &str) -> Result<Prepared, StoreError> {
        if let Some(known) = self.statements.borrow().get(sql) {
            return Ok(known.clone());
        }
        let one = self.wait(self.client.prepare(&translated(sql)))?;
        let many = of_many(sql, one.params())
            .map(|sql| self.wait(self.client.prepare(&sql)))
            .transpose()?;
        let prepared = Prepared { one, many };
        self.statements
            .borrow_mut()
            .insert(sql.to_owned(), prepared.clone());
        Ok(prepared)
    }
}

impl Session for Postgres {
    fn begin(&self) -> Result<(), StoreError> {
        self.run(&format!(
            "BEGIN; SELECT pg_advisory_xact_lock({LOCK}, hashtext('{}'))",
            self.schema
        ))?;
        self.in_transaction.set(true);
        Ok(())
    }

    /// Of a transaction in which a statement has failed, `COMMIT` keeps nothing and says that all is
    /// well. Before it, another statement fails then, and `COMMIT` is not run.
    fn commit(&self) -> Result<(), StoreError> {
        self.run("SELECT 1; COMMIT")?;
        self.in_transaction.set(false);
        Ok(())
    }

    fn roll_back(&self) -> Result<(), StoreError> {
        self.run("ROLLBACK")?;
        self.in_transaction.set(false);
        Ok(())
    }

    fn in_transaction(&self) -> bool {
        self.in_transaction.get()
    }

    fn db(&self) -> &dyn Db {
        self
    }
}

impl Db for Postgres {
    fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, StoreError> {
        let statement = self.prepared(sql)?.one;
        let rows = self.wait(self.client.execute(&statement, &parameters(values)))?;
        Ok(usize::try_from(rows).unwrap_or(usize::MAX))
    }

    fn execute_all(&self, sql: &str, width: usize, values: &[Value<'_>]) -> Result<(), StoreError> {
        let prepared = self.prepared(sql)?;
        let rows = values.chunks_exact(width);
        if let Some(many) = prepared.many {
            let column = |column| rows.clone().map(|row| row[column]).collect();
            let columns: Vec<Vec<Value<'_>>> = (0..width).map(column).collect();
            return self
                .wait(self.client.execute(&many, &parameters(&columns)))
                .map(drop);
        }
        let rows: Vec<_> = rows.map(parameters).collect();
        for flight in rows.chunks(FLIGHT) {
            let sent = flight
                .iter()
                .map(|row| self.client.execute(&prepared.one, row));
            self.wait(async {
                join_all(sent)
                    .await
                    .into_iter()
                    .collect::<Result<Vec<_>, _>>()
            })?;
        }
        Ok(())
    }

    fn each_row(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: &mut Read<'_>,
    ) -> Result<(), StoreError> {
        let statement = self.prepared(sql)?.one;
        let rows = self.wait(self.client.query(&statement, &parameters(values)))?;
        rows.iter().try_for_each(|row| read(&Row(row)))
    }
}

fn parameters<V: ToSql + Sync>(values: &[V]) -> Vec<&(dyn ToSql + Sync)> {
    let values = values.iter();
    values.map(|value| value as &(dyn ToSql + Sync)).collect()
}

/// A statement in the form of `PostgreSQL`.
fn translated(sql: &str) -> String {
    let mut parts = sql.split("INDEXED BY ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // Behind the index's name.
        text.push_str(
            part.split_once(char::is_whitespace)
                .map_or("", |(_, rest)| rest),
        );
    }
    text.replace('?', "$")
}

/// The form of an `INSERT` that takes an array for each parameter, and writes a row for each place in
/// them.
fn of_many(sql: &str, types: &[Type]) -> Option<String> {
    let (insert, row) = sql.split_once("VALUES (")?;
    let row = row.strip_suffix(')')?.replace('?', "given.p");
    let numbers = 1..=types.len();
    let names: Vec<String> = numbers.map(|number| format!("p{number}")).collect();
    let arrays = (1..).zip(types);
    let arrays: Vec<String> = arrays
        .map(|(number, of)| format!("${number}::{}[]", of.name()))
        .collect();
    Some(format!(
        "{insert} SELECT {row} FROM unnest({}) AS given ({})",
        arrays.join(", "),
        names.join(", ")
    ))
}

fn failed(error: tokio_postgres::Error) -> StoreError {
    let text = match error.as_db_error() {
        Some(said) => format!("PostgreSQL: {} ({})", said.message(), said.code().code()),
        None => format!("PostgreSQL: {error}"),
    };
    StoreError::Failed(Why::because(text, error))
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        of: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match *self {
            Value::Null => Ok(IsNull::Yes),
            // What is compared with a small constant is a small number, too.
            Value::Int(number) if *of == Type::INT4 => i32::try_from(number)?.to_sql(of, out),
            Value::Int(number) => number.to_sql(of, out),
            Value::Text(text) => text.to_sql(of, out),
            Value::Bytes(bytes) => bytes.to_sql(of, out),
        }
    }

    fn accepts(of: &Type) -> bool {
        [Type::INT4, Type::INT8, Type::TEXT, Type::BYTEA].contains(of)
    }

    to_sql_checked!();
}

impl<'v> FromSql<'v> for Value<'v> {
    fn from_sql(
        of: &Type,
        raw: &'v [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match *of {
            Type::BOOL => Self::Int(bool::from_sql(of, raw)?.into()),
            Type::INT4 => Self::Int(i32::from_sql(of, raw)?.into()),
            Type::INT8 => Self::Int(i64::from_sql(of, raw)?),
            Type::BYTEA => Self::Bytes(raw),
            _ => Self::Text(<&str>::from_sql(of, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(of: &Type) -> bool {
        [Type::BOOL, Type::INT4, Type::INT8, Type::TEXT, Type::BYTEA].contains(of)
    }
}

impl Columns for tokio_postgres::Row {
    fn position(&self, name: &str) -> Option<usize> {
        self.columns()
            .iter()
            .position(|column| column.name() == name)
    }

    fn at(&self, position: usize) -> Result<Value<'_>, StoreError> {
        self.try_get(position).map_err(failed)
    }
}

#[cfg(test)]
mod tests;
