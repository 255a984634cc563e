//! `edgepurge pause`, `resume` and `retry`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::client::Daemon;
use super::{Failure, Format, Global, output};
use crate::admin::{PauseBody, ResumeBody, RetryBody};

#[derive(Debug, Args)]
pub(super) struct PauseArgs {
    /// The pipeline's name or id.
    pipeline: String,
    /// Resume by itself after so long: 10m, 1h, 30d.
    #[arg(long = "for", value_name = "T", value_parser = crate::config::parse_duration)]
    length: Option<Duration>,
    /// Why, for others to read in `status`.
    #[arg(long, value_name = "R", default_value = "", hide_default_value = true)]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// The pipeline's name or id.
    pipeline: String,
}

#[derive(Debug, Args)]
pub(super) struct RetryArgs {
    /// A pipeline's name or id, or a purge request's number or id.
    #[arg(value_name = "PIPELINE|REQUEST")]
    target: String,
}

pub(super) async fn pause(global: &Global, args: PauseArgs) -> Result<ExitCode, Failure> {
    let seconds = args.length.map(whole_seconds).transpose()?;
    let daemon = Daemon::need(&global.socket()?).await?;
    let body = PauseBody {
        pipeline: args.pipeline,
        seconds,
        reason: args.reason,
        lease: None,
    };
    let answer = daemon.post("/api/v1/pause", &body).await?.into_value()?;
    show(global, &answer, |answer| {
        let how = answer["pauses"].as_array().into_iter().flatten();
        let how: Vec<String> = how.map(pause_text).collect();
        format!("{}: {}", word(&answer["pipeline"]), how.join(", "))
    })
}

fn whole_seconds(length: Duration) -> Result<u64, Failure> {
    match length.as_secs() {
        0 => Err(Failure::usage("--for: a pause lasts at least a second")),
        seconds => Ok(seconds),
    }
}

pub(super) async fn resume(global: &Global, args: ResumeArgs) -> Result<ExitCode, Failure> {
    let daemon = Daemon::need(&global.socket()?).await?;
    let body = ResumeBody {
        pipeline: args.pipeline,
        lease: None,
    };
    let answer = daemon.post("/api/v1/resume", &body).await?.into_value()?;
    show(global, &answer, |answer| {
        let name = word(&answer["pipeline"]);
        let left = answer["pauses"].as_array().into_iter().flatten();
        let left: Vec<String> = left.map(pause_text).collect();
        match (answer["was_paused"] == true, left.as_slice()) {
            (true, []) => format!("{name}: resumed"),
            (false, []) => format!("{name}: was not paused"),
            // Its lease ends with it, or a minute after its process died.
            (_, left) => format!("{name}: still {}", left.join(", ")),
        }
    })
}

pub(super) async fn retry(global: &Global, args: RetryArgs) -> Result<ExitCode, Failure> {
    let daemon = Daemon::need(&global.socket()?).await?;
    let body = RetryBody {
        target: args.target,
    };
    let answer = daemon.post("/api/v1/retry", &body).await?.into_value()?;
    show(global, &answer, |answer| {
        let name = word(&answer["pipeline"]);
        match answer["changes"].as_u64() {
            Some(0) | None => format!("{name}: nothing is failed; what waited is tried now"),
            Some(1) => format!("{name}: 1 failed change is queued again"),
            Some(many) => format!("{name}: {many} failed changes are queued again"),
        }
    })
}

fn show(
    global: &Global,
    answer: &Value,
    text: impl Fn(&Value) -> String,
) -> Result<ExitCode, Failure> {
    match global.format {
        Format::Json => output::json(answer)?,
        Format::Text => output::line(&text(answer))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// A pause as people read it.
pub(super) fn pause_text(pause: &Value) -> String {
    let since = word(&pause["since"]);
    let mut text = match (word(&pause["holder"]), &pause["until"]) {
        ("deploy", Value::String(until)) => {
            format!("paused by a deploy since {since}, at least until {until}")
        }
        (_, Value::String(until)) => format!("paused since {since} until {until}"),
        _ => format!("paused since {since} until resumed"),
    };
    if let Some(reason) = pause["reason"].as_str().filter(|reason| !reason.is_empty()) {
        text.push_str(": ");
        text.push_str(reason);
    }
    text
}
