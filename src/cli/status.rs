//! `edgepurge status [--watch] [--check]`

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::client::Daemon;
use super::operate::pause_text;
use super::{Failure, Format, Global, output};

/// How often `--watch` looks.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Show it again whenever it changes, until interrupted.
    #[arg(long)]
    watch: bool,
    /// Exit 1 when there is an alarm.
    #[arg(long)]
    check: bool,
}

pub(super) async fn status(global: &Global, args: &StatusArgs) -> Result<ExitCode, Failure> {
    let daemon = Daemon::need(&global.socket()?).await?;
    let mut shown = String::new();
    loop {
        let status = daemon.get("/api/v1/status", &()).await?.into_value()?;
        let text = match global.format {
            Format::Json if !args.watch => {
                output::json(&status)?;
                String::new()
            }
            Format::Json => status.to_string(),
            Format::Text => text(&status),
        };
        if !text.is_empty() && text != shown {
            output::line(text.trim_end())?;
            shown = text;
        }
        if args.watch {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let alarms = status["alarms"].as_array().map_or(0, Vec::len);
        return Ok(ExitCode::from(u8::from(args.check && alarms > 0)));
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// The status for people.
fn text(status: &Value) -> String {
    let mut text = String::new();
    render(&mut text, status).unwrap_or_default();
    text
}

fn render(text: &mut String, status: &Value) -> std::fmt::Result {
    let state = match (status["fresh"].as_bool(), status["settled"].as_bool()) {
        (Some(true), _) => "fresh",
        // What is not fresh and waits for nothing waits for a person.
        (_, Some(true)) => "not fresh",
        _ => "working",
    };
    writeln!(
        text,
        "edgepurge {} · {state} · API {}",
        word(&status["version"]),
        word(&status["api_url"])
    )?;
    if let Some(rate) = status["api_rate_limit"].as_f64() {
        let at_once = &status["api_calls_at_once"];
        writeln!(
            text,
            "the API takes {rate:.1} calls a second, {at_once} at once"
        )?;
    }
    for pipeline in status["pipelines"].as_array().into_iter().flatten() {
        render_pipeline(text, pipeline)?;
    }
    for orphan in status["orphaned"].as_array().into_iter().flatten() {
        let all = match &orphan["queued_all"] {
            Value::String(reason) => format!(" and everything ({reason})"),
            _ => String::new(),
        };
        let id = word(&orphan["id"]);
        writeln!(
            text,
            "{id} is in the config no more: {} changes queued{all}, {} requests in flight, {} changes \
             failed; kept until it returns, or `edgepurge drop {id}`",
            orphan["queued_changes"], orphan["in_flight"], orphan["failed_changes"]
        )?;
    }
    for route in status["webhooks"]["routes"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let last = match &route["last"]["at"] {
            Value::String(at) => format!("last delivery {at}"),
            _ => "no delivery since the start".to_owned(),
        };
        writeln!(
            text,
            "webhook {} ({}) of {}: {last}, {} accepted, {} not authentic",
            word(&route["route"]),
            word(&route["kind"]),
            word(&route["pipeline"]),
            route["answers"]["accepted"],
            route["answers"]["unauthorized"]
        )?;
    }
    for credential in status["credentials"].as_array().into_iter().flatten() {
        let copied = match &credential["copied"] {
            Value::String(at) => at,
            _ => "an unknown time",
        };
        writeln!(
            text,
            "secret {}: the copy that systemd made at {copied}; a new one takes systemctl restart edgepurge",
            word(&credential["name"])
        )?;
    }
    for alarm in status["alarms"].as_array().into_iter().flatten() {
        let whose = match &alarm["pipeline"] {
            Value::String(name) => format!("{name}: "),
            _ => String::new(),
        };
        writeln!(
            text,
            "ALARM {whose}{}: {}",
            word(&alarm["reason"]),
            word(&alarm["text"])
        )?;
    }
    Ok(())
}

fn render_pipeline(text: &mut String, pipeline: &Value) -> std::fmt::Result {
    let all = match &pipeline["queued_all"] {
        Value::String(reason) => format!(" and everything ({reason})"),
        _ => String::new(),
    };
    writeln!(
        text,
        "{}: {} assets queued{all}, {} requests in flight, {} assets failed",
        word(&pipeline["name"]),
        pipeline["queued_assets"],
        pipeline["in_flight"],
        pipeline["failed_assets"]
    )?;
    for cause in pipeline["causes"].as_array().into_iter().flatten() {
        writeln!(text, "  waits: {}", word(&cause["text"]))?;
    }
    if let Some(most) = pipeline["learned_max_assets"].as_u64() {
        writeln!(text, "  the API takes {most} assets in a request")?;
    }
    for hot in pipeline["hot"].as_array().into_iter().flatten() {
        writeln!(
            text,
            "  hot: {} changes all the time, purged every {} s",
            word(&hot["asset"]),
            hot["every_seconds"]
        )?;
    }
    for pause in pipeline["pauses"].as_array().into_iter().flatten() {
        writeln!(text, "  {}", pause_text(pause))?;
    }
    for origin in pipeline["origins"].as_array().into_iter().flatten() {
        let state = match (origin["armed"].as_bool(), origin["scanning"].as_bool()) {
            (_, Some(true)) => "scanning",
            (Some(true), _) => "watching",
            _ => "starting",
        };
        writeln!(
            text,
            "  origin {}: {state}, {} files indexed{}, {} directories watched, {} polled",
            word(&origin["name"]),
            origin["indexed_files"],
            match origin["unread_files"].as_u64() {
                Some(0) | None => String::new(),
                Some(left) => format!(" ({left} still to be read)"),
            },
            origin["watched_directories"],
            origin["unwatched_directories"]
        )?;
        if let Some(directories @ 1..) = origin["unreadable_directories"].as_u64() {
            writeln!(
                text,
                "    {directories} directories can't be listed: nothing new in them is noticed"
            )?;
        }
        if let Some(files @ 1..) = origin["unreadable_files"].as_u64() {
            writeln!(
                text,
                "    {files} files can't be read, the first is {}: they are compared by size and times",
                word(&origin["unreadable_file"]).escape_debug()
            )?;
        }
    }
    Ok(())
}
