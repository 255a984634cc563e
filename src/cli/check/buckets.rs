//! Buckets: what their listings cost, and whether each can be listed and read.

use serde::Serialize;

use crate::cli::moment::counted;
use crate::cli::{Failure, output};
use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::daemon;
use crate::origin::{self, BucketOrigin, Cost};

/// What a bucket costs, as far as the index says.
#[derive(Debug, Serialize)]
pub(super) struct Bucket {
    pipeline: String,
    origin: String,
    #[serde(rename = "bucket")]
    name: String,
    /// Time between two listings, in seconds.
    poll_s: u64,
    /// `None`: it is not indexed yet, or its index can't be read.
    cost: Option<Cost>,
    /// Euros of a day, if its bytes leave the region; what is free of a month counts once for all buckets.
    euros_a_day: Option<f64>,
}

/// The buckets of all pipelines.
pub(super) fn costs(config: &Config, environment: &Environment) -> Vec<Bucket> {
    let mut found = Vec::new();
    for pipeline in &config.pipelines {
        for settings in daemon::buckets(config, environment, pipeline) {
            let state = &config.state.directory;
            // Without the right to read the index, the rest is shown all the same.
            let objects = origin::remembered_count(state, &pipeline.id, &settings.name);
            let cost = objects.unwrap_or_default();
            let cost = cost.map(|objects| Cost::new(objects, settings.poll));
            found.push(Bucket {
                pipeline: pipeline.name.clone(),
                origin: settings.name.to_string(),
                name: settings.bucket.name,
                poll_s: settings.poll.as_secs(),
                euros_a_day: cost.map(|cost| cost.euros_a_day()),
                cost,
            });
        }
    }
    found
}

/// A line for each bucket, and one for all together where there are several.
pub(super) fn lines(buckets: &[Bucket]) -> Vec<String> {
    let mut lines: Vec<String> = buckets.iter().map(line).collect();
    if buckets.len() > 1 {
        let all = Cost::sum(buckets.iter().filter_map(|one| one.cost));
        let unknown = buckets.iter().filter(|one| one.cost.is_none()).count();
        let but = match unknown {
            0 => String::new(),
            some => format!(", without the {some} that are not indexed yet"),
        };
        lines.push(format!(
            "{} buckets together{but}: {}",
            buckets.len(),
            a_day(&all)
        ));
    }
    lines
}

fn line(bucket: &Bucket) -> String {
    let Bucket {
        pipeline,
        origin,
        name,
        poll_s,
        cost,
        ..
    } = bucket;
    let told = match cost {
        Some(cost) => format!(
            "{}: a listing is {} and about {}; {}",
            counted(cost.objects, "object"),
            counted(cost.calls, "call"),
            size(cost.bytes),
            a_day(cost)
        ),
        None => {
            "not indexed yet: a listing is a call and about 400 kB for 1,000 objects".to_owned()
        }
    };
    format!("pipeline {pipeline}, origin {origin}, bucket {name}, listed every {poll_s} s: {told}")
}

fn a_day(cost: &Cost) -> String {
    format!(
        "{} and {} a day at most, free in the bucket's region, {:.2} EUR a day elsewhere; at most {} of memory \
         while listed",
        counted(cost.calls_a_day, "call"),
        size(cost.bytes_a_day),
        cost.euros_a_day(),
        size(cost.memory)
    )
}

/// Bytes, as people read them.
fn size(bytes: u64) -> String {
    match bytes {
        ..1_000_000 => format!("{} kB", bytes.div_ceil(1_000)),
        1_000_000..1_000_000_000 => format!("{} MB", bytes.div_ceil(1_000_000)),
        _ => format!("{} GB", bytes.div_ceil(1_000_000_000)),
    }
}

/// Asks each bucket of a pipeline. Returns what is refused, each with its remedy.
pub(super) async fn online(
    buckets: Vec<BucketOrigin>,
    pipeline: &str,
) -> Result<Vec<String>, Failure> {
    let mut problems = Vec::new();
    for settings in buckets {
        let (origin, bucket) = (&settings.name, &settings.bucket.name);
        match origin::reach(&settings, Clock::start()).await {
            Ok(reach) => {
                let can = if reach.objects {
                    "can be listed and read"
                } else {
                    "can be listed, and has no object"
                };
                output::to_stderr(&format!(
                    "pipeline {pipeline}, origin {origin}: bucket {bucket} {can}\n"
                ));
                if reach.skew_s != 0 {
                    output::to_stderr(&format!(
                        "warning: the clock of this machine is {} s {} that of {}: requests are signed with the time of the server; set the clock\n",
                        reach.skew_s.abs(),
                        if reach.skew_s > 0 {
                            "behind"
                        } else {
                            "ahead of"
                        },
                        settings.bucket.endpoint
                    ));
                }
            }
            Err(error) if error.is_passing() => {
                return Err(Failure::temporary(format!(
                    "pipeline {pipeline}, origin {origin}: {error}"
                )));
            }
            Err(error) => problems.push(format!("pipeline {pipeline}, origin {origin}: {error}")),
        }
    }
    Ok(problems)
}
