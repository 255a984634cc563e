//! A session of a database in memory, which others share: one of them works at a time. Where it is a node's, its
//! commits have marks, and it notices that the database has gone back, as one does whose server is another.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, MAIN_DB};

use super::StoreError;
use crate::core::time::Time;
use crate::store::calls::batch;
use crate::store::calls::node::Identity;
use crate::store::db::{Db, Read, Session, Value};
use crate::store::marks::Marks;
use crate::store::sqlite::failed;

/// A database in memory.
pub(super) struct Shared {
    /// `None` while a session works.
    connection: Mutex<Option<Box<Connection>>>,
    /// How often it went back.
    times_back: AtomicU64,
    /// Milliseconds.
    time: AtomicU64,
}

impl Shared {
    pub(super) fn new(connection: Connection) -> Arc<Self> {
        Arc::new(Self {
            connection: Mutex::new(Some(Box::new(connection))),
            times_back: AtomicU64::default(),
            time: AtomicU64::default(),
        })
    }

    fn place(&self) -> MutexGuard<'_, Option<Box<Connection>>> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the connection, or gives it back.
    fn replace(&self, connection: Option<Box<Connection>>) -> Option<Box<Connection>> {
        std::mem::replace(&mut *self.place(), connection)
    }

    /// The bytes of the database.
    pub(super) fn snapshot(&self) -> Result<Vec<u8>, StoreError> {
        let mut connection = self.place();
        let connection = connection.as_mut().ok_or(StoreError::Closed)?;
        let bytes = connection.serialize(MAIN_DB);
        Ok(bytes.map_err(failed)?.to_vec())
    }

    /// The database is this one from now on.
    pub(super) fn go_back(&self, to: Connection) {
        self.replace(Some(Box::new(to)));
        self.times_back.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_time(&self, now: Time) {
        self.time.store(now.millis(), Ordering::Relaxed);
    }

    fn time(&self) -> Time {
        Time::from_millis(self.time.load(Ordering::Relaxed))
    }
}

/// One of the sessions.
pub(super) struct InlineSession {
    shared: Arc<Shared>,
    /// While it works, or has a transaction.
    connection: RefCell<Option<Box<Connection>>>,
    /// What a node that writes, or reads, remembers; `None` for a queue that is not shared.
    node: Option<(Marks, Option<Identity>)>,
    /// How often the database had gone back when it worked last.
    times_back: Cell<u64>,
    /// Whether the transaction has written anything.
    wrote: Cell<bool>,
}

impl InlineSession {
    /// Of a queue that one process uses.
    pub(super) fn alone(shared: &Arc<Shared>) -> Self {
        Self::new(shared, None)
    }

    /// Of a node, which writes as this one, or else writes nothing that needs a mark.
    pub(super) fn of_node(shared: &Arc<Shared>, marks: Marks, identity: Option<Identity>) -> Self {
        let session = Self::new(shared, Some((marks, identity)));
        if let Some((marks, _)) = &session.node {
            marks.connected(session.times_back.get().to_string());
        }
        session
    }

    fn new(shared: &Arc<Shared>, node: Option<(Marks, Option<Identity>)>) -> Self {
        Self {
            shared: Arc::clone(shared),
            connection: RefCell::default(),
            node,
            times_back: Cell::new(shared.times_back.load(Ordering::Relaxed)),
            wrote: Cell::default(),
        }
    }

    pub(super) fn marks(&self) -> Option<&Marks> {
        self.node.as_ref().map(|(marks, _)| marks)
    }

    /// Takes the connection, unless it has it. It is another one where the database has gone back. Returns whether it
    /// had it not.
    fn enter(&self) -> Result<bool, StoreError> {
        if self.connection.borrow().is_some() {
            return Ok(false);
        }
        let connection = self.shared.replace(None);
        if connection.is_none() {
            return Err(StoreError::Failed(
                "another session works".to_owned().into(),
            ));
        }
        self.connection.replace(connection);
        let followed = self.follow();
        if followed.is_err() {
            self.leave();
        }
        followed.map(|()| true)
    }

    fn leave(&self) {
        self.shared.replace(self.connection.take());
    }

    /// Looks what the database has, where it may have gone back since.
    fn follow(&self) -> Result<(), StoreError> {
        let Some((marks, identity)) = &self.node else {
            return Ok(());
        };
        let times_back = self.shared.times_back.load(Ordering::Relaxed);
        if times_back == self.times_back.get() && !marks.is_of_former_server() {
            return Ok(());
        }
        marks.connected(times_back.to_string());
        if let (Some(node), Some(identity)) = (marks.node(), identity) {
            self.run("BEGIN IMMEDIATE")?;
            let found = marks.resolve(self, node, identity);
            self.run(if found.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
            marks.conclude(found?, self.shared.time())?;
        }
        self.times_back.set(times_back);
        Ok(())
    }

    fn run(&self, sql: &str) -> Result<(), StoreError> {
        Db::execute(self, sql, &[]).map(drop)
    }

    /// Runs something on the connection. It may run something itself.
    fn with<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let entered = self.enter()?;
        let done = match self.connection.borrow().as_deref() {
            Some(connection) => work(connection),
            None => Err(StoreError::Closed),
        };
        if entered {
            self.leave();
        }
        done
    }

    fn writes(&self, sql: &str) {
        self.wrote
            .set(self.wrote.get() || !sql.starts_with("SELECT"));
    }
}

impl Session for InlineSession {
    fn begin(&self) -> Result<(), StoreError> {
        self.enter()?;
        let begun = self.run("BEGIN IMMEDIATE");
        if begun.is_err() {
            self.leave();
        }
        self.wrote.set(false);
        begun
    }

    fn commit(&self) -> Result<(), StoreError> {
        let marks = self.marks().filter(|_| self.wrote.get());
        let node = marks.and_then(|marks| Some((marks, marks.node()?)));
        let mut added = None;
        if let Some((marks, node)) = node {
            let last = marks.last();
            if batch::last(self, node)? != last {
                let why = "another process has written".to_owned();
                return Err(StoreError::Away(why.into()));
            }
            let next = last.next(fastrand::i64(..));
            batch::add(self, node, std::iter::once(next))?;
            added = next.mark.map(|mark| (marks, mark));
        }
        self.run("COMMIT")?;
        self.leave();
        if let Some((marks, mark)) = added {
            marks.acknowledged(mark, self.shared.time());
        }
        Ok(())
    }

    fn roll_back(&self) -> Result<(), StoreError> {
        self.run("ROLLBACK")?;
        self.leave();
        Ok(())
    }

    fn in_transaction(&self) -> bool {
        let connection = self.connection.borrow();
        connection.as_ref().is_some_and(|one| !one.is_autocommit())
    }

    fn db(&self) -> &dyn Db {
        self
    }
}

impl Db for InlineSession {
    fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, StoreError> {
        self.writes(sql);
        self.with(|connection| Db::execute(connection, sql, values))
    }

    fn execute_all(&self, sql: &str, width: usize, values: &[Value<'_>]) -> Result<(), StoreError> {
        self.writes(sql);
        self.with(|connection| connection.execute_all(sql, width, values))
    }

    fn each_row(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: &mut Read<'_>,
    ) -> Result<(), StoreError> {
        self.with(|connection| connection.each_row(sql, values, read))
    }
}
