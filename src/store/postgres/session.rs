//! A connection that is made again when it was lost, its transactions, and their marks.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{join, join_all, ready};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::form::{Owned, columns, of_each, of_many, parameters, translated};
use super::{Database, failed, schema};
use crate::clock::Clock;
use crate::core::lease::NodeId;
use crate::core::time::Time;
use crate::store::calls::node::Identity;
use crate::store::db::{Db, Read, ReadOf, Row, Session, Value};
use crate::store::marks::Marks;
use crate::store::sqlite::Away;
use crate::store::{StoreError, Why};

mod alone;

/// What the lock of the schema begins with, which each transaction that writes takes: "EPQ1".
const LOCK: i32 = 0x4550_5131;
/// What the locks of nodes begin with.
pub(super) const NODES: i32 = LOCK + 1;
/// The error of a transaction whose mark does not follow on the last one.
pub(super) const OTHER_MARK: &str = "EP001";
/// Calls that send statements before any is waited for, at most: until then, they are in memory.
const FLIGHT: usize = 64;
/// Turns in which the connection's task takes in what has arrived.
const TURNS: usize = 3;
/// What no two servers have in common, nor two starts of one.
pub(super) const SERVER: &str = "SELECT pg_postmaster_start_time()::text AS server";
/// The time on the server's machine.
const TIME: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// What a connection is for.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// To write, as a node.
    Writer(Identity),
    /// To write beside that what is a node's own: [`Store::publish`](crate::store::Store::publish).
    Publisher(NodeId),
    Reader,
}

impl Part {
    /// How long one answer is waited for: then the connection is dropped. A commit that waits for a standby
    /// is never cancelled: the server would say that it is done.
    const fn patience(&self) -> Duration {
        match self {
            Self::Writer(_) | Self::Publisher(_) => Duration::from_secs(10),
            Self::Reader => Duration::from_secs(35),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Writer(_) => "edgepurge writer",
            Self::Publisher(_) => "edgepurge publisher",
            Self::Reader => "edgepurge reader",
        }
    }
}

/// A connection, and the runtime that moves its bytes while a statement is waited for.
pub(super) struct Postgres {
    database: Database,
    part: Part,
    client: RefCell<Option<Arc<Client>>>,
    /// Prepared statements by their texts, each with the form of it that takes many rows, if it has one.
    statements: RefCell<BTreeMap<String, Prepared>>,
    /// What was sent and not waited for yet, in order. It leaves with what is waited for next.
    sent: RefCell<Vec<Sent>>,
    in_transaction: Cell<bool>,
    /// Whether the transaction has written anything.
    wrote: Cell<bool>,
    marks: Marks,
    away: watch::Sender<Away>,
    runtime: Runtime,
}

/// A statement that was sent, and becomes the number of rows that it wrote.
type Sent = Pin<Box<dyn Future<Output = Result<u64, tokio_postgres::Error>> + Send>>;

#[derive(Clone)]
struct Prepared {
    one: Statement,
    many: Option<Statement>,
}

