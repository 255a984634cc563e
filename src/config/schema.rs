//! The JSON schema of the configuration, from the tables of keys. Editors complete and check a file with
//! it; what keys mean together only [`Config::parse`](super::Config::parse) knows.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::webhook::kind::SENDERS;

use super::keys::{Absent, Key, Table, tables};
use super::origin;
use super::webhook::auths;

/// The schema (draft 2020-12).
#[must_use]
pub fn schema() -> Value {
    let tables = tables();
    let mut root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "edgepurge",
        "description": "The configuration of edgepurge, a TOML file.",
        "type": "object",
        "additionalProperties": false,
    });
    root["properties"] = Value::Object(below("", &tables));
    root
}

/// The tables right below a path, each with its own.
fn below(path: &str, tables: &[Table]) -> Map<String, Value> {
    let mut properties = Map::new();
    for table in tables {
        let (parent, name) = table.path().rsplit_once('.').unwrap_or(("", table.path()));
        if parent != path {
            continue;
        }
        let mut object = object(table);
        if let Some(own) = object["properties"].as_object_mut() {
            own.extend(below(table.path(), tables));
        }
        let schema = if table.is_list() {
            json!({ "type": "array", "description": table.about, "items": object })
        } else {
            object["description"] = table.about.as_str().into();
            object
        };
        properties.insert(name.to_owned(), schema);
    }
    properties
}

fn object(table: &Table) -> Value {
    let properties: Map<String, Value> = table
        .keys
        .iter()
        .map(|key| (key.name.to_owned(), property(key)))
        .collect();
    let mut object = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    // Keys that only some kinds have are required by some of those only.
    let required: Vec<&str> = table
        .keys
        .iter()
        .filter(|key| key.absent == Absent::Required && key.kinds.is_empty())
        .map(|key| key.name)
        .collect();
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    let has = |key: &str| table.keys.iter().any(|one| one.name == key);
    if origin::ONE_OF.iter().all(|key| has(key)) {
        // A strict validator wants to see what is required among the properties.
        let with = |key: &str| json!({ "properties": { (key): true }, "required": [key] });
        object["oneOf"] = json!(origin::ONE_OF.map(with));
    }
    if table.keys.iter().any(|key| !key.kinds.is_empty()) {
        object["allOf"] = SENDERS
            .iter()
            .map(|sender| of_kind(table, sender.name, &auths(sender)))
            .collect();
    }
    object
}

/// What holds for one kind of webhook.
fn of_kind(table: &Table, kind: &str, auths: &[&str]) -> Value {
    let mut properties: Map<String, Value> = table
        .keys
        .iter()
        .filter(|key| !key.kinds.is_empty() && !key.kinds.contains(&kind))
        .map(|key| (key.name.to_owned(), Value::Bool(false)))
        .collect();
    properties.insert("auth".to_owned(), json!({ "enum": auths }));
    json!({
        "if": { "required": ["kind"], "properties": { "kind": { "const": kind } } },
        "then": { "properties": properties },
    })
}

fn property(key: &Key) -> Value {
    let mut schema = key.shape.schema();
    schema["description"] = described(key).into();
    if let Absent::Default(value) = &key.absent {
        schema["default"] = json!(value);
    }
    schema
}

/// The meaning of a key, with what the schema can't say.
fn described(key: &Key) -> String {
    let mut text = key.about.clone();
    if let Some((least, most)) = key.shape.range() {
        // Writing to a text does not fail.
        write!(text, " {least} to {most}.").unwrap_or_default();
    }
    if let Some(name) = key.environment {
        write!(text, " Environment: {name}.").unwrap_or_default();
    }
    text
}
