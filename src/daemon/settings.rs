//! From the configuration to what each part wants to know.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::clock::Clock;
use crate::config::{self, Config, Environment, Provenance};
use crate::core::alarm::Place;
use crate::core::change::{PipelineId, Source};
use crate::core::mapping::{Mapping, MappingSettings, UrlPrefix};
use crate::core::planner::{Limits, MOST_CALLS, PipelineSettings};
use crate::core::queue::QUEUE_CAP;
use crate::core::website::Website;
use crate::engine::EngineSettings;
use crate::explain::{self, Explained, Explainer, Root, host_of};
use crate::intake::{IntakeOrigin, IntakePipeline};
use crate::metrics::Metrics;
use crate::origin::{BucketOrigin, OriginSettings, ScanObserver};
use crate::s3::{BucketSettings, KeyReader, Keys};
use crate::sandbox::{self, Mount, Sandbox, SandboxSettings, ServedBucket};
use crate::scaleway::Observer;
use crate::store::{CommitObserver, Database};

/// Counts the client's calls, and the origins' scans.
#[derive(Debug)]
pub(super) struct Observing(Arc<Metrics>);

impl Observing {
    pub(super) fn new(metrics: &Arc<Metrics>) -> Self {
        Self(Arc::clone(metrics))
    }
}

/// Counts what the store commits.
#[derive(Debug)]
pub(super) struct Committing {
    names: BTreeMap<PipelineId, String>,
    metrics: Arc<Metrics>,
}

impl Committing {
    pub(super) fn new(config: &Config, metrics: &Arc<Metrics>) -> Self {
        let pipelines = config.pipelines.iter();
        Self {
            names: pipelines
                .map(|one| (one.id.clone(), one.name.clone()))
                .collect(),
            metrics: Arc::clone(metrics),
        }
    }
}

impl CommitObserver for Committing {
    fn committed(&self, took: Duration) {
        self.metrics.committed(took);
    }

    fn appended(&self, pipeline: &PipelineId, source: Source, changes: u64) {
        let name = self.names.get(pipeline);
        let name = name.map_or(pipeline.as_str(), String::as_str);
        self.metrics.changes(name, source, changes);
    }

    fn fenced(&self) {
        self.metrics.fenced.inc();
    }
}

impl Observer for Observing {
    fn call(&self, operation: &'static str, class: &'static str, took: Duration) {
        self.0.call(operation, class, took);
    }
}

impl ScanObserver for Observing {
    fn scanned(&self, took: Duration) {
        self.0.scanned(took);
    }
}

/// What the engine has to know. Only in a fleet is there another node to wait for.
pub(super) fn engine(config: &Config, in_fleet: bool) -> EngineSettings {
    EngineSettings {
        limits: Limits {
            requests_per_second: config.scaleway.requests_per_second.get(),
            burst: config.scaleway.burst.get(),
            max_in_flight: config.scaleway.max_in_flight,
            max_calls: MOST_CALLS,
            track_timeout: config.scaleway.track_timeout,
        },
        pipelines: config
            .pipelines
            .iter()
            .map(|pipeline| PipelineSettings {
                id: pipeline.id.clone(),
                max_assets: pipeline.max_assets,
                debounce: pipeline.debounce,
                max_wait: pipeline.max_wait,
                all_above: pipeline.all_above,
                all_after: pipeline.all_after,
                all_cooldown: pipeline.all_cooldown,
                hot_interval: pipeline.hot_interval,
                follow_up: pipeline.verify.is_some() || pipeline.repurge_after.is_some(),
                fleet_wait: pipeline.fleet_wait.filter(|_| in_fleet),
                queue_cap: QUEUE_CAP,
            })
            .collect(),
        names: config
            .pipelines
            .iter()
            .map(|pipeline| (pipeline.id.clone(), pipeline.name.as_str().into()))
            .collect(),
        verified: config
            .pipelines
            .iter()
            .filter(|pipeline| pipeline.verify.is_some())
            .map(|pipeline| pipeline.id.clone())
            .collect(),
    }
}

/// The pipelines whose queue takes no more than this, since they are never purged as a whole.
pub(super) fn caps(config: &Config) -> BTreeMap<PipelineId, usize> {
    let pipelines = config.pipelines.iter();
    let never = pipelines.filter(|pipeline| pipeline.all_above.is_none());
    never
        .map(|pipeline| (pipeline.id.clone(), QUEUE_CAP))
        .collect()
}