impl Postgres {
    /// A connection that is made by its first use.
    pub(super) fn new(database: &Database, part: Part, marks: Marks) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| {
                let text = format!("a runtime for PostgreSQL: {error}");
                StoreError::Failed(Why::because(text, error))
            })?;
        Ok(Self {
            database: database.clone(),
            part,
            client: RefCell::default(),
            statements: RefCell::default(),
            sent: RefCell::default(),
            in_transaction: Cell::new(false),
            wrote: Cell::new(false),
            marks,
            away: watch::Sender::new(None),
            runtime,
        })
    }

    /// Why it can't be made.
    pub(super) fn away(&self) -> watch::Receiver<Away> {
        self.away.subscribe()
    }

    /// The marks of what it commits.
    pub(super) const fn marks(&self) -> &Marks {
        &self.marks
    }

    /// As which node it writes.
    pub(super) fn identity(&self) -> Result<&Identity, StoreError> {
        match &self.part {
            Part::Writer(identity) => Ok(identity),
            Part::Publisher(_) | Part::Reader => Err(StoreError::Closed),
        }
    }

    /// Sends a statement: the first poll brings it to the connection. What becomes of it is waited for later.
    fn send(
        &self,
        statement: impl Future<Output = Result<u64, tokio_postgres::Error>> + Send + 'static,
    ) {
        let mut sent: Sent = Box::pin(statement);
        if let Some(done) = sent.as_mut().now_or_never() {
            sent = Box::pin(ready(done));
        }
        self.sent.borrow_mut().push(sent);
    }

    /// Waits for the answers to what was sent, and for this one, which leaves with them: the first error is that
    /// of all. What says that the server is away drops the connection.
    fn wait<T>(
        &self,
        of: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        let (patience, sent) = (self.part.patience(), self.sent.take());
        let all = async {
            let (sent, last) = join(join_all(sent), of).await;
            sent.into_iter().collect::<Result<Vec<_>, _>>().and(last)
        };
        let waited = self
            .runtime
            .block_on(async { tokio::time::timeout(patience, all).await });
        let error = match waited {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => failed(error),
            Err(_) => {
                let seconds = patience.as_secs();
                let why = format!("PostgreSQL: no answer within {seconds} s");
                StoreError::Away(why.into())
            }
        };
        let closed = self
            .client
            .borrow()
            .as_ref()
            .is_none_or(|one| one.is_closed());
        if closed || matches!(error, StoreError::Away(_)) {
            self.drop_connection();
            return Err(match error {
                StoreError::Failed(why) => StoreError::Away(why),
                error => error,
            });
        }
        Err(error)
    }

    fn drop_connection(&self) {
        self.client.take();
        self.statements.take();
        self.sent.take();
        self.in_transaction.set(false);
    }

    /// The connection. One that was lost is made again, and shows what became of a commit in doubt.
    fn client(&self) -> Result<Arc<Client>, StoreError> {
        if let Some(client) = self.client.borrow().as_ref() {
            return Ok(Arc::clone(client));
        }
        let made = self.connect().and_then(|client| {
            self.refuse_pooler(&client)?;
            let server = self.wait(client.query_one(SERVER, &[]))?;
            let server = server.try_get("server").map_err(failed)?;
            self.marks.connected(server);
            self.client.replace(Some(Arc::clone(&client)));
            self.set_up()?;
            self.resolve()?;
            Ok(client)
        });
        if made.is_err() {
            self.drop_connection();
        }
        let why = made.as_ref().err().map(|error| error.to_string().into());
        self.away.send_if_modified(|away| {
            let changed = *away != why;
            *away = why;
            changed
        });
        made
    }

    /// Drops a connection that another one has found another server since.
    fn leave_former_server(&self) {
        if self.client.borrow().is_some() && self.marks.is_of_former_server() {
            self.drop_connection();
        }
    }

    /// What a connection shows that is not the first: the lock waits for what the lost one may still be doing.
    fn resolve(&self) -> Result<(), StoreError> {
        let Some(node) = self.marks.node() else {
            return Ok(());
        };
        self.lock()?;
        let found = self.marks.resolve(self, node, self.identity()?)?;
        let schema = &self.database.schema;
        self.run(&format!(
            "SELECT pg_notify('{schema}', '{}'); COMMIT",
            node.0
        ))?;
        self.marks.conclude(found, Clock::since_boot())
    }

    fn connect(&self) -> Result<Arc<Client>, StoreError> {
        let away = |why: String| StoreError::Away(why.into());
        let url = (self.database.url)().map_err(away)?;
        let connected = self.runtime.block_on(async {
            tokio::time::timeout(self.part.patience(), url.connect(self.part.name())).await
        });
        let (client, connection) = connected
            .map_err(|_| away(format!("PostgreSQL ({url}): no answer")))?
            .map_err(|error| match error {
                crate::database::ConnectError::Server(error) => {
                    let why = failed(error).to_string();
                    away(format!("{why}; database {url}"))
                }
                error => away(format!("PostgreSQL: {error}; database {url}")),
            })?;
        drop(self.runtime.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("the connection to PostgreSQL has ended: {error}");
            }
        }));
        Ok(Arc::new(client))
    }

    /// Makes the session what edgepurge needs. The writer's keeps other processes of the node out. One that is cut
    /// off in a transaction loses that, and the lock of the schema, before another node's wait for it is over.
    fn set_up(&self) -> Result<(), StoreError> {
        let schema = &self.database.schema;
        self.run(&format!(
            "SET client_min_messages = warning; SET search_path = {schema}; SET lock_timeout = '8s';
             SET idle_in_transaction_session_timeout = '5s'; SET tcp_user_timeout = '10s';
             SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
             SELECT set_config('synchronous_commit', 'on', false)
             WHERE current_setting('synchronous_commit') IN ('off', 'local')",
        ))?;
        let Part::Writer(identity) = &self.part else {
            return self.run("SET statement_timeout = '30s'");
        };
        self.be_alone(identity)?;
        self.lock()?;
        // A role that may not make it does not have to, where it is there.
        self.run(&format!(
            "DO $$ BEGIN
                 IF to_regnamespace('{schema}') IS NULL THEN CREATE SCHEMA {schema}; END IF;
             END $$; COMMIT"
        ))
    }

    /// Begins a transaction beside which nothing else is written; what it does first leaves with that.
    fn lock(&self) -> Result<(), StoreError> {
        let schema = &self.database.schema;
        self.send_alone(format!(
            "BEGIN; SELECT pg_advisory_xact_lock({LOCK}, hashtext('{schema}'))"
        ))
    }

    /// Sends statements without values.
    fn send_alone(&self, sql: String) -> Result<(), StoreError> {
        let client = self.client()?;
        self.send(async move { client.batch_execute(&sql).await.map(|()| 0) });
        Ok(())
    }

    /// Runs statements without values.
    pub(super) fn run(&self, sql: &str) -> Result<(), StoreError> {
        let client = self.client()?;
        self.wait(client.batch_execute(sql))
    }

    fn prepared(&self, client: &Client, sql: &str) -> Result<Prepared, StoreError> {
        if let Some(known) = self.statements.borrow().get(sql) {
            return Ok(known.clone());
        }
        let one = self.wait(client.prepare(&translated(sql)))?;
        let many = of_many(sql, one.params())
            .map(|sql| self.wait(client.prepare(&sql)))
            .transpose()?;
        let prepared = Prepared { one, many };
        self.statements
            .borrow_mut()
            .insert(sql.to_owned(), prepared.clone());
        Ok(prepared)
    }

    /// The connection, for a statement: one of a transaction is not made on another connection.
    fn client_for(&self, sql: &str) -> Result<Arc<Client>, StoreError> {
        let writes = matches!(self.part, Part::Writer(_));
        let lost = self.client.borrow().is_none() && self.marks.node().is_some();
        if lost && writes {
            return Err(self.given_up());
        }
        if !writes {
            self.leave_former_server();
        }
        if writes && !sql.starts_with("SELECT") {
            self.wrote.set(true);
        }
        self.client()
    }

    fn rows<V: ToSql + Sync>(
        &self,
        sql: &str,
        values: &[V],
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        let client = self.client_for(sql)?;
        let statement = self.prepared(&client, sql)?.one;
        self.wait(client.query(&statement, &parameters(values)))
    }
}

