//! `edgepurge purge PIPELINE ASSET|URL|'GLOB'... | --all [--wait]`

use std::cell::Cell;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::client::Daemon;
use super::{Failure, Format, Global, output, wait};
use crate::admin::api::{ChangeProgress, ChangeQuery, PurgeAnswer, PurgeBody};
use crate::admin::counted;
use crate::explain::is_glob;

/// How often the daemon is asked while waiting.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("target").required(true).multiple(false).args(["assets", "all"]),
    override_usage = "edgepurge purge [OPTIONS] <PIPELINE> <ASSET|URL|GLOB>...\n       \
                      edgepurge purge [OPTIONS] <PIPELINE> --all",
    after_help = "Examples:\n  edgepurge purge www /blog/ /feed.xml\n  \
                  edgepurge purge www '/img/**' --wait\n  edgepurge purge www --all"
)]
pub(super) struct PurgeArgs {
    /// The pipeline's name or id.
    pipeline: String,
    /// Absolute URL paths, URLs, or globs of either in quotes, which are expanded over the index:
    /// `*` does not cross a `/`, `**` does.
    ///
    /// A path with escapes of its own, such as /%e6%97%a5/ or /c%2B%2B, is purged exactly so; another
    /// one in every spelling that `encoding` says.
    #[arg(value_name = "ASSET|URL|GLOB")]
    assets: Vec<String>,
    /// Everything of the pipeline.
    #[arg(long)]
    all: bool,
    /// Wait until the purge has settled; exit 1 when it failed.
    #[arg(long)]
    wait: bool,
    /// With --wait: give up after so long, with exit code 75; the purge goes on.
    #[arg(long, value_name = "DURATION", default_value = "10m", requires = "wait", value_parser = crate::config::parse_duration)]
    timeout: Duration,
}

/// Fails where an asset stands in the place of the pipeline.
fn pipeline_first(args: &PurgeArgs) -> Result<(), Failure> {
    let first = args.pipeline.as_str();
    if !first.starts_with('/') && !first.contains("://") {
        return Ok(());
    }
    let failure = Failure::usage(format!("the pipeline comes first, and `{first}` is none"));
    Err(failure.help(&format!("edgepurge purge www {first}")))
}

pub(super) async fn purge(global: &Global, args: PurgeArgs) -> Result<ExitCode, Failure> {
    pipeline_first(&args)?;
    let daemon = Daemon::need(&global.socket()?).await?;
    let (globs, assets) = args.assets.into_iter().partition(|text| is_glob(text));
    let body = PurgeBody {
        pipeline: args.pipeline,
        assets,
        globs,
        all: args.all,
    };
    let reply = daemon.post::<PurgeAnswer>("/api/v1/purge", &body).await?;
    let queued = &reply.value;
    if queued.matched > 0 && global.format == Format::Text {
        output::to_stderr(&format!("the globs match {} assets\n", queued.matched));
    }
    if global.format == Format::Text {
        for (given, assets) in &queued.spelled {
            output::to_stderr(&format!("{given} is purged as {}\n", assets.join(", ")));
        }
    }
    if !args.wait {
        output::reply(global, &reply, |queued| {
            let what = amount(queued.changes, args.all);
            format!("queued {what} for {}", queued.pipeline)
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    say_if_paused(&daemon, &queued.pipeline).await?;
    let left = Cell::new(queued.changes);
    let so_far = || match queued.changes {
        many @ 2.. => format!(", {} of {many} purged,", many.saturating_sub(left.get())),
        _ => String::new(),
    };
    let settled = settled(&daemon, queued, &left);
    let shown = wait::show_causes(&daemon, &queued.pipeline, &so_far, settled);
    let Ok(progress) = tokio::time::timeout(args.timeout, shown).await else {
        let late = wait::unsettled(&daemon, &queued.pipeline, args.timeout).await;
        return Err(Failure::temporary(format!("{late}; the purge goes on")));
    };
    let progress = progress?;
    let failed = progress.stages.failed + progress.stages.dropped;
    match global.format {
        Format::Json => output::json(&json!({
            "pipeline": queued.pipeline,
            "changes": queued.changes,
            "matched": queued.matched,
            "spelled": queued.spelled,
            "done": progress.stages.done,
            "failed": failed,
            "requests": progress.requests,
        }))?,
        Format::Text if failed == 0 => output::line(&format!(
            "purged {} of {}",
            amount(queued.changes, args.all),
            queued.pipeline
        ))?,
        Format::Text => {}
    }
    if failed > 0 {
        let why = wait::why_failed(&daemon, &queued.pipeline).await;
        return Err(Failure::failed(format!(
            "{failed} of {} purges failed for good or were dropped: {why}",
            queued.changes
        )));
    }
    Ok(ExitCode::SUCCESS)
}

fn amount(changes: u64, all: bool) -> String {
    if all {
        "everything".to_owned()
    } else {
        counted(changes, "asset")
    }
}

/// Says what it waits for, if that is a pause.
async fn say_if_paused(daemon: &Daemon, name: &str) -> Result<(), Failure> {
    let status = daemon.status().await?.value;
    if status.pipeline(name).is_some_and(|one| one.paused) {
        output::to_stderr(&format!(
            "{name} is paused; this waits until `edgepurge resume {name}`, or the end of the pause\n"
        ));
    }
    Ok(())
}

/// Waits until what was queued has settled.
async fn settled(
    daemon: &Daemon,
    queued: &PurgeAnswer,
    left: &Cell<u64>,
) -> Result<ChangeProgress, Failure> {
    let query = ChangeQuery {
        first: Some(queued.first),
        last: Some(queued.last),
        ..ChangeQuery::default()
    };
    loop {
        let reply = daemon.get("/api/v1/changes", &query).await?;
        let progress: ChangeProgress = reply.value;
        left.set(progress.stages.queued + progress.stages.taken);
        if left.get() == 0 {
            return Ok(progress);
        }
        tokio::time::sleep(LOOK).await;
    }
}
