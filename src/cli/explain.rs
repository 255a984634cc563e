//! `edgepurge explain PATH|/ASSET|URL ... [--pipeline PIPELINE]`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::client::Daemon;
use super::{Failure, Format, Global, output, owner};
use crate::admin::api::{AssetExplained, ExplainAnswer, ExplainQuery, PURGES};
use crate::core::asset::Asset;
use crate::daemon;
use crate::explain::{Explainer, FileExplained, host_of};
use crate::intake::parse_asset;
use crate::store::history_of;

mod text;

/// How many assets of a file are shown with their history.
const ASSETS: usize = 5;

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// Files, absolute or relative, or keys of a bucket, or absolute URL paths, or URLs.
    ///
    /// What lies below the root of an origin is a file; a relative path is tried from here, then
    /// from the root of each origin. Where the origin is a bucket, it is a key, which may be written as
    /// <s3://BUCKET/KEY>.
    /// The host of a URL chooses the pipelines whose `edge_url` has it, if there are any.
    #[arg(required = true, value_name = "PATH|/ASSET|URL")]
    subjects: Vec<String>,
    /// Only of this pipeline, by name or id.
    #[arg(long, add = super::completions::pipelines())]
    pipeline: Option<String>,
}

/// What is known of one argument.
#[derive(Debug, Serialize)]
struct Subject {
    /// As it was given.
    given: String,
    /// What a change of the file would purge, in each origin that it lies in.
    files: Vec<FileExplained>,
    /// The asset in each pipeline, or the assets of the file.
    assets: Vec<AssetExplained>,
}

/// What an argument means.
enum Meaning {
    File(PathBuf),
    Asset(Asset),
}

pub(super) async fn explain(global: &Global, args: ExplainArgs) -> Result<ExitCode, Failure> {
    let config = global.load()?;
    let explainer = daemon::explainer(&config).map_err(|error| super::run::unstarted(&error))?;
    let daemon = Daemon::find(&config.admin.socket).await;
    let mut subjects = Vec::new();
    let mut unknown = None;
    for given in args.subjects {
        let mut explainer = explainer.clone();
        let wanted = match &args.pipeline {
            Some(name) => vec![super::named(&config, name)?],
            None => super::of_url(&config, &given),
        };
        if !wanted.is_empty() {
            explainer
                .pipelines
                .retain(|one| wanted.iter().any(|wanted| wanted.id == one.id));
        }
        let found = subject(&explainer, daemon.as_ref(), given, &mut unknown).await?;
        if global.format == Format::Text {
            output::text(&text::subject(&found, &explainer.file))?;
        }
        subjects.push(found);
    }
    if global.format == Format::Json {
        output::json(&serde_json::json!({ "subjects": subjects }))?;
    }
    // The mapping was explained, and the state could not be read.
    unknown.map_or(Ok(ExitCode::SUCCESS), Err)
}

fn meaning(explainer: &Explainer, given: &str) -> Result<Meaning, Failure> {
    let path = Path::new(given);
    if explainer.is_asset(given) {
        let asset = parse_asset(given).map_err(|error| Failure::usage(error.to_string()))?;
        return Ok(Meaning::Asset(asset));
    }
    if path.is_absolute() {
        return Ok(Meaning::File(path.to_owned()));
    }
    let here = std::env::current_dir().map(|here| here.join(path));
    Ok(Meaning::File(match here {
        Ok(here) if !given.contains("://") && explainer.is_file(&here) => here,
        _ => path.to_owned(),
    }))
}

