//! `edgepurge wait PIPELINE [--timeout T] [--without NODE]...`

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::client::Daemon;
use super::moment::length;
use super::progress::Line;
use super::{Failure, Format, Global, output};
use crate::admin::api::{Cause, SettledAnswer, SettledQuery, WaitAnswer, WaitQuery};
use crate::core::alarm::{Alarm, AlarmKind};
use crate::core::pause::Holder;
use crate::core::time::Time;

/// How often the daemon is asked.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(super) struct WaitArgs {
    /// The pipeline's name or id.
    #[arg(add = super::completions::pipelines())]
    pipeline: String,
    /// Give up after so long, with exit code 75.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = crate::config::parse_duration)]
    timeout: Duration,
    /// Do not wait for this one of several nodes that share the queue.
    #[arg(long, value_name = "NODE")]
    without: Vec<String>,
}

pub(super) async fn wait(global: &Global, args: WaitArgs) -> Result<ExitCode, Failure> {
    let daemon = Daemon::need(&global.socket()?).await?;
    let settled = async {
        let noticed = noticed(&daemon, &args.pipeline, &args.without).await?;
        if let Some(held) = noticed.held {
            return Err(Failure::failed(held));
        }
        until_purged(&daemon, noticed).await
    };
    let waited = Waited::new(&daemon, &args.pipeline, Until::Settled);
    let shown = waited.show(&String::new, settled);
    let Settled { failed, silent, .. } = waited.within(args.timeout, shown).await?;
    match global.format {
        Format::Json => {
            output::json(&json!({
                "pipeline": args.pipeline,
                "failed_assets": failed,
                "silent": silent,
            }))?;
        }
        Format::Text => output::line(&format!("{}: settled", args.pipeline))?,
    }
    if failed > 0 {
        return Err(stale(&daemon, &args.pipeline).await);
    }
    if let Some(what) = unknown_of(&silent) {
        let without = silent.join(" --without ");
        return Err(Failure::temporary(what)
            .help("start it: it notices what changed, and that is purged then")
            .help(&format!(
                "edgepurge wait {} --without {without}",
                args.pipeline
            ))
            .help("edgepurge node forget NAME, if it will not come back"));
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
    /// Nodes that were silent.
    pub(super) silent: Vec<String>,
}

/// What to say of nodes that were silent; `None`: there were none.
pub(super) fn unknown_of(silent: &[String]) -> Option<String> {
    let names = silent.join(", ");
    (!silent.is_empty()).then(|| {
        format!("what changed on {names} is not known: it shares the queue, and does not move")
    })
}

/// Waits until everything that changed before now is noticed, however long that takes.
async fn noticed(
    daemon: &Daemon,
    pipeline: &str,
    without: &[String],
) -> Result<WaitAnswer, Failure> {
    let query = WaitQuery {
        pipeline: pipeline.to_owned(),
        without: without.join(","),
    };
    let noticed = daemon.get_and_wait("/api/v1/wait", &query).await?;
    Ok(noticed.value)
}

/// Waits until what is noticed is settled.
async fn until_purged(daemon: &Daemon, noticed: WaitAnswer) -> Result<Settled, Failure> {
    let WaitAnswer {
        pipeline,
        last,
        history,
        silent,
        ..
    } = noticed;
    let query = SettledQuery {
        pipeline,
        last,
        history,
    };
    loop {
        let now = daemon.get::<SettledAnswer>("/api/v1/settled", &query);
        let now = now.await?.value;
        if now.settled {
            let failed = now.failed_assets;
            return Ok(Settled {
                last,
                failed,
                silent,
            });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until everything that changed before now is noticed and settled, however long that takes;
/// what is gone and not believed is not waited for.
pub(super) async fn until_settled(daemon: &Daemon, pipeline: &str) -> Result<Settled, Failure> {
    let noticed = noticed(daemon, pipeline, &[]).await?;
    until_purged(daemon, noticed).await
}

/// Until when a command waits for a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// Its origins are scanned.
    Scanned,
    /// What changed is purged as well.
    Settled,
}

/// A pipeline that a command waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waited<'a> {
    daemon: &'a Daemon,
    pipeline: &'a str,
    until: Until,
}

impl<'a> Waited<'a> {
    pub(super) const fn new(daemon: &'a Daemon, pipeline: &'a str, until: Until) -> Self {
        Self {
            daemon,
            pipeline,
            until,
        }
    }

    /// Says on stderr what is waited for, soon and then now and then, until `work` is done. `so_far`
    /// says how far that is.
    pub(super) async fn show<T>(
        self,
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
            let show = async {
                let Waits { causes, now, .. } = self.waits().await;
                if causes.is_empty() {
                    // To be asked again a moment later.
                    tokio::time::sleep(LOOK).await;
                    return;
                }
                line.say(&format!(
                    "{}{} waits: {}",
                    self.pipeline,
                    so_far(),
                    texts(&causes, now)
                ));
            };
            tokio::select! {
                done = &mut work => return done,
                () = show => {}
            }
        }
    }

    /// What `work` comes to in this time, else that it took too long. What it has asked of the daemon is given up
    /// only then: the daemon says what that waits for as long as it is asked.
    pub(super) async fn within<T>(
        self,
        limit: Duration,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::pin!(work);
        tokio::select! {
            done = &mut work => done,
            () = tokio::time::sleep(limit) => Err(self.late(limit).await),
        }
    }

    /// Says that it took too long, and what is waited for.
    pub(super) async fn late(self, limit: Duration) -> Failure {
        let (name, waits) = (self.pipeline, self.waits().await);
        let mut why = if waits.causes.is_empty() {
            "`edgepurge status` says what it waits for".to_owned()
        } else {
            texts(&waits.causes, waits.now)
        };
        // The pause of a deploy ends with that.
        if waits.is_paused {
            why = format!("{why}; `edgepurge resume {name}` ends the pause");
        }
        let what = match self.until {
            Until::Scanned => "scanned",
            Until::Settled => "settled",
        };
        let seconds = limit.as_secs();
        Failure::temporary(format!("{name} is not {what} within {seconds} s: {why}"))
    }

    /// What is waited for, as far as the daemon answers.
    async fn waits(self) -> Waits {
        let Ok(status) = self.daemon.status().await else {
            return Waits::default();
        };
        let status = status.value;
        let Some(pipeline) = status.pipeline(self.pipeline) else {
            return Waits::default();
        };
        let is_all = self.until == Until::Settled;
        let causes = pipeline.causes.iter();
        let mut pauses = pipeline.planned.pauses.iter();
        Waits {
            causes: causes
                .filter(|cause| is_all || cause.word.is_noticing())
                .cloned()
                .collect(),
            now: status.now,
            is_paused: is_all && pauses.any(|pause| pause.holder == Holder::Operator),
        }
    }
}

/// What a pipeline waits for.
#[derive(Default)]
struct Waits {
    causes: Vec<Cause>,
    now: Time,
    /// Whether a person has paused it, and that is waited for.
    is_paused: bool,
}

/// The causes as people read them.
pub(super) fn texts(causes: &[Cause], now: Time) -> String {
    let texts = causes.iter().map(|cause| match cause.until {
        Some(until) => format!("{} (in {})", cause.text, length(until.since(now))),
        None => cause.text.clone(),
    });
    texts.collect::<Vec<_>>().join("; ")
}

/// Some assets are given up: visitors may get old bytes, whatever was done now.
pub(super) async fn stale(daemon: &Daemon, name: &str) -> Failure {
    Failure::failed(format!("{name}: {}", why_failed(daemon, name).await))
}

/// What the daemon says of the assets that are given up.
pub(super) async fn why_failed(daemon: &Daemon, name: &str) -> String {
    let status = daemon.status().await.ok().map(|reply| reply.value);
    let text = status.as_ref().and_then(|status| {
        let pipeline = status.pipeline(name)?;
        let mut alarms = status.alarms.iter();
        alarms.find(|alarm| {
            let whose = alarm.pipeline.as_ref();
            alarm.reason == AlarmKind::Failed && whose == Some(&pipeline.name)
        })
    });
    let unknown = || "some assets are failed; see `edgepurge status`".to_owned();
    text.map_or_else(unknown, Alarm::line)
}
