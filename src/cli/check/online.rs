//! `edgepurge check --online`: asks the API about every pipeline, and says where it and the configuration differ:
//! project, and what is behind the pipeline. Asks each bucket how it is served, and the database whether it can have
//! the queue.

use std::collections::BTreeMap;

use super::buckets;
use crate::cli::run::unstarted;
use crate::cli::way::Way;
use crate::cli::{Failure, output};
use crate::config::{Config, Environment, Origin, Pipeline, Place};
use crate::core::mapping::Pages;
use crate::daemon;
use crate::scaleway::{Backend, BucketBackend};
use crate::store::{self, StoreError};

/// What was found.
#[derive(Default)]
struct Findings {
    problems: Vec<String>,
    /// Pipelines by why they can't be seen: what refuses several, such as a wrong key, is one problem.
    refused: BTreeMap<String, Vec<String>>,
}

/// Asks the API about every pipeline, every bucket how it is served, and the database whether it can have the queue.
pub(super) async fn online(
    config: &Config,
    environment: &Environment,
    way: &Way,
) -> Result<(), Failure> {
    let mut found = Findings::default();
    for pipeline in &config.pipelines {
        found.pipeline(pipeline, way).await?;
        for origin in pipeline.origins.iter().filter(|one| one.takes_keys()) {
            let name = origin.bucket.as_deref().unwrap_or_default();
            let said = match daemon::website(config, environment, origin).await {
                Ok(Some(website)) => {
                    let missing = daemon::uncovered(config, pipeline, origin, &website);
                    for missing in missing.map_err(|error| unstarted(&error))? {
                        note(pipeline, &missing);
                    }
                    format!("is a website: {website}")
                }
                Ok(None) if pipeline.pages == Pages::Exact => {
                    "is no website: each object is served at its key".to_owned()
                }
                Ok(None) => "is no website: each object is served at its key, and pages = \"exact\" purges no more \
                             than that"
                    .to_owned(),
                Err(why) => format!("may be a website, its configuration can't be read: {why}"),
            };
            note(pipeline, &format!("bucket {name} {said}"));
        }
        let ours = daemon::buckets(config, environment, pipeline);
        let problems = buckets::online(ours, &pipeline.name).await?;
        found.problems.extend(problems);
    }
    found.database(config, environment).await?;
    found.problems.extend(found.refused.into_iter().map(|(why, pipelines)| {
        let pipelines = pipelines.join(", ");
        format!(
            "pipeline {pipelines}: {why}\n  = help: check the id, and that the key may use Edge Services \
             in its project"
        )
    }));
    if found.problems.is_empty() {
        return Ok(());
    }
    Err(Failure::config(found.problems.join("\nerror: ")))
}

impl Findings {
    async fn pipeline(&mut self, pipeline: &Pipeline, way: &Way) -> Result<(), Failure> {
        let name = &pipeline.name;
        let theirs = match way.pipeline(&pipeline.id).await {
            Ok(theirs) => theirs,
            Err(failure) if failure.is_temporary() => {
                return Err(Failure::temporary(format!("pipeline {name}: {failure}")));
            }
            Err(failure) => {
                let pipelines = self.refused.entry(failure.to_string()).or_default();
                pipelines.push(name.clone());
                return Ok(());
            }
        };
        match &pipeline.project_id {
            Some(project) if *project != theirs.project_id => self.problems.push(format!(
                "pipeline {name} ({}) belongs to project {}, and its project_id says \
                 {project}; correct id or project_id",
                pipeline.id, theirs.project_id
            )),
            _ => note(
                pipeline,
                &format!(
                    "{} of project {}, {}",
                    theirs.name, theirs.project_id, theirs.status
                ),
            ),
        }
        match way.backends(&pipeline.id).await {
            Ok(backends) if backends.stages.is_empty() => {
                note(pipeline, "the API names nothing that is behind it");
            }
            Ok(backends) => {
                for backend in &backends.stages {
                    let (said, problem) = compared(pipeline, backend);
                    note(pipeline, &said);
                    self.problems.extend(problem);
                }
            }
            Err(failure) => note(
                pipeline,
                &format!("what is behind it can't be read from the API: {failure}"),
            ),
        }
        Ok(())
    }
}