async fn subject(
    explainer: &Explainer,
    daemon: Option<&Daemon>,
    given: String,
    unknown: &mut Option<Failure>,
) -> Result<Subject, Failure> {
    let host = host_of(&given);
    let (files, wanted) = match meaning(explainer, &given)? {
        Meaning::Asset(asset) => {
            let all = explainer.of_host(host.as_deref()).into_iter();
            let wanted = all.map(|pipeline| (pipeline.name.to_string(), asset.clone(), true));
            (Vec::new(), wanted.collect())
        }
        Meaning::File(path) => {
            let mut files = explainer.file(&path)?;
            if files.is_empty() {
                return Err(Failure::usage(format!(
                    "`{given}` lies below the root of no origin, is no key of a bucket, and no absolute URL path"
                )));
            }
            // Only text can be asked for.
            if let Some(daemon) = daemon.filter(|_| path.to_str().is_some()) {
                let asked = ask_diverged(daemon, &path, &mut files).await;
                *unknown = asked.err().or(unknown.take());
            }
            let wanted = assets_of(&files);
            (files, wanted)
        }
    };
    let mut assets = Vec::new();
    for (pipeline, asset, whole) in wanted {
        let found = match daemon {
            Some(daemon) => ask(daemon, pipeline, &asset, whole).await,
            None => look(explainer, pipeline, asset, whole).await,
        };
        match found {
            Ok(Some(mut found)) => {
                let of = explainer.pipeline(&found.pipeline);
                found.other_host = of.and_then(|one| one.other_host(host.as_deref()?));
                assets.push(found);
            }
            Ok(None) => {}
            Err(failure) => *unknown = Some(failure),
        }
    }
    Ok(Subject {
        given,
        files,
        assets,
    })
}

/// The assets of a file, with their pipelines: the first ones.
fn assets_of(files: &[FileExplained]) -> Vec<(String, Asset, bool)> {
    let mut assets = BTreeSet::new();
    for file in files.iter().filter(|file| file.counts()) {
        for asset in file.on.values().flat_map(|verdict| &verdict.assets) {
            assets.insert((file.pipeline.clone(), Asset::from_stored(asset)));
        }
    }
    let assets = assets.into_iter().take(ASSETS);
    assets
        .map(|(pipeline, asset)| (pipeline, asset, false))
        .collect()
}

/// Asks the daemon how the files are diverged from those of other nodes.
async fn ask_diverged(
    daemon: &Daemon,
    path: &Path,
    files: &mut [FileExplained],
) -> Result<(), Failure> {
    let query = ExplainQuery {
        path: Some(path.to_owned()),
        ..ExplainQuery::default()
    };
    let found = daemon.find_one::<ExplainAnswer>("/api/v1/explain", &query);
    let known = found
        .await?
        .map_or_else(Vec::new, |reply| reply.value.files);
    for file in files {
        let key =
            |one: &FileExplained| (one.pipeline.clone(), one.origin.clone(), one.path.clone());
        let mut known = known.iter();
        if let Some(known) = known.find(|one| key(one) == key(file)) {
            file.diverged.clone_from(&known.diverged);
        }
    }
    Ok(())
}

/// Asks the daemon; `None` when it does not know the pipeline yet.
async fn ask(
    daemon: &Daemon,
    pipeline: String,
    asset: &Asset,
    whole: bool,
) -> Result<Option<AssetExplained>, Failure> {
    let query = ExplainQuery {
        pipeline: Some(pipeline),
        asset: Some(asset.to_string()),
        path: None,
        history_only: !whole,
    };
    let found = daemon.find_one::<ExplainAnswer>("/api/v1/explain", &query);
    Ok(found
        .await?
        .and_then(|reply| reply.value.assets.into_iter().next()))
}

/// Looks into the state directory, as its owner.
async fn look(
    explainer: &Explainer,
    name: String,
    asset: Asset,
    whole: bool,
) -> Result<Option<AssetExplained>, Failure> {
    owner::check(&explainer.state)?;
    let explainer = explainer.clone();
    let looked = tokio::task::spawn_blocking(move || {
        let state = &explainer.state;
        let Some(pipeline) = explainer.pipeline(&name) else {
            return Ok(None);
        };
        let history = history_of(state, &pipeline.id, &asset, PURGES)
            .map_err(|error| Failure::failed(error.to_string()))?;
        let stands_for = if whole {
            Some(pipeline.files_of(state, &asset)?)
        } else {
            None
        };
        Ok(Some(AssetExplained {
            pipeline: name,
            asset: asset.to_string(),
            other_host: None,
            stands_for,
            history,
            not_yet_on: Vec::new(),
        }))
    });
    looked
        .await
        .map_err(|error| Failure::failed(format!("the look ended: {error}")))?
}
