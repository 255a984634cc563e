//! `edgepurge scan PIPELINE [--apply [--accept-loss]]`

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::client::Daemon;
use super::{Failure, Format, Global, named, output, owner};
use crate::admin::api::{OriginScan, ScanAnswer, ScanBody};
use crate::clock::Clock;
use crate::config::Config;
use crate::core::change::Kind;
use crate::daemon;
use crate::origin::{self, OriginError, OriginSettings};

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
    let mut buckets = pipeline.origins.iter().filter(|one| one.bucket.is_some());
    if let Some(bucket) = buckets.next() {
        return Err(Failure::usage(format!(
            "origin {} of pipeline {} is a bucket, which only the daemon lists: edgepurge scan {} --apply",
            bucket.name, pipeline.name, pipeline.name
        )));
    }
    if Daemon::find(&config.admin.socket).await.is_none() {
        owner::check(&config.state.directory)?;
    }
    let mut found = Vec::new();
    for settings in daemon::origins(&config, pipeline) {
        let (state, format) = (config.state.directory.clone(), global.format);
        let compared = tokio::task::spawn_blocking(move || compare(&settings, &state, format));
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
}

fn compare(
    settings: &OriginSettings,
    state: &std::path::Path,
    format: Format,
) -> Result<Differences, Failure> {
    let mut found = Differences {
        name: settings.name.to_string(),
        ..Differences::default()
    };
    let files = origin::differences(settings, state, Clock::start(), |difference| {
        match difference.kind {
            Kind::New => found.new += 1,
            Kind::Gone => found.gone += 1,
            Kind::Changed | Kind::Asked => found.changed += 1,
        }
        let kind = difference.kind.as_str();
        // A name can hold anything, also what a terminal would obey.
        let path = String::from_utf8_lossy(&difference.path);
        match format {
            Format::Text => output::line(&format!("{kind:<8} {}", path.escape_debug()))?,
            Format::Json if found.paths.len() < NAMED => found.paths.push(Named {
                kind,
                path: path.into_owned(),
            }),
            Format::Json => found.truncated = true,
        }
        Ok::<(), Failure>(())
    })?;
    found.files = files;
    Ok(found)
}

impl From<OriginError> for Failure {
    fn from(error: OriginError) -> Self {
        match error {
            OriginError::NotIndexed(_) | OriginError::Root { .. } => {
                Self::temporary(error.to_string())
            }
            other => Self::failed(other.to_string()),
        }
    }
}

async fn apply(global: &Global, config: &Config, args: ScanArgs) -> Result<ExitCode, Failure> {
    let daemon = Daemon::need(&config.admin.socket).await?;
    let body = ScanBody {
        pipeline: args.pipeline.clone(),
        accept_loss: args.accept_loss,
    };
    let scanned = daemon
        .post_and_wait::<ScanAnswer>("/api/v1/scan", &body)
        .await?;
    output::reply(global, &scanned, |scanned| {
        let lines: Vec<String> = scanned.origins.iter().map(applied).collect();
        lines.join("\n")
    })?;
    if scanned.value.origins.iter().any(|origin| origin.scan.held) {
        return Err(Failure::failed(format!(
            "so many files are gone at once that nothing of that is purged; if that is meant so: \
             edgepurge scan {} --apply --accept-loss",
            args.pipeline
        )));
    }
    Ok(ExitCode::SUCCESS)
}

fn applied(origin: &OriginScan) -> String {
    let OriginScan { name, scan } = origin;
    format!(
        "origin {name}: {} files: {} new, {} changed, {} gone; queued",
        scan.files, scan.new, scan.changed, scan.gone
    )
}