impl Session for Postgres {
    /// A connection whose end has arrived while nothing went on is made again first, and so is one to a server
    /// that has been followed by another.
    fn begin(&self) -> Result<(), StoreError> {
        self.runtime.block_on(async {
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
        });
        let ended = |client: &Arc<Client>| client.is_closed();
        if self.client.borrow().as_ref().is_some_and(ended) {
            self.drop_connection();
        }
        self.leave_former_server();
        let begun = self.lock();
        self.wrote.set(false);
        self.in_transaction.set(begun.is_ok());
        begun
    }

    /// Of a transaction in which a statement has failed, `COMMIT` keeps nothing and says that all is
    /// well. Before it, another statement fails then, and `COMMIT` is not run.
    fn commit(&self) -> Result<(), StoreError> {
        let node = self.marks.node().filter(|_| self.wrote.get());
        let mark = fastrand::i64(..);
        let sql = match node {
            None => "SELECT 1; COMMIT".to_owned(),
            Some(node) => {
                let last = self.marks.last().mark;
                let last = last.map_or_else(|| "NULL".to_owned(), |last| last.to_string());
                let (node, schema) = (node.0, &self.database.schema);
                format!(
                    "SELECT mark_1({node}, {last}, {mark}), pg_notify('{schema}', '{node}'); COMMIT"
                )
            }
        };
        let ended = self.run(&sql);
        match (&ended, node) {
            (Ok(()), node) => {
                self.in_transaction.set(false);
                if node.is_some() {
                    self.marks.acknowledged(mark, Clock::since_boot());
                }
            }
            (Err(StoreError::Away(_)), Some(_)) => {
                self.marks.doubt(mark);
                // Often only the connection is lost. Where the server is, a later one shows it.
                if self.client().is_ok() && self.marks.resolved() == Some(true) {
                    return Ok(());
                }
            }
            _ => {}
        }
        ended
    }

