//! `edgepurge wait PIPELINE [--timeout T]`

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::client::Daemon;
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
    let settled = until_settled(&daemon, &args.pipeline);
    let failed = match tokio::time::timeout(args.timeout, settled).await {
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
        return Err(Failure::failed(format!(
            "{failed} assets of {} are failed; why: edgepurge requests list, or the log",
            args.pipeline
        )));
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

/// Waits until everything that changed before now is noticed and settled, however long that takes.
pub(super) async fn until_settled(daemon: &Daemon, pipeline: &str) -> Result<Settled, Failure> {
    let query = WaitQuery {
        pipeline: pipeline.to_owned(),
    };
    let noticed = daemon.get_and_wait("/api/v1/wait", &query).await?;
    let noticed = noticed.into_value()?;
    let (name, last) = (&noticed["pipeline"], noticed["last"].as_u64().unwrap_or(0));
    loop {
        let status = daemon.get("/api/v1/status", &()).await?.into_value()?;
        let pipelines = status["pipelines"].as_array();
        let pipeline = pipelines.and_then(|all| all.iter().find(|one| one["name"] == *name));
        if let Some(pipeline) = pipeline.filter(|pipeline| is_settled(pipeline)) {
            let failed = pipeline["failed_assets"].as_u64().unwrap_or(0);
            return Ok(Settled { last, failed });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Says that it took too long, and what it waits for where that is known.
pub(super) async fn unsettled(daemon: &Daemon, name: &str, limit: Duration) -> Failure {
    let status = match daemon.get("/api/v1/status", &()).await {
        Ok(answer) => answer.into_value().unwrap_or_default(),
        Err(_) => Value::Null,
    };
    let mut pipelines = status["pipelines"].as_array().into_iter().flatten();
    let paused =
        pipelines.any(|one| (one["name"] == *name || one["id"] == *name) && one["paused"] == true);
    let why = if paused {
        format!("it is paused; `edgepurge resume {name}` ends that")
    } else {
        "`edgepurge status` says what it waits for".to_owned()
    };
    let seconds = limit.as_secs();
    Failure::temporary(format!("{name} is not settled within {seconds} s; {why}"))
}

fn is_settled(pipeline: &Value) -> bool {
    pipeline["queued_assets"] == 0 && pipeline["queued_all"].is_null() && pipeline["in_flight"] == 0
}
