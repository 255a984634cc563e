//! Statements on a connection of `SQLite`.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ParamsFromIter, ToSql, params_from_iter};

use super::failed;
use crate::store::StoreError;
use crate::store::db::{Columns, Db, Read, Row, Session, Value};

impl Session for Connection {
    fn begin(&self) -> Result<(), StoreError> {
        Db::execute(self, "BEGIN IMMEDIATE", &[]).map(drop)
    }

    fn commit(&self) -> Result<(), StoreError> {
        Db::execute(self, "COMMIT", &[]).map(drop)
    }

    fn roll_back(&self) -> Result<(), StoreError> {
        Db::execute(self, "ROLLBACK", &[]).map(drop)
    }

    fn in_transaction(&self) -> bool {
        !self.is_autocommit()
    }

    fn db(&self) -> &dyn Db {
        self
    }
}

impl Db for Connection {
    fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, StoreError> {
        let execute = || self.prepare_cached(sql)?.execute(bound(values));
        execute().map_err(failed)
    }

    /// What a row has in common with the one before is bound once: to bind a text costs as much as to
    /// bind many numbers.
    fn execute_all(&self, sql: &str, width: usize, values: &[Value<'_>]) -> Result<(), StoreError> {
        let execute = || {
            let mut statement = self.prepare_cached(sql)?;
            let mut before: &[Value<'_>] = &[];
            for row in values.chunks_exact(width) {
                for (position, value) in row.iter().enumerate() {
                    if before.get(position) != Some(value) {
                        statement.raw_bind_parameter(position + 1, value)?;
                    }
                }
                statement.raw_execute()?;
                before = row;
            }
            Ok(())
        };
        execute().map_err(failed)
    }

    fn each_row(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: &mut Read<'_>,
    ) -> Result<(), StoreError> {
        let mut statement = self.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query(bound(values)).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            read(&Row(row))?;
        }
        Ok(())
    }
}

fn bound<'v>(values: &'v [Value<'v>]) -> ParamsFromIter<&'v [Value<'v>]> {
    params_from_iter(values)
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Value::Null => ValueRef::Null,
            Value::Int(number) => ValueRef::Integer(number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl Columns for rusqlite::Row<'_> {
    fn position(&self, name: &str) -> Option<usize> {
        self.as_ref().column_index(name).ok()
    }

    fn at(&self, position: usize) -> Result<Value<'_>, StoreError> {
        let value = || {
            Ok(match self.get_ref(position)? {
                ValueRef::Integer(number) => Value::Int(number),
                ValueRef::Blob(bytes) => Value::Bytes(bytes),
                text @ ValueRef::Text(_) => Value::Text(text.as_str()?),
                ValueRef::Null => Value::Null,
                real @ ValueRef::Real(_) => Value::Int(real.as_i64()?),
            })
        };
        value().map_err(failed)
    }
}
