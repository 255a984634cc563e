//! `edgepurge check [--online] [--print]`

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;

use super::way::Way;
use super::{Failure, Format, Global, output};
use crate::config::{Config, Environment};
use crate::daemon;

mod buckets;
mod offline;
mod roots;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Ask the API about the key, each pipeline and its project, and the buckets.
    #[arg(long)]
    online: bool,
    /// Show the effective values, and where each is from.
    #[arg(long)]
    print: bool,
    /// Look through one root, as another user: what `check` runs itself for.
    #[arg(long, hide = true, value_name = "JSON")]
    look: Option<String>,
}

pub(super) async fn check(global: &Global, args: &CheckArgs) -> Result<ExitCode, Failure> {
    if let Some(look) = &args.look {
        return roots::look(look);
    }
    let environment = Environment::of_process();
    let (more, buckets) = match Config::load(&global.config, &environment) {
        Ok(config) => {
            let buckets = buckets::costs(&config, &environment);
            (roots::warnings(&config).await, buckets)
        }
        Err(_) => (Vec::new(), Vec::new()),
    };
    let format = match global.format {
        Format::Text => offline::Format::Text,
        Format::Json => offline::Format::Json,
    };
    let checked = offline::check(
        &global.config,
        &environment,
        args.print,
        format,
        offline::More {
            warnings: more,
            buckets,
        },
    );
    output::text(&checked.stdout)?;
    output::to_stderr(&checked.stderr);
    if checked.exit_code != 0 {
        return Ok(ExitCode::from(checked.exit_code));
    }
    if args.online {
        let config = global.load()?;
        online(&config, &environment, &Way::find(&config).await?).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks the API about every pipeline, and their buckets.
async fn online(config: &Config, environment: &Environment, way: &Way) -> Result<(), Failure> {
    let mut problems = Vec::new();
    let mut refused = BTreeMap::new();
    for pipeline in &config.pipelines {
        let name = &pipeline.name;
        match way.pipeline(&pipeline.id).await {
            Ok(theirs) => match &pipeline.project_id {
                Some(project) if *project != theirs.project_id => problems.push(format!(
                    "pipeline {name} ({}) belongs to project {}, and its project_id says \
                         {project}; correct id or project_id",
                    pipeline.id, theirs.project_id
                )),
                _ => output::to_stderr(&format!(
                    "pipeline {name}: {} of project {}, {}\n",
                    theirs.name, theirs.project_id, theirs.status
                )),
            },
            Err(failure) if failure.is_temporary() => {
                return Err(Failure::temporary(format!("pipeline {name}: {failure}")));
            }
            Err(failure) => {
                let pipelines: &mut Vec<&str> = refused.entry(failure.to_string()).or_default();
                pipelines.push(name);
            }
        }
        let buckets = daemon::buckets(config, environment, pipeline);
        problems.extend(buckets::online(buckets, name).await?);
    }
    // What refuses several, such as a wrong key, is one problem.
    problems.extend(refused.into_iter().map(|(why, pipelines)| {
        let pipelines = pipelines.join(", ");
        format!(
            "pipeline {pipelines}: {why}\n  = help: check the id, and that the key may use Edge Services \
             in its project"
        )
    }));
    if problems.is_empty() {
        return Ok(());
    }
    Err(Failure::config(problems.join("\nerror: ")))
}
