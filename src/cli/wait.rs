//! `edgepurge wait PIPELINE [--timeout T]`

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::client::Daemon;
use super::progress::Line;
use super::{Failure, Format, Global, output};
use crate::admin::WaitQuery;

/// How often the daemon is asked.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(super) struct WaitArgs {
    /// The pipeline's name or id.
    pipeline: String,
    /// Give up after so long, with exit code 75.
    #[arg(long, value_name = "T", default_value = "10m", value_parser = crate::config::parse_duration)]
    timeout: Duration,
}

pub(super) async fn wait(global: &Global, args: WaitArgs) -> Result<ExitCode, Failure> {
    let daemon = Daemon::need(&global.socket()?).await?;
    let settled = async {
        let noticed = noticed(&daemon, &args.pipeline).await?;
        if let Some(held) = noticed.held {
            return Err(Failure::failed(held));
        }
        until_purged(&daemon, noticed).await
    };
    let told = tell_causes(&daemon, &args.pipeline, &String::new, settled);
    let failed = match tokio::time::timeout(args.timeout, told).await {
        Ok(settled) => settled?.failed,
        Err(_) => return Err(unsettled(&daemon, &args.pipeline, args.timeout).await),
    };
    match global.format {
        Format::Json => {
            output::json(&json!({ "pipeline": args.pipeline, "failed_assets": failed }))?;
        }
        Format::Text => output::line(&format!("{}: settled", args.pipeline))?,
    }
    if failed > 0 {
        return Err(stale(&daemon, &args.pipeline).await);
    }
    Ok(ExitCode::SUCCESS)
}

/// A pipeline of which nothing is pending.
#[derive(Debug)]
pub(super) struct Settled {
    /// The last change that was committed before.
    pub(super) last: u64,
    /// Assets of it that are failed.
    pub(super) failed: u64,
}

/// Where a pipeline stands when everything that changed before now is noticed.
#[derive(Debug)]
pub(super) struct Noticed {
    /// Its name.
    pipeline: Value,
    /// The last change that was committed.
    last: u64,
    /// Why what is gone is not believed, if it is not: nothing but files or a person ends that.
    held: Option<String>,
}

/// Waits until everything that changed before now is noticed, however long that takes.
async fn noticed(daemon: &Daemon, pipeline: &str) -> Result<Noticed, Failure> {
    let query = WaitQuery {
        pipeline: pipeline.to_owned(),
    };
    let noticed = daemon.get_and_wait("/api/v1/wait", &query).await?;
    let mut noticed = noticed.into_value()?;
    Ok(Noticed {
        pipeline: noticed["pipeline"].take(),
        last: noticed["last"].as_u64().unwrap_or(0),
        held: noticed["held"].as_str().map(str::to_owned),
    })
}

/// Waits until what is noticed is settled.
async fn until_purged(daemon: &Daemon, noticed: Noticed) -> Result<Settled, Failure> {
    loop {
        let status = daemon.get("/api/v1/status", &()).await?.into_value()?;
        let found = pipeline_of(&status, &noticed.pipeline);
        if let Some(pipeline) = found.filter(|pipeline| is_settled(pipeline)) {
            return Ok(Settled {
                last: noticed.last,
                failed: pipeline["failed_assets"].as_u64().unwrap_or(0),
            });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until everything that changed before now is noticed and settled, however long that takes;
/// what is gone and not believed is not waited for.
pub(super) async fn until_settled(daemon: &Daemon, pipeline: &str) -> Result<Settled, Failure> {
    let noticed = noticed(daemon, pipeline).await?;
    until_purged(daemon, noticed).await
}

/// Says on stderr what is waited for, soon and then now and then, until `work` is done. `so_far` says
/// how far that is.
pub(super) async fn tell_causes<T>(
    daemon: &Daemon,
    pipeline: &str,
    so_far: &impl Fn() -> String,
    work: impl Future<Output = T>,
) -> T {
    tokio::pin!(work);
    let mut line = Line::new();
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep_until(line.due()) => {}
        }
        let told = async {
            let causes = causes(daemon, pipeline).await;
            if causes.is_empty() {
                // To be asked again a moment later.
                tokio::time::sleep(LOOK).await;
                return;
            }
            line.say(&format!(
                "{pipeline}{} waits: {}",
                so_far(),
                causes.join("; ")
            ));
        };
        tokio::select! {
            done = &mut work => return done,
            () = told => {}
        }
    }
}

/// What a pipeline waits for, as far as the daemon answers.
async fn causes(daemon: &Daemon, name: &str) -> Vec<String> {
    let status = match daemon.get("/api/v1/status", &()).await {
        Ok(answer) => answer.into_value().unwrap_or_default(),
        Err(_) => Value::Null,
    };
    let pipeline = pipeline_of(&status, &Value::from(name));
    let causes = pipeline.and_then(|pipeline| pipeline["causes"].as_array());
    let texts = causes
        .into_iter()
        .flatten()
        .filter_map(|cause| cause["text"].as_str());
    texts.map(str::to_owned).collect()
}

fn pipeline_of<'a>(status: &'a Value, name: &Value) -> Option<&'a Value> {
    let mut pipelines = status["pipelines"].as_array()?.iter();
    pipelines.find(|one| one["name"] == *name || one["id"] == *name)
}

/// Some assets are given up: visitors may get old bytes, whatever was done now.
pub(super) async fn stale(daemon: &Daemon, name: &str) -> Failure {
    Failure::failed(format!("{name}: {}", why_failed(daemon, name).await))
}

/// What the daemon says of the assets that are given up.
pub(super) async fn why_failed(daemon: &Daemon, name: &str) -> String {
    let status = match daemon.get("/api/v1/status", &()).await {
        Ok(answer) => answer.into_value().unwrap_or_default(),
        Err(_) => Value::Null,
    };
    let name = pipeline_of(&status, &Value::from(name)).map(|one| &one["name"]);
    let mut alarms = status["alarms"].as_array().into_iter().flatten();
    let failed = |one: &&Value| one["reason"] == "failed" && Some(&one["pipeline"]) == name;
    let text = alarms.find(failed).and_then(|alarm| alarm["text"].as_str());
    text.unwrap_or("some assets are failed; see `edgepurge status`")
        .to_owned()
}

/// Says that it took too long, and what it waits for.
pub(super) async fn unsettled(daemon: &Daemon, name: &str, limit: Duration) -> Failure {
    let causes = causes(daemon, name).await;
    let mut why = if causes.is_empty() {
        "`edgepurge status` says what it waits for".to_owned()
    } else {
        causes.join("; ")
    };
    if causes.iter().any(|cause| cause.contains("paused")) {
        why = format!("{why}; `edgepurge resume {name}` ends the pause");
    }
    let seconds = limit.as_secs();
    Failure::temporary(format!("{name} is not settled within {seconds} s: {why}"))
}

fn is_settled(pipeline: &Value) -> bool {
    pipeline["queued_assets"] == 0 && pipeline["queued_all"].is_null() && pipeline["in_flight"] == 0
}
