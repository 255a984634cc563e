//! `edgepurge purge PIPELINE ASSET|URL|'GLOB'... | --all [--wait]`

use std::cell::Cell;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::client::Daemon;
use super::wait::{self, Until, Waited};
use super::{Failure, Format, Global, named, of_url, output};
use crate::admin::api::{
    ChangeProgress, ChangeQuery, ExplainAnswer, ExplainQuery, PurgeAnswer, PurgeBody,
};
use crate::admin::counted;
use crate::config::Config;
use crate::explain::is_glob;
use crate::intake::parse_asset;

/// How often the daemon is asked while waiting.
const LOOK: Duration = Duration::from_millis(200);
/// Of so many assets it is said that no file stands for them: each takes a look at the whole index.
const LOOKED: usize = 5;

#[derive(Debug, Args)]
#[command(
    override_usage = "edgepurge purge [OPTIONS] <PIPELINE> <ASSET|URL|GLOB>...\n       \
                      edgepurge purge [OPTIONS] <URL>...\n       \
                      edgepurge purge [OPTIONS] <PIPELINE> --all",
    after_help = "Examples:\n  edgepurge purge www /blog/ /feed.xml\n  \
                  edgepurge purge www '/img/**' --wait\n  edgepurge purge www --all"
)]
pub(super) struct PurgeArgs {
    /// The pipeline's name or id. Before a URL it may be left out, where the `edge_url` of one pipeline has
    /// its host.
    #[arg(add = super::completions::pipelines())]
    pipeline: String,
    /// Absolute URL paths, URLs, or globs of either in quotes, which are expanded over the index:
    /// `*` does not cross a `/`, `**` does.
    ///
    /// A path with escapes of its own, such as /%e6%97%a5/ or /c%2B%2B, is purged exactly so; another
    /// one in every spelling that `encoding` says.
    #[arg(value_name = "ASSET|URL|GLOB")]
    assets: Vec<String>,
    /// Everything of the pipeline.
    #[arg(long, conflicts_with = "assets")]
    all: bool,
    /// Wait until the purge has settled; exit 1 when it failed.
    #[arg(long)]
    wait: bool,
    /// With --wait: give up after so long, with exit code 75; the purge goes on.
    #[arg(long, value_name = "DURATION", default_value = "10m", requires = "wait", value_parser = crate::config::parse_duration)]
    timeout: Duration,
}

/// Puts the pipeline in its place, where URLs alone are given and their host says which it is.
fn address(config: &Config, args: &mut PurgeArgs) -> Result<(), Failure> {
    let first = args.pipeline.as_str();
    let url = first.contains("://");
    if url || first.starts_with('/') {
        let named = args.assets.iter().find(|one| named(config, one).is_ok());
        let of_host = of_url(config, first);
        let (None, [one]) = (named, of_host.as_slice()) else {
            let known = config.pipelines.first().map(|one| &one.name);
            let named = named.or(known).map_or("www", |name| name);
            let failure =
                Failure::usage(format!("the pipeline comes first, and `{first}` is none"));
            return Err(failure.help(&format!("edgepurge purge {named} {first}")));
        };
        let pipeline = one.name.clone();
        let first = std::mem::replace(&mut args.pipeline, pipeline);
        args.assets.insert(0, first);
    }
    for asset in args.assets.iter().filter(|_| url) {
        let of = of_url(config, asset);
        if !of.is_empty() && of.iter().all(|one| one.name != args.pipeline) {
            let name = &args.pipeline;
            return Err(Failure::usage(format!(
                "the first URL is of {name}, and `{asset}` of another pipeline: purge them one after the other"
            )));
        }
    }
    if args.assets.is_empty() && !args.all {
        let name = &args.pipeline;
        let failure = Failure::usage(format!("what of {name} is to be purged is not said"));
        return Err(failure
            .help(&format!("edgepurge purge {name} /blog/ '/img/**'"))
            .help(&format!("edgepurge purge {name} --all")));
    }
    Ok(())
}

/// Says of which assets no file is known: a slip of the pen is purged as well.
async fn note_unknown(daemon: &Daemon, pipeline: &str, assets: &[String]) {
    for given in assets {
        let Ok(asset) = parse_asset(given) else {
            continue;
        };
        // A query is no part of a file's name.
        let path = asset.as_str().split('?').next().unwrap_or_default();
        let query = ExplainQuery {
            pipeline: Some(pipeline.to_owned()),
            asset: Some(path.to_owned()),
            ..ExplainQuery::default()
        };
        // It is queued: where that can't be looked up, nothing is noted.
        let Ok(reply) = daemon.get::<ExplainAnswer>("/api/v1/explain", &query).await else {
            return;
        };
        let mut found = reply.value.assets.into_iter();
        let files = found.find_map(|one| one.stands_for);
        if files.is_some_and(|files| files.is_none()) {
            output::to_stderr(&format!(
                "note: no file that is indexed stands for {given}; it is purged all the same\n"
            ));
        }
    }
}

pub(super) async fn purge(global: &Global, mut args: PurgeArgs) -> Result<ExitCode, Failure> {
    let config = global.load()?;
    address(&config, &mut args)?;
    let daemon = Daemon::need(&config.admin.socket).await?;
    let looked = args.assets.iter().filter(|text| !is_glob(text));
    let looked: Vec<String> = looked.take(LOOKED).cloned().collect();
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
    let has_files = named(&config, &queued.pipeline).is_ok_and(|one| !one.origins.is_empty());
    if has_files && global.format == Format::Text {
        note_unknown(&daemon, &queued.pipeline, &looked).await;
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
    let waited = Waited::new(&daemon, &queued.pipeline, Until::Settled);
    let shown = waited.show(&so_far, settled);
    let Ok(progress) = tokio::time::timeout(args.timeout, shown).await else {
        let late = waited.late(args.timeout).await;
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
        if progress.stages.all() < queued.changes {
            return Err(Failure::temporary(format!(
                "PostgreSQL has forgotten what was queued, as in a failover; the daemon has queued it again, under \
                 other numbers: `edgepurge wait {}` waits for it",
                queued.pipeline
            )));
        }
        if left.get() == 0 {
            return Ok(progress);
        }
        tokio::time::sleep(LOOK).await;
    }
}
