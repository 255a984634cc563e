//! Statements and values in the form of `PostgreSQL`.

use bytes::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::failed;
use crate::store::StoreError;
use crate::store::db::{Columns, Value};

pub(super) fn parameters<V: ToSql + Sync>(values: &[V]) -> Vec<&(dyn ToSql + Sync)> {
    let values = values.iter();
    values.map(|value| value as &(dyn ToSql + Sync)).collect()
}

/// A statement in the form of `PostgreSQL`.
pub(super) fn translated(sql: &str) -> String {
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
pub(super) fn of_many(sql: &str, types: &[Type]) -> Option<String> {
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