impl Findings {
    async fn database(
        &mut self,
        config: &Config,
        environment: &Environment,
    ) -> Result<(), Failure> {
        let database = daemon::database(config, environment).map_err(Failure::config)?;
        let Some(database) = database else {
            if config.state.node.is_some() {
                output::to_stderr(
                    "warning: the database was not asked: there is a state.node, and neither database_url_file nor the \
                     credential database_url, which only the service has\n",
                );
            }
            return Ok(());
        };
        match store::survey(&database).await {
            Ok(survey) => {
                output::to_stderr(&format!("database: {}\n", survey.facts));
                for warning in survey.warnings {
                    output::to_stderr(&format!("warning: database: {warning}\n"));
                }
                let problems = survey.problems.into_iter();
                self.problems
                    .extend(problems.map(|problem| format!("database: {problem}")));
            }
            Err(StoreError::Unusable(why)) => self.problems.push(format!("database: {why}")),
            Err(error) => return Err(Failure::temporary(format!("database: {error}"))),
        }
        Ok(())
    }
}

fn note(pipeline: &Pipeline, text: &str) {
    output::to_stderr(&format!("pipeline {}: {text}\n", pipeline.name));
}

/// What is said of a backend beside the origins of its pipeline, and the problem, if it is one.
fn compared(pipeline: &Pipeline, backend: &Backend) -> (String, Option<String>) {
    let buckets: Vec<(&Origin, &str, &str)> = pipeline
        .origins
        .iter()
        .filter_map(|origin| match origin.place()? {
            Place::Bucket { name, region, .. } => Some((origin, name, region)),
            Place::Directory(_) => None,
        })
        .collect();
    let name = &pipeline.name;
    match backend {
        Backend::Bucket(theirs) if buckets.is_empty() => {
            let instead = match pipeline.origins.first() {
                Some(origin) => format!("origin `{}` is a directory", origin.name),
                None => "it has no origin".to_owned(),
            };
            let lines = format!(
                "{}, and {instead}: what is uploaded is noticed with bucket = \"{}\" and region = \"{}\" in a \
                 [[pipeline.origin]]",
                theirs,
                theirs.name.as_deref().unwrap_or("…"),
                theirs.region.as_deref().unwrap_or("…"),
            );
            (format!("serves {lines}"), None)
        }
        Backend::Bucket(theirs) => {
            let problem = differs(theirs, &buckets);
            let problem = problem.map(|why| format!("pipeline {name} serves {theirs}, and {why}"));
            (format!("serves {theirs}"), problem)
        }
        Backend::LoadBalancer => {
            let bucket = buckets.first().map_or_else(String::new, |(origin, ..)| {
                format!(
                    ", and origin `{}` is a bucket, which only a server behind it can serve",
                    origin.name
                )
            });
            (format!("serves a load balancer{bucket}"), None)
        }
        Backend::Other(sort) => {
            let sort = match sort.as_str() {
                "" => "something that the API does not name".to_owned(),
                sort => format!("`{sort}`, as the API calls it"),
            };
            (
                format!("serves {sort}: not compared with its origins"),
                None,
            )
        }
    }
}

/// How the buckets of the configuration differ from the one that the pipeline serves; what the API does not say
/// is no difference.
fn differs(theirs: &BucketBackend, buckets: &[(&Origin, &str, &str)]) -> Option<String> {
    let is = |said: &Option<String>, ours: &str| said.as_deref().is_none_or(|said| said == ours);
    let named: Vec<_> = { buckets.iter() }
        .filter(|(_, name, _)| is(&theirs.name, name))
        .collect();
    let Some((origin, _, region)) = named.first() else {
        let (origin, name, _) = buckets.first()?;
        return Some(format!(
            "origin `{}` is the bucket {name}; correct bucket, or the pipeline's id",
            origin.name
        ));
    };
    if named
        .iter()
        .any(|(_, _, region)| is(&theirs.region, region))
    {
        return None;
    }
    Some(format!(
        "origin `{}` has it in the region {region}; correct region",
        origin.name
    ))
}
