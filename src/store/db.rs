//! The seam below the statements: what an engine has to do to run them, and how their values and rows
//! look.
//!
//! It is synchronous, as each engine has a thread of its own: what is between the statements of a
//! transaction is written once, without a wait in it. An engine whose server is elsewhere waits in
//! its thread.

use std::sync::Arc;

use super::{StoreError, Why};
use crate::core::asset::Asset;
use crate::core::change::{PipelineId, Seq, Target};
use crate::core::lease::NodeId;
use crate::core::purge::RequestId;
use crate::core::round::RoundId;
use crate::core::time::Time;

/// Rows that are handed to an engine at once.
pub(in crate::store) const CHUNK: usize = 512;

/// A connection to a database.
pub(in crate::store) trait Db {
    /// Runs a statement. Returns how many rows it wrote.
    fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, StoreError>;

    /// Runs a statement once for each `width` values, in order. Of statements that read nothing of
    /// what the others of the call write, an engine may make one. It may wait for what becomes of them later:
    /// see [`Session::settle`].
    fn execute_all(&self, sql: &str, width: usize, values: &[Value<'_>]) -> Result<(), StoreError>;

    /// Runs a statement, and hands over each row that it returns.
    fn each_row(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: &mut Read<'_>,
    ) -> Result<(), StoreError>;

    /// Runs a statement that reads once for each `width` values, and hands over each row with the position of
    /// the values that it is for.
    fn each_row_of_all(
        &self,
        sql: &str,
        width: usize,
        values: &[Value<'_>],
        read: &mut ReadOf<'_>,
    ) -> Result<(), StoreError> {
        let mut all = values.chunks_exact(width).enumerate();
        all.try_for_each(|(at, of)| self.each_row(sql, of, &mut |row| read(at, row)))
    }

    /// Wakes the other nodes that share the database, where there are any: see [`Store::subscribe_others`].
    ///
    /// [`Store::subscribe_others`]: super::Store::subscribe_others
    fn announce(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Whether the tables are still those that this program knows: one of another version may have changed them since
    /// it began. [`StoreError::Unusable`]: they are not.
    fn fits(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The time on the machine of the database; `None`: that is this machine.
    fn time(&self) -> Result<Option<Time>, StoreError> {
        Ok(None)
    }
}

/// A connection on which one thread works, with its transactions. One to a server may be lost at any
/// moment: the next transaction makes it again.
pub(in crate::store) trait Session: Send {
    /// Begins a transaction, beside which nothing else is written.
    fn begin(&self) -> Result<(), StoreError>;

    /// Runs a statement of no values that sets, releases or goes back to a point in it.
    fn step(&self, sql: &'static str) -> Result<(), StoreError> {
        self.db().execute(sql, &[]).map(drop)
    }

    /// Waits until everything that was run until now is done: what writes need not have been waited for.
    fn settle(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Ends it, and keeps what it wrote. An error: nothing of it is kept, unless [`Session::in_doubt`].
    fn commit(&self) -> Result<(), StoreError>;

    /// Ends it, and keeps nothing.
    fn roll_back(&self) -> Result<(), StoreError>;

    /// Whether a transaction is open: on some errors an engine ends it.
    fn in_transaction(&self) -> bool;

    /// Why a transaction is not open any more that was not ended.
    fn given_up(&self) -> StoreError {
        let why = "the store: the transaction was given up; nothing of it was kept";
        StoreError::Failed(why.to_owned().into())
    }

    /// Whether it is not known yet what became of a commit: no other transaction begins before it is.
    fn in_doubt(&self) -> bool {
        false
    }

    /// Once, after a commit was in doubt: whether it was kept.
    fn resolved(&self) -> Option<bool> {
        None
    }

    /// What runs statements.
    fn db(&self) -> &dyn Db;
}

/// Takes a row. It may run other statements.
pub(in crate::store) type Read<'r> = dyn FnMut(&Row<'_>) -> Result<(), StoreError> + 'r;
/// Takes a row, and the position of the values that it is for.
pub(in crate::store) type ReadOf<'r> = dyn FnMut(usize, &Row<'_>) -> Result<(), StoreError> + 'r;

impl dyn Db + '_ {
    /// All rows of a statement.
    pub(in crate::store) fn query<T, All: FromIterator<T>>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<All, StoreError> {
        let mut rows = Vec::new();
        self.each_row(sql, values, &mut |row| {
            rows.push(read(row)?);
            Ok(())
        })?;
        Ok(rows.into_iter().collect())
    }

    /// The row of a statement that returns one or none.
    pub(in crate::store) fn optional<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut found = None;
        self.each_row(sql, values, &mut |row| {
            found = Some(read(row)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// The row of a statement that always returns one.
    pub(in crate::store) fn one<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let found = self.optional(sql, values, read)?;
        found.ok_or_else(|| unreadable(&format!("no row from {sql}")))
    }

    /// The only value of a statement that always returns one row of one column.
    pub(in crate::store) fn value<T: for<'v> FromValue<'v>>(
        &self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<T, StoreError> {
        self.one(sql, values, |row| row.first())
    }

    /// Runs a statement once for each row of values, in order: one that writes, and reads nothing of
    /// what the others write.
    pub(in crate::store) fn many<'v, const WIDTH: usize>(
        &self,
        sql: &str,
        rows: impl IntoIterator<Item = [Value<'v>; WIDTH]>,
    ) -> Result<(), StoreError> {
        let mut rows = rows.into_iter();
        loop {
            let chunk: Vec<_> = rows.by_ref().take(CHUNK).collect();
            if !chunk.is_empty() {
                self.execute_all(sql, WIDTH, chunk.as_flattened())?;
            }
            if chunk.len() < CHUNK {
                return Ok(());
            }
        }
    }
}

/// The value of a parameter, or of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Value<'v> {
    Null,
    Int(i64),
    Text(&'v str),
    Bytes(&'v [u8]),
}

/// The values of a statement's parameters, in order.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        [$($crate::store::db::Value::from($value)),*]
    };
}
pub(in crate::store) use values;

/// A row that a statement returns.
pub(in crate::store) struct Row<'r>(pub(in crate::store) &'r dyn Columns);

/// The columns of a row.
pub(in crate::store) trait Columns {
    /// The position of a column.
    fn position(&self, name: &str) -> Option<usize>;

    /// The value in a column.
    fn at(&self, position: usize) -> Result<Value<'_>, StoreError>;
}

impl Row<'_> {
    /// The value in a column.
    pub(in crate::store) fn get<'v, T: FromValue<'v>>(
        &'v self,
        column: &str,
    ) -> Result<T, StoreError> {
        let position = self.0.position(column);
        let position = position.ok_or_else(|| unreadable(&format!("no column {column}")))?;
        self.read(position, column)
    }

    /// The value in the first column, which may have no name.
    pub(in crate::store) fn first<'v, T: FromValue<'v>>(&'v self) -> Result<T, StoreError> {
        self.read(0, "first")
    }

    /// A word of a fixed set. One that is not in it is damage, not something to guess at.
    pub(in crate::store) fn word<T>(
        &self,
        column: &str,
        parse: fn(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let text: &str = self.get(column)?;
        parse(text).ok_or_else(|| unreadable(&format!("`{text}` is no {column}")))
    }

    fn read<'v, T: FromValue<'v>>(
        &'v self,
        position: usize,
        column: &str,
    ) -> Result<T, StoreError> {
        let value = self.0.at(position)?;
        T::from_value(value)
            .ok_or_else(|| unreadable(&format!("column {column} has another type: {value:?}")))
    }
}

/// What was stored is not what this program stores.
fn unreadable(why: &str) -> StoreError {
    StoreError::Failed(Why::from(format!("the store: {why}")))
}

/// What a column can be read as.
pub(in crate::store) trait FromValue<'v>: Sized {
    /// `None`: the column holds another type.
    fn from_value(value: Value<'v>) -> Option<Self>;
}

/// A number for the database, which has signed ones only.
pub(in crate::store) fn int(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A number from the database. None that was written there is negative.
pub(in crate::store) fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// How types become values: those that a number stands for, and those that a text stands for.
macro_rules! into_value {
    ($($type:ty: $given:ident => $value:expr;)+) => {
        $(impl<'v> From<$type> for Value<'v> {
            fn from($given: $type) -> Self {
                $value
            }
        })+
    };
}

into_value! {
    i64: number => Self::Int(number);
    u64: number => Self::Int(int(number));
    u32: number => Self::Int(i64::from(number));
    usize: number => Self::Int(int(number));
    bool: flag => Self::Int(i64::from(flag));
    Seq: seq => Self::from(seq.0);
    NodeId: node => Self::Int(node.0);
    Time: time => Self::from(time.millis());
    RequestId: request => Self::from(request.0);
    RoundId: round => Self::from(round.0);
    &'v str: text => Self::Text(text);
    &'v String: text => Self::Text(text);
    &'v PipelineId: pipeline => Self::Text(pipeline.as_str());
    &'v Asset: asset => Self::Text(asset.as_str());
    &'v [u8]: bytes => Self::Bytes(bytes);
    &'v [u8; 32]: bytes => Self::Bytes(bytes);
}

impl<T: Into<Self>> From<Option<T>> for Value<'_> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// How types are read: from a number, from a text, or from bytes.
macro_rules! from_value {
    ($($type:ty: $kind:ident($stored:ident) => $read:expr;)+) => {
        $(impl<'v> FromValue<'v> for $type {
            fn from_value(value: Value<'v>) -> Option<Self> {
                let Value::$kind($stored) = value else { return None };
                $read
            }
        })+
    };
}

from_value! {
    i64: Int(number) => Some(number);
    u64: Int(number) => Some(uint(number));
    u32: Int(number) => u32::try_from(number).ok();
    bool: Int(number) => Some(number != 0);
    Seq: Int(number) => Some(Self(uint(number)));
    NodeId: Int(number) => Some(Self(number));
    Time: Int(millis) => Some(Self::from_millis(uint(millis)));
    RequestId: Int(number) => Some(Self(uint(number)));
    RoundId: Int(number) => Some(Self(uint(number)));
    &'v str: Text(text) => Some(text);
    String: Text(text) => Some(text.to_owned());
    Arc<str>: Text(text) => Some(text.into());
    PipelineId: Text(text) => Some(Self::new(text));
    Asset: Text(text) => Some(Self::from_stored(text));
    &'v [u8]: Bytes(bytes) => Some(bytes);
    Vec<u8>: Bytes(bytes) => Some(bytes.to_vec());
    [u8; 32]: Bytes(bytes) => bytes.try_into().ok();
}

/// A change of everything names no asset.
impl<'v> From<&'v Target> for Value<'v> {
    fn from(target: &'v Target) -> Self {
        match target {
            Target::Asset(asset) => Self::from(asset),
            Target::All => Self::Null,
        }
    }
}

impl<'v> FromValue<'v> for Target {
    fn from_value(value: Value<'v>) -> Option<Self> {
        let asset = Option::from_value(value)?;
        Some(asset.map_or(Self::All, Self::Asset))
    }
}

impl<'v, T: FromValue<'v>> FromValue<'v> for Option<T> {
    fn from_value(value: Value<'v>) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}