    fn step(&self, sql: &'static str) -> Result<(), StoreError> {
        if self.client.borrow().is_none() {
            return Err(self.given_up());
        }
        self.send_alone(sql.to_owned())
    }

    fn settle(&self) -> Result<(), StoreError> {
        if self.sent.borrow().is_empty() {
            return Ok(());
        }
        self.wait(ready(Ok(())))
    }

    fn roll_back(&self) -> Result<(), StoreError> {
        self.run("ROLLBACK")?;
        self.in_transaction.set(false);
        Ok(())
    }

    fn in_transaction(&self) -> bool {
        self.in_transaction.get()
    }

    fn given_up(&self) -> StoreError {
        let why = "PostgreSQL: the connection was lost; nothing of the transaction was kept";
        StoreError::Away(why.to_owned().into())
    }

    fn in_doubt(&self) -> bool {
        self.marks.is_in_doubt()
    }

    fn resolved(&self) -> Option<bool> {
        self.marks.resolved()
    }

    fn db(&self) -> &dyn Db {
        self
    }
}

impl Db for Postgres {
    /// What is published is written again on another connection, if this one was lost meanwhile: it may be written
    /// twice, and a stop does not try again.
    fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, StoreError> {
        let execute = || {
            let client = self.client_for(sql)?;
            let statement = self.prepared(&client, sql)?.one;
            self.wait(client.execute(&statement, &parameters(values)))
        };
        let mut rows = execute();
        if matches!(
            (&self.part, &rows),
            (Part::Publisher(_), Err(StoreError::Away(_)))
        ) {
            rows = execute();
        }
        Ok(usize::try_from(rows?).unwrap_or(usize::MAX))
    }

    fn execute_all(&self, sql: &str, width: usize, values: &[Value<'_>]) -> Result<(), StoreError> {
        if self.sent.borrow().len() >= FLIGHT {
            self.settle()?;
        }
        let client = self.client_for(sql)?;
        let prepared = self.prepared(&client, sql)?;
        if let Some(many) = prepared.many {
            let columns: Vec<Vec<Owned>> = columns(width, values);
            self.send(async move { client.execute_raw(&many, columns).await });
            return Ok(());
        }
        for row in values.chunks_exact(width) {
            let row: Vec<Owned> = row.iter().map(|value| (*value).into()).collect();
            let (client, statement) = (Arc::clone(&client), prepared.one.clone());
            self.send(async move { client.execute_raw(&statement, row).await });
        }
        Ok(())
    }

    /// What only reads is read again on another connection, if this one was lost meanwhile.
    fn each_row(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: &mut Read<'_>,
    ) -> Result<(), StoreError> {
        let again = !matches!(self.part, Part::Writer(_)) && sql.starts_with("SELECT");
        let mut rows = self.rows(sql, values);
        if again && matches!(rows, Err(StoreError::Away(_))) {
            rows = self.rows(sql, values);
        }
        rows?.iter().try_for_each(|row| read(&Row(row)))
    }

    /// As one statement over arrays.
    fn each_row_of_all(
        &self,
        sql: &str,
        width: usize,
        values: &[Value<'_>],
        read: &mut ReadOf<'_>,
    ) -> Result<(), StoreError> {
        if values.is_empty() {
            return Ok(());
        }
        let client = self.client_for(sql)?;
        let one = self.prepared(&client, sql)?.one;
        let rows = self.rows(
            &of_each(sql, one.params()),
            &columns::<Value<'_>>(width, values),
        )?;
        rows.iter().try_for_each(|row| {
            let row = Row(row);
            let ordinal: u64 = row.get("ordinal")?;
            read(usize::try_from(ordinal - 1).unwrap_or(usize::MAX), &row)
        })
    }

    /// What the writer commits is announced by its commit.
    fn fits(&self) -> Result<(), StoreError> {
        schema::fits(self)
    }

    fn announce(&self) -> Result<(), StoreError> {
        let Part::Publisher(node) = self.part else {
            return Ok(());
        };
        let (schema, node) = (&self.database.schema, node.0);
        self.run(&format!("SELECT pg_notify('{schema}', '{node}')"))
    }

    fn time(&self) -> Result<Option<Time>, StoreError> {
        let db: &dyn Db = self;
        db.value(TIME, &[]).map(Some)
    }
}
