//! `edgepurge drop PIPELINE`: gives up what is queued and failed of a pipeline, asked twice.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::process::ExitCode;

use clap::Args;

use super::client::Daemon;
use super::{Failure, Global, output};
use crate::admin::api::{CountAnswer, DropBody, Status};

#[derive(Debug, Args)]
pub(super) struct DropArgs {
    /// The pipeline's name or id; the id where it is in the config no more.
    #[arg(add = super::completions::pipelines())]
    pipeline: String,
    /// The pipeline's name or id once more, in place of the questions, where there is no terminal.
    #[arg(long, value_name = "PIPELINE", add = super::completions::pipelines())]
    confirm: Option<String>,
}

pub(super) async fn drop_queue(global: &Global, args: DropArgs) -> Result<ExitCode, Failure> {
    let daemon = Daemon::need(&global.socket()?).await?;
    let status = daemon.status().await?.value;
    let left = left(&status, &args.pipeline)?;
    if !is_sure(&args, left).await? {
        return Err(Failure::failed("nothing was dropped"));
    }
    let body = DropBody {
        confirm: args.pipeline.clone(),
        pipeline: args.pipeline,
    };
    let dropped = daemon
        .post_and_wait::<CountAnswer>("/api/v1/drop", &body)
        .await?;
    output::reply(global, &dropped, |dropped| {
        format!("{}: {} changes dropped", dropped.pipeline, dropped.changes)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Whether it is meant: said by `--confirm`, or answered twice.
async fn is_sure(args: &DropArgs, left: String) -> Result<bool, Failure> {
    let name = args.pipeline.clone();
    match &args.confirm {
        Some(confirm) if *confirm == name => return Ok(true),
        Some(confirm) => {
            let text = format!("--confirm {confirm} names another pipeline than {name}");
            return Err(Failure::usage(text));
        }
        None => {}
    }
    if !io::stdin().is_terminal() {
        let text = format!("drop asks twice before it gives up {left}, and stdin is no terminal");
        let help = format!("edgepurge drop {name} --confirm {name}");
        return Err(Failure::usage(text).help(&help));
    }
    let answer = tokio::task::spawn_blocking(move || confirmed(&name, &left));
    answer
        .await
        .map_err(|error| Failure::failed(format!("the question ended: {error}")))?
}

/// What would be given up, in words.
fn left(status: &Status, name: &str) -> Result<String, Failure> {
    let mut orphans = status.orphaned.iter().map(|orphan| &orphan.left);
    let (queued, failed, all) = if let Some(one) = status.pipeline(name) {
        let planned = &one.planned;
        let queued = planned.queued_assets as u64;
        (queued, one.failed_assets, planned.queued_all)
    } else if let Some(one) = orphans.find(|one| one.id.as_str() == name) {
        (one.queued_changes, one.failed_changes, one.queued_all)
    } else {
        return Err(Failure::usage(format!(
            "there is no pipeline `{name}`, neither in the config nor among what is left of others; \
             `edgepurge status` has them"
        )));
    };
    let everything = all.map_or("", |_| " and a purge of everything");
    Ok(format!(
        "{queued} queued{everything}, {failed} failed of {name}"
    ))
}

fn confirmed(name: &str, left: &str) -> Result<bool, Failure> {
    let asked = ask(&format!(
        "Drop {left}? What is dropped stays stale at the edge until it changes again, or is purged.\n\
         Type `drop`: "
    ))?;
    Ok(asked == "drop" && ask(&format!("Really? Type `{name}`: "))? == name)
}

fn ask(question: &str) -> Result<String, Failure> {
    output::to_stderr(question);
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::failed(format!("the answer can't be read: {error}")))?;
    Ok(line.trim().to_owned())
}
