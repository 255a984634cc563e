//! The configuration: reads the file, the environment and the scw profile into plain typed data,
//! and says everything that is wrong with them at once, with its place and what to do.
//!
//! It is the only reader of the environment. It starts nothing and keeps nothing; secrets are read
//! when they are asked for, and again each time.

mod alike;
mod bucket;
mod certificate;
mod document;
mod duration;
mod effective;
mod environment;
mod glob;
mod keys;
mod manual;
mod model;
mod origin;
mod pipeline;
mod problem;
mod range;
mod reader;
mod rule;
mod scaleway;
mod schema;
mod scw_profile;
mod secret;
mod secret_doubts;
mod secret_file;
mod section;
mod server;
mod shape;
mod size;
mod state;
mod syntax;
mod unique;
mod value;
mod verify;
mod webhook;
mod webhook_listener;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

pub use alike::digests;
pub use bucket::Place;
pub use effective::{Provenance, Setting, as_toml};
pub use environment::Environment;
pub use manual::manual;
pub use model::{ApiUrl, Config, Group, Percent, SecretPlace, Webhook, WebhookListen};
pub use origin::Origin;
pub use pipeline::{EXAMPLE_ID, Pipeline};
pub use problem::{Part, Problem, Problems};
pub use scaleway::Scaleway;
pub use schema::schema;
pub use secret::{Secret, SecretSource, read_secret};
pub use state::{Admin, State};
pub use verify::Verify;
pub use webhook_listener::Webhooks;

use reader::Reader;
use section::Section;

/// The largest configuration file, in bytes.
const FILE_LIMIT: u64 = 1 << 20;

impl Config {
    /// Reads a configuration file. Fails with everything that is wrong, in the order of the file;
    /// does not read secrets, which [`Scaleway::secret_key`] and [`Admin::token`] do.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, Problems> {
        Self::parse(path, &read_file(path)?, environment)
    }

    /// As [`Config::load`], of a text; `path` only says where it is from.
    pub fn parse(path: &Path, text: &str, environment: &Environment) -> Result<Self, Problems> {
        match Self::read(path, text, environment) {
            (config, None) => Ok(config),
            (_, Some(problems)) => Err(problems),
        }
    }

    /// The control socket of a file, also of one with problems, which are beside it: a daemon that runs goes on with
    /// what the file was before.
    ///
    /// # Errors
    /// When there is no such file, or it is no text.
    pub fn load_socket(
        path: &Path,
        environment: &Environment,
    ) -> Result<(PathBuf, Option<Problems>), Problems> {
        let (config, problems) = Self::read(path, &read_file(path)?, environment);
        Ok((config.admin.socket, problems))
    }

    /// What is refused of the text has its default.
    fn read(path: &Path, text: &str, environment: &Environment) -> (Self, Option<Problems>) {
        let (mut reader, table) = Reader::new(&path.display().to_string(), text, environment);
        let mut root = Section::root(&table);
        let section = reader.table(&mut root, "scaleway");
        let scaleway = scaleway::read(&mut reader, section);
        let section = reader.table(&mut root, "state");
        let state = state::read_state(&mut reader, section);
        let section = reader.table(&mut root, "webhooks");
        let webhooks = webhook_listener::read(&mut reader, section);
        let section = reader.table(&mut root, "admin");
        let admin = state::read_admin(&mut reader, section);
        let sections = reader.tables(&mut root, "pipeline");
        if sections.is_empty() && !root.has("pipeline") {
            reader.warn(
                "pipeline",
                &(0..0),
                "is missing: nothing is watched, and nothing purged but by `requests create`",
                "add a [[pipeline]]",
            );
        }
        let pipelines = pipeline::read_all(
            &mut reader,
            sections,
            &state.directory,
            &webhooks,
            &scaleway,
        );
        reader.end(&root);
        let (problems, warnings, settings) = reader.finish();
        let config = Self {
            file: path.to_owned(),
            scaleway,
            state,
            admin,
            webhooks,
            pipelines,
            warnings,
            settings,
        };
        (config, Problems::from_list(problems))
    }
}

fn read_file(path: &Path) -> Result<String, Problems> {
    const HINT: &str = "`edgepurge init` writes one; --config or EDGEPURGE_CONFIG names \
                        another";
    let problem = |why: &str, hint: &str| Problems::from(Problem::of_file(path, "", why, hint));
    let unreadable = |error: std::io::Error| problem(&format!("can't be read: {error}"), HINT);
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_LIMIT {
        return Err(problem("is larger than 1 MiB", HINT));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = error.as_bytes().iter().take(good);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        problem(
            &format!("is not UTF-8: line {line} has a byte that no text has"),
            "save the file as UTF-8",
        )
    })
}

#[cfg(test)]
mod tests;

/// Reads a duration as people write them: `500ms`, `10s`, `5m`, `1h`, `30d`.
///
/// # Errors
/// When it is anything else.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    duration::parse(text)
        .ok_or_else(|| "write a number with a unit: 500ms, 10s, 5m, 1h, 30d".to_owned())
}
