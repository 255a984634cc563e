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

/// The values of rows of so many, as arrays.
pub(super) fn columns<'v>(width: usize, values: &[Value<'v>]) -> Vec<Vec<Value<'v>>> {
    let rows = values.chunks_exact(width);
    let column = |column| rows.clone().map(|row| row[column]).collect();
    (0..width).map(column).collect()
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
    let (arrays, names) = arrays(types);
    Some(format!(
        "{insert} SELECT {row} FROM unnest({arrays}) AS given ({names})"
    ))
}

/// The form of a statement that reads which takes an array for each parameter, and returns the rows for each
/// place in them, with the place as `ordinal`.
pub(super) fn of_each(sql: &str, types: &[Type]) -> String {
    let of = sql.replace('?', "given.p");
    let (arrays, names) = arrays(types);
    format!(
        "SELECT given.ordinal, found.* FROM unnest({arrays}) WITH ORDINALITY AS given ({names}, ordinal)
         CROSS JOIN LATERAL ({of}) AS found"
    )
}

/// The parameters as arrays of these types, and the names of their elements.
fn arrays(types: &[Type]) -> (String, String) {
    let of = |form: &dyn Fn(usize, &Type) -> String| {
        let each = (1..).zip(types).map(|(number, of)| form(number, of));
        each.collect::<Vec<_>>().join(", ")
    };
    let arrays = of(&|number, of| format!("${number}::{}[]", of.name()));
    (arrays, of(&|number, _| format!("p{number}")))
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