/// The mappings; the config was checked with the same parsers, so that an error is a bug in there.
pub(super) fn intake(config: &Config) -> Result<BTreeMap<PipelineId, IntakePipeline>, String> {
    let mut pipelines = BTreeMap::new();
    for pipeline in &config.pipelines {
        let mut origins = BTreeMap::new();
        for origin in &pipeline.origins {
            let url_prefix =
                UrlPrefix::parse(&origin.url_prefix).map_err(|error| error.to_string())?;
            let prefix = || Arc::from(origin.prefix.as_str());
            let bucket = origin.bucket.is_some().then(prefix);
            let name = Arc::from(origin.name.as_str());
            origins.insert(name, IntakeOrigin { url_prefix, bucket });
        }
        let mapping = Mapping::new(MappingSettings {
            rules: pipeline.rules.clone(),
            pages: pipeline.pages,
            encoding: pipeline.encoding,
        })
        .map_err(|errors| {
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            texts.join("; ")
        })?;
        pipelines.insert(pipeline.id.clone(), IntakePipeline { mapping, origins });
    }
    Ok(pipelines)
}

/// Where a key is in the configuration's file, if it is.
pub(super) fn place(config: &Config, section: &str, name: &str) -> Option<Place> {
    let mut settings = config.settings.iter();
    let setting = settings.find(|one| one.section == section && one.name == name)?;
    match &setting.from {
        Provenance::File { file, line } => Some(Place {
            file: file.clone(),
            line: *line,
        }),
        _ => None,
    }
}

/// Where the roots and buckets of a pipeline's origins are in the configuration's file, by the origins' names.
pub(super) fn roots(
    config: &Config,
    at: usize,
    pipeline: &config::Pipeline,
) -> BTreeMap<Arc<str>, Place> {
    let origins = pipeline.origins.iter().enumerate();
    let roots = origins.filter_map(|(number, origin)| {
        let key = origin.root.as_ref().map_or("bucket", |_| "root");
        let place = place(config, &format!("pipeline[{at}].origin[{number}]"), key)?;
        Some((origin.name.as_str().into(), place))
    });
    roots.collect()
}

/// The configuration, as it can be explained.
pub(super) fn explainer(config: &Config) -> Result<Explainer, String> {
    let mut known = intake(config)?;
    let line = |section: &str, name: &str| place(config, section, name).map(|place| place.line);
    let mut pipelines = Vec::new();
    for (at, pipeline) in config.pipelines.iter().enumerate() {
        let Some(known) = known.remove(&pipeline.id) else {
            continue;
        };
        let roots = pipeline.origins.iter().enumerate();
        let roots = roots.filter_map(|(number, origin)| {
            let place = match origin.place()? {
                config::Place::Directory(path) => explain::Place::Directory {
                    path: path.clone(),
                    follow: origin.follow_symlinks,
                },
                config::Place::Bucket { name, .. } => explain::Place::Bucket {
                    name: name.to_owned(),
                    prefix: origin.prefix.clone(),
                },
            };
            let root = Root {
                place,
                ignore: origin.ignore.clone(),
                line: line(&format!("pipeline[{at}].origin[{number}]"), "ignore"),
            };
            Some((origin.name.as_str().into(), root))
        });
        pipelines.push(Explained {
            id: pipeline.id.clone(),
            name: pipeline.name.as_str().into(),
            known,
            edge_host: pipeline
                .verify
                .as_ref()
                .and_then(|verify| host_of(verify.edge_url.as_str())),
            roots: roots.collect(),
            lines: (0..pipeline.rules.len())
                .map(|rule| line(&format!("pipeline[{at}].rule[{rule}]"), "match"))
                .collect(),
        });
    }
    Ok(Explainer {
        state: config.state.directory.clone(),
        file: config.file.clone(),
        pipelines,
    })
}

/// A sandbox whose edges serve what the pipelines' origins have.
pub(super) fn sandbox(config: &Config, clock: Clock) -> SandboxSettings {
    let mut settings = SandboxSettings::new(clock);
    for pipeline in &config.pipelines {
        settings.max_assets = settings.max_assets.max(pipeline.max_assets);
        let mut edge = sandbox::PipelineSettings::new(pipeline.id.clone(), Path::new("/"));
        edge.name.clone_from(&pipeline.name);
        if let Some(project) = &pipeline.project_id {
            edge.project_id.clone_from(project);
        }
        edge.origins = pipeline
            .origins
            .iter()
            .filter_map(|origin| {
                Some(Mount {
                    url_prefix: origin.url_prefix.clone(),
                    root: origin.root.clone()?,
                })
            })
            .collect();
        for origin in &pipeline.origins {
            let Some(config::Place::Bucket {
                name,
                region,
                endpoint: None,
            }) = origin.place()
            else {
                continue;
            };
            let mut bucket = sandbox::BucketSettings::new(name, region);
            bucket.website = Some(Website::usual());
            settings.buckets.push(bucket);
            edge.bucket = Some(ServedBucket {
                name: name.to_owned(),
                region: region.to_owned(),
                website: true,
            });
        }
        settings.pipelines.push(edge);
    }
    settings
}

