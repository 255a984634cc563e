//! `edgepurge pause`, `resume` and `retry`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::client::Daemon;
use super::{Failure, Global, output};
use crate::admin::api::{CountAnswer, PauseAnswer, PauseBody, ResumeBody, RetryBody};
use crate::core::pause::Pause;

#[derive(Debug, Args)]
pub(super) struct PauseArgs {
    /// The pipeline's name or id.
    #[arg(add = super::completions::pipelines())]
    pipeline: String,
    /// Resume by itself after so long: 10m, 1h, 30d.
    #[arg(long = "for", value_name = "DURATION", value_parser = crate::config::parse_duration)]
    length: Option<Duration>,
    /// Why, for others to read in `status`.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// The pipeline's name or id.
    #[arg(add = super::completions::pipelines())]
    pipeline: String,
}

#[derive(Debug, Args)]
pub(super) struct RetryArgs {
    /// A pipeline's name or id, or a purge request's number or id.
    #[arg(value_name = "PIPELINE|REQUEST", add = super::completions::pipelines())]
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
    let paused = daemon.post::<PauseAnswer>("/api/v1/pause", &body).await?;
    output::reply(global, &paused, |paused| {
        let how: Vec<String> = paused.pauses.iter().map(Pause::to_string).collect();
        format!("{}: {}", paused.pipeline, how.join(", "))
    })?;
    Ok(ExitCode::SUCCESS)
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
    let resumed = daemon.post::<PauseAnswer>("/api/v1/resume", &body).await?;
    output::reply(global, &resumed, |resumed| {
        let name = &resumed.pipeline;
        let left: Vec<String> = resumed.pauses.iter().map(Pause::to_string).collect();
        match (resumed.was_paused, left.as_slice()) {
            (true, []) => format!("{name}: resumed"),
            (false, []) => format!("{name}: was not paused"),
            // Its lease ends with it, or a minute after its process died.
            (_, left) => format!("{name}: still {}", left.join(", ")),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn retry(global: &Global, args: RetryArgs) -> Result<ExitCode, Failure> {
    let daemon = Daemon::need(&global.socket()?).await?;
    let body = RetryBody {
        target: args.target,
    };
    let retried = daemon.post::<CountAnswer>("/api/v1/retry", &body).await?;
    output::reply(global, &retried, |retried| {
        let name = &retried.pipeline;
        match retried.changes {
            0 => format!("{name}: nothing is failed; what waited is tried now"),
            1 => format!("{name}: 1 failed change is queued again"),
            many => format!("{name}: {many} failed changes are queued again"),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}
