//! What must hold for the configuration, in the words of those who write it.

mod alike;
mod buckets;
mod example;
mod problems;
mod schema;
mod secrets;
mod senders;
mod shown;
mod sources;
mod together;
mod values;
mod webhooks;

use std::path::Path;

use super::*;

/// The environment of these variables.
fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().copied().collect()
}

/// A configuration that has to be without problems.
fn config(toml: &str) -> Config {
    config_in(toml, &Environment::default())
}

fn config_in(toml: &str, environment: &Environment) -> Config {
    match Config::parse(Path::new("c.toml"), toml, environment) {
        Ok(config) => {
            let by_schema = schema::by_schema(toml).unwrap_or(Ok(()));
            assert_eq!(by_schema, Ok(()), "the schema refuses\n{toml}");
            config
        }
        Err(problems) => panic!("there should be no problem:\n{problems}"),
    }
}

/// The problems of a text, each as one line.
fn problems_in(toml: &str, environment: &Environment) -> Vec<String> {
    match Config::parse(Path::new("c.toml"), toml, environment) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(Problem::summary).collect(),
    }
}

/// Says that a text has exactly these problems, in this order.
#[track_caller]
fn check(toml: &str, expected: &[&str]) {
    let found = problems_in(toml, &Environment::default());
    assert_eq!(found, expected, "of:\n{toml}");
}

/// A pipeline without problems, in three lines.
const PIPELINE: &str =
    "[[pipeline]]\nname = \"www\"\nid = \"11111111-1111-4111-8111-111111111111\"\n";

/// [`PIPELINE`], then these lines, from line 4 on.
fn pipeline(lines: &str) -> String {
    format!("{PIPELINE}{lines}")
}

/// An origin of [`PIPELINE`] in two lines, then these, from line 6 on.
fn origin(lines: &str) -> String {
    pipeline(&format!(
        "[[pipeline.origin]]\nroot = \"/srv/www\"\n{lines}"
    ))
}