/// The `PostgreSQL` that has the queue, if one has. Its URL is read anew for each connection.
pub(super) fn database(
    config: &Config,
    environment: &Environment,
) -> Result<Option<Database>, String> {
    let url = config.state.database_url(environment);
    if url.map_err(|problems| problems.to_string())?.is_none() {
        return Ok(None);
    }
    let (state, environment) = (config.state.clone(), environment.clone());
    Ok(Some(Database {
        url: Arc::new(move || match state.database_url(&environment) {
            Ok(Some((url, _))) => Ok(url),
            Ok(None) => Err("the URL of the database is gone".to_owned()),
            Err(problems) => Err(problems.to_string()),
        }),
        schema: "edgepurge".to_owned(),
        node: config.state.node.clone().unwrap_or_else(host_name),
    }))
}

/// What this machine is called.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

fn cookies(config: &Config) -> PathBuf {
    config.state.directory.join("cookies")
}

/// Makes the directory for the origins' cookies, empty.
pub(super) fn make_cookie_directory(config: &Config) -> std::io::Result<()> {
    let directory = cookies(config);
    match std::fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::create_dir(directory)
}

pub(super) fn origins(config: &Config, pipeline: &config::Pipeline) -> Vec<OriginSettings> {
    pipeline
        .origins
        .iter()
        .filter_map(|origin| {
            Some(OriginSettings {
                pipeline: pipeline.id.clone(),
                name: origin.name.as_str().into(),
                root: origin.root.clone()?,
                compare: origin.compare,
                watch: origin.watch,
                rescan: origin.rescan,
                write_wait: origin.write_wait,
                gone_after: origin.gone_after,
                max_loss_percent: origin.max_loss.get(),
                follow_symlinks: origin.follow_symlinks,
                web_group: origin.web_group.as_ref().map(|group| group.id),
                ignore: origin.ignore.clone(),
                cookies: cookies(config),
                observer: None,
            })
        })
        .collect()
}

/// What reaches buckets: the environment, which has keys, and the sandbox, where that is the API.
#[derive(Clone, Copy)]
pub(super) struct Reach<'a> {
    environment: &'a Environment,
    sandbox: Option<&'a Sandbox>,
}

impl<'a> Reach<'a> {
    pub(super) const fn new(environment: &'a Environment, sandbox: Option<&'a Sandbox>) -> Self {
        Self {
            environment,
            sandbox,
        }
    }
}

/// The origins of a pipeline that are buckets.
pub(super) fn buckets(
    config: &Config,
    reach: Reach<'_>,
    pipeline: &config::Pipeline,
) -> Vec<BucketOrigin> {
    let settings = |origin: &config::Origin| {
        Some(BucketOrigin {
            pipeline: pipeline.id.clone(),
            name: origin.name.as_str().into(),
            bucket: bucket(config, reach, origin)?,
            poll: origin.poll,
            max_loss_percent: origin.max_loss.get(),
            ignore: origin.ignore.clone(),
            observer: None,
        })
    };
    pipeline.origins.iter().filter_map(settings).collect()
}

/// How a bucket is reached; `None`: it is none, or one of a sandbox that is not there.
pub(super) fn bucket(
    config: &Config,
    reach: Reach<'_>,
    origin: &config::Origin,
) -> Option<BucketSettings> {
    let Some(config::Place::Bucket {
        name,
        region,
        endpoint,
    }) = origin.place()
    else {
        return None;
    };
    let (endpoint, keys) = match endpoint {
        Some(endpoint) => (endpoint, keys(config, reach.environment, origin)),
        None => of_sandbox(reach.sandbox?)?,
    };
    Some(BucketSettings {
        endpoint,
        region: region.to_owned(),
        name: name.to_owned(),
        prefix: origin.prefix.clone(),
        timeout: config.scaleway.request_timeout,
        keys,
    })
}

/// Where the buckets of the sandbox are, and their keys.
fn of_sandbox(sandbox: &Sandbox) -> Option<(Url, KeyReader)> {
    let endpoint = sandbox.storage_url()?.parse().ok()?;
    let sandbox = sandbox.clone();
    let keys = move || {
        Ok(Keys {
            access: sandbox::ACCESS_KEY.into(),
            secret: sandbox.secret_key(),
        })
    };
    Some((endpoint, Arc::new(keys)))
}

/// Reads the keys of a bucket, from wherever they are by then.
fn keys(config: &Config, environment: &Environment, origin: &config::Origin) -> KeyReader {
    let (scaleway, environment) = (config.scaleway.clone(), environment.clone());
    let origin = origin.clone();
    Arc::new(move || {
        let keys = origin.keys(&scaleway, &environment);
        let (access, secret) = keys.map_err(|problems| problems.to_string())?;
        Ok(Keys {
            access: access.value,
            secret: secret.value,
        })
    })
}
