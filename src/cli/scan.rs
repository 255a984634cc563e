//! `edgepurge scan PIPELINE [--apply [--accept-loss [--node NODE]] [--timeout T]]`

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::runtime::Handle;

use super::client::Daemon;
use super::wait::{Until, Waited, unknown_of};
use super::{Failure, Format, Global, named, output, owner};
use crate::admin::api::{OriginScan, ScanAnswer, ScanBody};
use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::core::change::Kind;
use crate::daemon;
use crate::origin::{self, BucketOrigin, Difference, OriginError, OriginSettings};

/// How many paths of an origin the JSON document names; the rest is counted.
const NAMED: usize = 10_000;

#[derive(Debug, Args)]
pub(super) struct ScanArgs {
    /// The pipeline's name or id.
    #[arg(add = super::completions::pipelines())]
    pipeline: String,
    /// Queue what changed; this needs the daemon.
    #[arg(long)]
    apply: bool,
    /// What is gone is meant to be gone, however much it is.
    #[arg(long, requires = "apply")]
    accept_loss: bool,
    /// Where several nodes share the queue: the one on which that is so.
    #[arg(long, value_name = "NODE", requires = "accept_loss")]
    node: Option<String>,
    /// Give up after so long, with exit code 75; else it waits as long as it takes.
    #[arg(long, value_name = "DURATION", requires = "apply", value_parser = crate::config::parse_duration)]
    timeout: Option<Duration>,
}

pub(super) async fn scan(global: &Global, args: ScanArgs) -> Result<ExitCode, Failure> {
    let config = global.load()?;
    let pipeline = named(&config, &args.pipeline)?;
    if pipeline.origins.is_empty() {
        return Err(Failure::usage(format!(
            "pipeline {} has no origin to compare",
            pipeline.name
        )));
    }
    if args.apply {
        return apply(global, &config, args).await;
    }
    if Daemon::find(&config.admin.socket).await.is_none() {
        owner::check(&config.state.directory)?;
    }
    let environment = Environment::of_process();
    let directories = daemon::origins(&config, pipeline).into_iter();
    let buckets = daemon::buckets(&config, &environment, pipeline);
    let all = directories.map(Compared::Directory);
    let all = all.chain(buckets.into_iter().map(Compared::Bucket));
    let mut found = Vec::new();
    for one in all {
        let (state, format) = (config.state.directory.clone(), global.format);
        let compared = tokio::task::spawn_blocking(move || one.compare(&state, format));
        let compared = compared
            .await
            .map_err(|error| Failure::failed(format!("the comparison ended: {error}")))?;
        found.push(compared?);
    }
    match global.format {
        Format::Json => output::json(&serde_json::json!({ "origins": found }))?,
        Format::Text => {
            for origin in &found {
                output::line(&origin.summary())?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What differs in one origin.
#[derive(Debug, Default, Serialize)]
struct Differences {
    name: String,
    files: u64,
    new: u64,
    changed: u64,
    gone: u64,
    paths: Vec<Named>,
    /// Whether there are more than are named.
    truncated: bool,
}

#[derive(Debug, Serialize)]
struct Named {
    kind: &'static str,
    path: String,
}

impl Differences {
    fn summary(&self) -> String {
        let Self {
            name,
            files,
            new,
            changed,
            gone,
            ..
        } = self;
        let how = if new + changed + gone > 0 {
            "; --apply queues that"
        } else {
            ""
        };
        format!("origin {name}: {files} files: {new} new, {changed} changed, {gone} gone{how}")
    }

    /// Takes a difference, and shows it at once where that is for people.
    fn add(&mut self, difference: Difference, format: Format) -> Result<(), Failure> {
        let Difference { kind, path } = difference;
        match kind {
            Kind::New => self.new += 1,
            Kind::Gone => self.gone += 1,
            Kind::Changed | Kind::Asked => self.changed += 1,
        }
        let kind = kind.as_str();
        // A name can hold anything, also what a terminal would obey.
        let path = String::from_utf8_lossy(&path);
        match format {
            Format::Text => output::line(&format!("{kind:<8} {}", path.escape_debug()))?,
            Format::Json if self.paths.len() < NAMED => self.paths.push(Named {
                kind,
                path: path.into_owned(),
            }),
            Format::Json => self.truncated = true,
        }
        Ok(())
    }
}

/// An origin, as it is compared.
enum Compared {
    Directory(OriginSettings),
    Bucket(BucketOrigin),
}

impl Compared {
    fn compare(&self, state: &Path, format: Format) -> Result<Differences, Failure> {
        let name = match self {
            Self::Directory(settings) => &settings.name,
            Self::Bucket(settings) => &settings.name,
        };
        let mut found = Differences {
            name: name.to_string(),
            ..Differences::default()
        };
        let clock = Clock::start();
        let tell = |difference| found.add(difference, format);
        found.files = match self {
            Self::Directory(settings) => origin::differences(settings, state, clock, tell),
            Self::Bucket(settings) => {
                let runtime = Handle::current();
                origin::bucket_differences(settings, state, clock, runtime, tell)
            }
        }?;
        Ok(found)
    }
}

impl From<OriginError> for Failure {
    fn from(error: OriginError) -> Self {
        if error.is_passing() {
            Self::temporary(error.to_string())
        } else {
            Self::failed(error.to_string())
        }
    }
}

async fn apply(global: &Global, config: &Config, args: ScanArgs) -> Result<ExitCode, Failure> {
    let daemon = Daemon::need(&config.admin.socket).await?;
    let body = ScanBody {
        pipeline: args.pipeline.clone(),
        accept_loss: args.accept_loss,
        node: args.node,
    };
    let waited = Waited::new(&daemon, &args.pipeline, Until::Scanned);
    let scan = daemon.post_and_wait::<ScanAnswer>("/api/v1/scan", &body);
    let shown = waited.show(&String::new, scan);
    let scanned = match args.timeout {
        Some(limit) => waited.within(limit, shown).await?,
        None => shown.await?,
    };
    output::reply(global, &scanned, |scanned| {
        let lines: Vec<String> = scanned.origins.iter().map(applied).collect();
        lines.join("\n")
    })?;
    if let Some(what) = unknown_of(&scanned.value.silent) {
        output::to_stderr(&format!("note: {what}\n"));
    }
    let mut held = scanned.value.origins.iter().filter(|one| one.scan.held);
    if let Some(first) = held.next() {
        let on = first.node.iter().map(|node| format!(" --node {node}"));
        return Err(Failure::failed(format!(
            "{}: so many files are gone at once that nothing of that is purged; if that is meant so: \
             edgepurge scan {} --apply --accept-loss{}",
            place(first),
            args.pipeline,
            on.collect::<String>()
        )));
    }
    Ok(ExitCode::SUCCESS)
}

/// Where an origin is, for people.
fn place(origin: &OriginScan) -> String {
    let node = origin.node.iter().map(|node| format!("{node}: "));
    format!("{}origin {}", node.collect::<String>(), origin.name)
}

fn applied(origin: &OriginScan) -> String {
    let (place, scan) = (place(origin), &origin.scan);
    format!(
        "{place}: {} files: {} new, {} changed, {} gone; queued",
        scan.files, scan.new, scan.changed, scan.gone
    )
}
