//! What the account has, where there is a key: its pipelines, and what is behind the one that is set up.

use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _};

use crate::cli::{Failure, Global, output};
use crate::config::{Config, EXAMPLE_ID, Environment};
use crate::core::change::PipelineId;
use crate::core::purge::Refusal;
use crate::scaleway::{Backend, Client, PAGE_SIZE, StagedPipeline};

/// No account has more pages of pipelines than this.
const PAGES: u32 = 20;

/// The account of the key.
pub(super) struct Account {
    client: Client,
}

impl Account {
    /// The account; `None` where there is no key.
    pub(super) fn find(environment: &Environment) -> Result<Option<Self>, Failure> {
        let text = super::short(EXAMPLE_ID, &super::Served::Nothing)?;
        let config = Config::parse("the environment".as_ref(), &text, environment)
            .map_err(|problems| Failure::config(problems.to_string()))?;
        match config.scaleway.secret_key(environment) {
            Ok(Some(_)) => Ok(Some(Self {
                client: Global::api(&config)?,
            })),
            Ok(None) | Err(_) => Ok(None),
        }
    }

    /// The pipeline that a person chooses, or the only one; `None` where there is none to be seen.
    pub(super) async fn choose(&self) -> Result<Option<String>, Failure> {
        let pipelines = match self.pipelines().await {
            Ok(pipelines) => pipelines,
            Err(refusal) => {
                note(&format!(
                    "the account's pipelines can't be listed: {refusal}"
                ));
                return Ok(None);
            }
        };
        match pipelines.as_slice() {
            [] => {
                note(
                    "the key sees no pipeline; it is made in the console, or its project is another",
                );
                Ok(None)
            }
            [only] => {
                note(&format!(
                    "the key sees one pipeline:\n{}",
                    table(&pipelines)
                ));
                Ok(Some(only.pipeline.id.clone()))
            }
            several => chosen(several).map(Some),
        }
    }

    async fn pipelines(&self) -> Result<Vec<StagedPipeline>, Refusal> {
        let mut pipelines = Vec::new();
        for page in 1..=PAGES {
            let found = self.client.list_pipelines(page).await?.value;
            let last = found.pipelines.len() < PAGE_SIZE as usize;
            pipelines.extend(found.pipelines);
            if last || pipelines.len() as u64 >= found.total_count {
                break;
            }
        }
        pipelines.retain(|one| !one.pipeline.id.is_empty());
        Ok(pipelines)
    }

    /// What is behind a pipeline, as far as the API says it; what it does not say is said.
    pub(super) async fn backend(&self, id: &str) -> Result<Option<Backend>, Failure> {
        let id = PipelineId::new(id);
        match self.client.list_backends(&id).await {
            Ok(reply) => {
                let stages = reply.value.stages;
                let bucket = |one: &&Backend| matches!(one, Backend::Bucket(_));
                let first = stages.iter().find(bucket).or(stages.first());
                if stages.len() > 1 {
                    let shown = stages.iter().map(shown).collect::<Vec<_>>().join(", ");
                    note(&format!(
                        "several things are behind the pipeline: {shown}; only one is written"
                    ));
                } else if stages.is_empty() {
                    note("the API names nothing that is behind the pipeline");
                }
                Ok(first.cloned())
            }
            Err(Refusal::NotFound(why)) => Err(Failure::failed(format!(
                "the API knows no pipeline {id}: {why}; nothing was written"
            ))),
            Err(refusal) => {
                note(&format!(
                    "what is behind the pipeline can't be read: {refusal}"
                ));
                Ok(None)
            }
        }
    }
}

fn note(text: &str) {
    output::to_stderr(&format!("{}\n", text.trim_end()));
}

/// Asks which one, on a terminal.
fn chosen(pipelines: &[StagedPipeline]) -> Result<String, Failure> {
    note(&format!(
        "the key sees {} pipelines:\n{}",
        pipelines.len(),
        table(pipelines)
    ));
    let none = || {
        Failure::usage("several pipelines, and none is chosen; nothing was written")
            .help("edgepurge init --pipeline-id ID")
    };
    if !std::io::stdin().is_terminal() {
        return Err(none());
    }
    output::to_stderr("which one? its number: ");
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::failed(format!("stdin: {error}")))?;
    let number = line.trim().parse::<usize>().ok();
    let chosen = number.and_then(|number| pipelines.get(number.checked_sub(1)?));
    chosen.map(|one| one.pipeline.id.clone()).ok_or_else(none)
}

/// A line for each pipeline: number, id, name, what is behind it.
fn table(pipelines: &[StagedPipeline]) -> String {
    let mut text = String::new();
    let longest = pipelines
        .iter()
        .map(|one| one.pipeline.name.chars().count());
    let width = longest.max().unwrap_or_default();
    for (number, one) in (1..).zip(pipelines) {
        let behind = match one.backend_stages.as_slice() {
            [] => "nothing that the API names".to_owned(),
            stages => stages.iter().map(shown).collect::<Vec<_>>().join(", "),
        };
        let (id, name) = (&one.pipeline.id, &one.pipeline.name);
        writeln!(text, "{number:>3}  {id}  {name:<width$}  {behind}").unwrap_or_default();
    }
    text
}

fn shown(backend: &Backend) -> String {
    match backend {
        Backend::Bucket(bucket) => bucket.to_string(),
        Backend::LoadBalancer => "a load balancer".to_owned(),
        Backend::Other(sort) if sort.is_empty() => "something without a name".to_owned(),
        Backend::Other(sort) => sort.clone(),
    }
}
