//! Says in the log when an alarm begins and when it is over, each of every kind, reports to systemd what the daemon
//! waits for, and to the other nodes how it stands with this one. Looks at the read model whenever something may
//! have changed it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::systemd;
use crate::admin::{Admin, AlarmKey, AlarmTimes, News, Status, counted, progress};
use crate::config::{self, Config};
use crate::core::nodes::{NodeReport, NodeWait};
use crate::core::time::Time;
use crate::origin::OriginStatus;
use crate::supervise::Supervisor;

/// Two looks are so far apart at least.
const GAP: Duration = Duration::from_secs(1);
/// What no event reports (a filesystem that hangs, a secret that was replaced) is looked for so often.
const AT_LEAST: Duration = Duration::from_secs(15);
/// How far a start is that takes long is logged so often.
const PROGRESS: Duration = Duration::from_secs(30);
/// The most characters of `STATUS=`.
const STATUS: usize = 300;

struct Herald {
    admin: Arc<Admin>,
    told: Arc<AlarmTimes>,
    /// The last `STATUS=` that was sent.
    status: String,
    /// What the configuration has that all nodes have to have.
    config: String,
    /// The last report to the other nodes that was taken.
    report: String,
    /// When the log last got how far a start is.
    told_progress: Time,
}

/// Starts it.
pub(super) fn spawn(
    admin: &Arc<Admin>,
    told: &Arc<AlarmTimes>,
    config: &Config,
    supervisor: &Supervisor,
) {
    let herald = Herald {
        admin: Arc::clone(admin),
        told: Arc::clone(told),
        status: String::new(),
        config: serde_json::to_string(&config::digests(config)).unwrap_or_default(),
        report: String::new(),
        told_progress: Time::ZERO,
    };
    let stopping = supervisor.stopping();
    supervisor.spawn("herald", async move {
        herald.run(stopping).await;
        Ok(())
    });
}

impl Herald {
    async fn run(mut self, stopping: CancellationToken) {
        let mut news = News::of(&self.admin);
        loop {
            // An engine that does not answer is the watchdog's business.
            if let Some(status) = self.admin.status().await {
                tell(&self.told, &status);
                self.tell_systemd(&status);
                self.tell_progress(&status);
                self.tell_nodes(&status).await;
            }
            let next = async {
                tokio::time::sleep(GAP).await;
                news.next(AT_LEAST).await;
            };
            tokio::select! {
                () = stopping.cancelled() => return,
                () = next => {}
            }
        }
    }

    /// Says in the log how far a start is that takes long.
    fn tell_progress(&mut self, status: &Status) {
        let due = status.now.since(self.told_progress) >= PROGRESS;
        if due && unready(status).next().is_some() {
            if self.told_progress > Time::ZERO {
                tracing::info!("{}", self.status);
            }
            self.told_progress = status.now;
        }
    }

    /// Publishes this node's report, where there are other nodes. The next look publishes what the store refuses.
    async fn tell_nodes(&mut self, status: &Status) {
        if self.admin.fleet.is_none() {
            return;
        }
        let origins = self.admin.node_origins(status).await.into_iter();
        let report = NodeReport::new(status.own_alarms(), origins, waits(status)).written();
        if report != self.report {
            let (said, config) = (report.clone(), self.config.clone());
            let taken = self.admin.store.report(said, config).await;
            self.report = taken.map_or_else(|_| String::new(), |()| report);
        }
    }

    fn tell_systemd(&mut self, status: &Status) {
        let text = summary(status);
        if text != self.status {
            systemd::status(&text);
            self.status = text;
        }
    }
}

/// Logs what began and what is over since the last time.
fn tell(told: &AlarmTimes, status: &Status) {
    let mut told = told.lock();
    for alarm in status.own_alarms() {
        told.entry(AlarmTimes::key(alarm)).or_insert_with(|| {
            let (pipeline, reason) = (&alarm.pipeline, alarm.reason.as_str());
            tracing::error!(pipeline, reason, "ALARM: {}", one_line(&alarm.line()));
            alarm.since.unwrap_or(status.now)
        });
    }
    // What was started anew has not looked yet whether they are.
    if unready(status).next().is_some() {
        return;
    }
    told.retain(|key, since| {
        let stays = status
            .own_alarms()
            .any(|alarm| AlarmTimes::key(alarm) == *key);
        if !stays {
            let after_s = status.now.since(*since).as_secs();
            let AlarmKey {
                pipeline,
                origin,
                about,
                reason,
            } = key;
            let reason = reason.as_str();
            tracing::info!(
                pipeline,
                origin,
                about,
                reason,
                after_s,
                "the alarm {reason} is over"
            );
        }
        stays
    });
}

/// What this node's planner waits for; nothing where another one leads.
fn waits(status: &Status) -> impl Iterator<Item = NodeWait> {
    let pipelines = status.pipelines.iter().filter(|_| status.leads);
    let waits = pipelines.map(|one| {
        let causes = one.causes.iter().filter(|cause| cause.word.is_planned());
        NodeWait {
            pipeline: one.name.clone(),
            causes: causes.cloned().collect(),
        }
    });
    waits.filter(|wait| !wait.causes.is_empty())
}

/// The origins that a start waits for, each with its pipeline.
fn unready(status: &Status) -> impl Iterator<Item = (&str, &OriginStatus)> {
    let pipelines = status.pipelines.iter();
    let origins = pipelines.flat_map(|one| one.origins.iter().map(|origin| (&*one.name, origin)));
    origins.filter(|(_, origin)| !origin.armed && origin.alarms.is_empty())
}

/// What the daemon is doing, in a line.
fn summary(status: &Status) -> String {
    let mut starting = unready(status);
    let origins = status.pipelines.iter().flat_map(|one| &one.origins);
    let files = counted(origins.map(|origin| origin.indexed_files).sum(), "file");
    let text = if let Some((pipeline, origin)) = starting.next() {
        let more = match starting.count() {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let progress = progress(origin);
        format!(
            "indexing {pipeline}, origin {}{progress}{more}",
            origin.name
        )
    } else if let Some(alarm) = status.alarms.first() {
        let whose = alarm.whose();
        let count = counted(status.alarms.len() as u64, "alarm");
        format!(
            "{count}: {whose}{}: {}",
            alarm.reason,
            one_line(&alarm.text)
        )
    } else if status.fresh {
        format!("fresh; {files}")
    } else {
        let waits = status.pipelines.iter();
        let mut waits = waits.filter_map(|one| Some((&one.name, one.causes.first()?)));
        waits.next().map_or_else(
            || "working: deliveries wait".to_owned(),
            |(name, cause)| format!("working: {name}: {}", one_line(&cause.text)),
        )
    };
    text.chars().take(STATUS).collect()
}

/// A log line and a line for systemd are one line.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}
