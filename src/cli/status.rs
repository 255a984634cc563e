//! `edgepurge status [--watch] [--check]`

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::client::Daemon;
use super::{Failure, Format, Global, output};
use crate::admin::api::{OrphanStatus, PipelineStatus, Status};
use crate::core::purge::AllReason;
use crate::origin::OriginStatus;
use crate::webhook::RouteStatus;

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
        let status = daemon.status().await?;
        let text = match global.format {
            Format::Json if !args.watch => {
                output::json(&status.document)?;
                String::new()
            }
            Format::Json => status.document.to_string(),
            Format::Text => text(&status.value),
        };
        if !text.is_empty() && text != shown {
            output::line(text.trim_end())?;
            shown = text;
        }
        if args.watch {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let alarmed = !status.value.alarms.is_empty();
        return Ok(ExitCode::from(u8::from(args.check && alarmed)));
    }
}

/// The status for people.
fn text(status: &Status) -> String {
    let mut text = String::new();
    render(&mut text, status).unwrap_or_default();
    text
}

fn render(text: &mut String, status: &Status) -> std::fmt::Result {
    let state = match (status.fresh, status.settled) {
        (true, _) => "fresh",
        // What is not fresh and waits for nothing waits for an operator.
        (false, true) => "not fresh",
        (false, false) => "working",
    };
    writeln!(
        text,
        "edgepurge {} · {state} · API {}",
        status.version, status.api_url
    )?;
    writeln!(
        text,
        "the API takes {:.1} calls a second, {} at once",
        status.api_rate_limit, status.api_calls_at_once
    )?;
    for pipeline in &status.pipelines {
        render_pipeline(text, pipeline)?;
    }
    for OrphanStatus { left, in_flight } in &status.orphaned {
        let (id, all) = (&left.id, everything(left.queued_all));
        writeln!(
            text,
            "{id} is in the config no more: {} changes queued{all}, {in_flight} requests in flight, {} \
             changes failed; kept until it returns, or `edgepurge drop {id}`",
            left.queued_changes, left.failed_changes
        )?;
    }
    for route in status.webhooks.iter().flat_map(|one| &one.routes) {
        render_route(text, route)?;
    }
    for credential in &status.credentials {
        let copied = credential.copied.map(|at| at.to_string());
        writeln!(
            text,
            "secret {}: the copy that systemd made at {}; a new one takes systemctl restart edgepurge",
            credential.name,
            copied.as_deref().unwrap_or("an unknown time")
        )?;
    }
    for alarm in &status.alarms {
        let whose = alarm.pipeline.as_ref();
        let whose = whose.map_or_else(String::new, |name| format!("{name}: "));
        writeln!(text, "ALARM {whose}{}: {}", alarm.reason, alarm.text)?;
    }
    Ok(())
}

/// That everything is queued to be purged, if it is.
fn everything(queued: Option<AllReason>) -> String {
    queued.map_or_else(String::new, |reason| {
        format!(" and everything ({})", reason.as_str())
    })
}

fn render_route(text: &mut String, route: &RouteStatus) -> std::fmt::Result {
    let last = match &route.last {
        Some(last) => format!("last delivery {}", last.at),
        None => "no delivery since the start".to_owned(),
    };
    let count = |outcome: &str| route.answers.get(outcome).copied().unwrap_or(0);
    writeln!(
        text,
        "webhook {} ({}) of {}: {last}, {} accepted, {} not authentic",
        route.route,
        route.kind,
        route.pipeline,
        count("accepted"),
        count("unauthorized")
    )
}

fn render_pipeline(text: &mut String, pipeline: &PipelineStatus) -> std::fmt::Result {
    let planned = &pipeline.planned;
    writeln!(
        text,
        "{}: {} assets queued{}, {} requests in flight, {} assets failed",
        pipeline.name,
        planned.queued_assets,
        everything(planned.queued_all),
        planned.in_flight,
        pipeline.failed_assets
    )?;
    for cause in &pipeline.causes {
        writeln!(text, "  waits: {}", cause.text)?;
    }
    if let Some(most) = planned.learned_max_assets {
        writeln!(text, "  the API takes {most} assets in a request")?;
    }
    for hot in &planned.hot {
        writeln!(
            text,
            "  hot: {} changes all the time, purged every {} s",
            hot.asset, hot.every_seconds
        )?;
    }
    for pause in &planned.pauses {
        writeln!(text, "  {pause}")?;
    }
    for origin in &pipeline.origins {
        render_origin(text, origin)?;
    }
    Ok(())
}

fn render_origin(text: &mut String, origin: &OriginStatus) -> std::fmt::Result {
    let state = match (origin.armed, origin.scanning) {
        (_, true) => "scanning",
        (true, false) => "watching",
        (false, false) => "starting",
    };
    let unread = match origin.unread_files {
        0 => String::new(),
        left => format!(" ({left} still to be read)"),
    };
    writeln!(
        text,
        "  origin {}: {state}, {} files indexed{unread}, {} directories watched, {} polled",
        origin.name, origin.indexed_files, origin.watched_directories, origin.unwatched_directories
    )?;
    if origin.unreadable_directories > 0 {
        writeln!(
            text,
            "    {} directories can't be listed: nothing new in them is noticed",
            origin.unreadable_directories
        )?;
    }
    if origin.unreadable_files > 0 {
        let first = origin.unreadable_file.as_deref().unwrap_or_default();
        writeln!(
            text,
            "    {} files can't be read, the first is {}: they are compared by size and times",
            origin.unreadable_files,
            first.escape_debug()
        )?;
    }
    Ok(())
}
