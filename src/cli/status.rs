//! `edgepurge status [PIPELINE...] [--watch] [--check]`

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::client::{Daemon, Reply};
use super::moment::Moment;
use super::{Failure, Format, Global, output, terminal};
use crate::admin::api::{State, Status};

mod check;
mod render;
mod screen;

/// How often `--watch` looks.
const LOOK: Duration = Duration::from_secs(1);
/// How long `--check` waits for an answer: what monitors gives up soon, and then shows no reason.
const CHECK: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Only these pipelines, by name or id, in detail.
    #[arg(value_name = "PIPELINE", add = super::completions::pipelines())]
    pipelines: Vec<String>,
    /// Keep showing it: on a terminal the whole screen, q quits; else again whenever it changes.
    #[arg(long)]
    watch: bool,
    /// One line for monitoring; exit 1 when there is an alarm, 75 when no daemon answers.
    #[arg(long, conflicts_with = "watch")]
    check: bool,
}

pub(super) async fn status(global: &Global, args: &StatusArgs) -> Result<ExitCode, Failure> {
    let shown = if args.check {
        let shown = tokio::time::timeout(CHECK, show(global, args)).await;
        shown.unwrap_or_else(|_| Err(halted(global)))
    } else {
        show(global, args).await
    };
    // What monitors reads stdout.
    if let (Err(failure), true, Format::Text) = (&shown, args.check, global.format) {
        output::line(&check::unanswered(failure))?;
    }
    shown
}

/// The failure where a daemon is there and does not answer.
fn halted(global: &Global) -> Failure {
    match global.socket() {
        Ok(socket) => Failure::temporary(format!(
            "the daemon at {} does not answer within {} s",
            socket.display(),
            CHECK.as_secs()
        ))
        .help("journalctl -u edgepurge; sudo systemctl restart edgepurge"),
        Err(failure) => failure,
    }
}

async fn show(global: &Global, args: &StatusArgs) -> Result<ExitCode, Failure> {
    let daemon = Daemon::need(&global.socket()?).await?;
    if args.watch && global.format == Format::Text && io::stdout().is_terminal() {
        return screen::watch(&daemon, &args.pipelines).await;
    }
    let mut shown = String::new();
    loop {
        let reply = look(&daemon, &args.pipelines).await?;
        let status = &reply.value;
        let detail = !args.pipelines.is_empty();
        if args.check && global.format == Format::Text {
            output::line(&check::line(status))?;
        } else if global.format == Format::Json && !args.watch {
            output::json(&reply.document)?;
        } else if global.format == Format::Json {
            output::line(&reply.document.to_string())?;
        } else if args.watch {
            let view = render::View::log(Moment::new(status.now, false), detail);
            let text = render::text(status, &view);
            if text != shown {
                output::line(&format!("--- {}\n{}", status.now, text.trim_end()))?;
                shown = text;
            }
        } else {
            let size = terminal::size(&io::stdout());
            let view = render::View::once(Moment::new(status.now, true), size, detail);
            output::line(render::text(status, &view).trim_end())?;
        }
        if !args.watch {
            let alarmed = args.check && !status.alarms.is_empty();
            return Ok(ExitCode::from(u8::from(alarmed)));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The status, or that of some pipelines.
async fn look(daemon: &Daemon, names: &[String]) -> Result<Reply<Status>, Failure> {
    let mut reply = daemon.status().await?;
    if names.is_empty() {
        return Ok(reply);
    }
    let mut wanted = Vec::new();
    for name in names {
        let pipeline = reply.value.pipeline(name).ok_or_else(|| {
            let known = reply.value.pipelines.iter().map(|one| one.name.as_str());
            let known: Vec<&str> = known.collect();
            let known = known.join(", ");
            Failure::usage(format!("there is no pipeline `{name}`; there are: {known}"))
        })?;
        wanted.push(pipeline.name.clone());
    }
    narrow(&mut reply, &wanted);
    Ok(reply)
}

/// Leaves only what is about these pipelines.
fn narrow(reply: &mut Reply<Status>, names: &[String]) {
    let status = &mut reply.value;
    let about = |name: &Option<String>| name.as_ref().is_none_or(|name| names.contains(name));
    status.pipelines.retain(|one| names.contains(&one.name));
    status.alarms.retain(|alarm| about(&alarm.pipeline));
    status.orphaned.clear();
    let alarmed = (!status.alarms.is_empty()).then_some(State::Trouble);
    let each = status.pipelines.iter().map(|one| one.state);
    status.state = each.chain(alarmed).max().unwrap_or_default();
    status.fresh = status.alarms.is_empty() && status.pipelines.iter().all(|one| one.fresh);
    if let Some(webhooks) = &mut status.webhooks {
        webhooks
            .routes
            .retain(|route| names.contains(&route.pipeline));
    }
    let of = |one: &Value, key: &str| one[key].as_str().map(str::to_owned);
    let document = &mut reply.document;
    if let Some(pipelines) = document["pipelines"].as_array_mut() {
        pipelines.retain(|one| of(one, "name").is_some_and(|name| names.contains(&name)));
    }
    if let Some(alarms) = document["alarms"].as_array_mut() {
        alarms.retain(|one| about(&of(one, "pipeline")));
    }
    for (key, value) in [
        ("fresh", Value::from(status.fresh)),
        ("state", Value::from(status.state.as_str())),
    ] {
        document[key] = value;
    }
}
