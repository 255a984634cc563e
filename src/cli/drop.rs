//! `edgepurge drop PIPELINE`: gives up what is queued and failed of a pipeline, asked twice.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::client::Daemon;
use super::{Failure, Format, Global, output};
use crate::admin::DropBody;

#[derive(Debug, Args)]
pub(super) struct DropArgs {
    /// The pipeline's name or id; the id where it is in the config no more.
    pipeline: String,
}

pub(super) async fn drop_queue(global: &Global, args: DropArgs) -> Result<ExitCode, Failure> {
    let daemon = Daemon::need(&global.socket()?).await?;
    let status = daemon.get("/api/v1/status", &()).await?.into_value()?;
    let left = left(&status, &args.pipeline)?;
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "drop asks twice before it gives up {left}, and stdin is no terminal: run it in one, or \
             POST {{\"pipeline\": \"{0}\", \"confirm\": \"{0}\"}} to /api/v1/drop of the admin socket",
            args.pipeline
        )));
    }
    let name = args.pipeline.clone();
    let sure = tokio::task::spawn_blocking(move || confirmed(&name, &left));
    let sure = sure
        .await
        .map_err(|error| Failure::failed(format!("the question ended: {error}")))?;
    if !sure? {
        return Err(Failure::failed("nothing was dropped"));
    }
    let body = DropBody {
        confirm: args.pipeline.clone(),
        pipeline: args.pipeline,
    };
    let answer = daemon.post_and_wait("/api/v1/drop", &body).await?;
    let answer = answer.into_value()?;
    match global.format {
        Format::Json => output::json(&answer)?,
        Format::Text => output::line(&format!(
            "{}: {} changes dropped",
            answer["pipeline"].as_str().unwrap_or("?"),
            answer["changes"]
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What would be given up, in words.
fn left(status: &Value, name: &str) -> Result<String, Failure> {
    let find = |list: &str| -> Option<Value> {
        let mut all = status[list].as_array()?.iter();
        all.find(|one| one["name"] == name || one["id"] == name)
            .cloned()
    };
    let (queued, failed, all) = if let Some(one) = find("pipelines") {
        let all = one["queued_all"].clone();
        (
            one["queued_assets"].clone(),
            one["failed_assets"].clone(),
            all,
        )
    } else if let Some(one) = find("orphaned") {
        let all = one["queued_all"].clone();
        (
            one["queued_changes"].clone(),
            one["failed_changes"].clone(),
            all,
        )
    } else {
        return Err(Failure::failed(format!(
            "there is no pipeline `{name}`, neither in the config nor among what is left of others; \
             `edgepurge status` has them"
        )));
    };
    let everything = match all {
        Value::Null => "",
        _ => " and a purge of everything",
    };
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
