//! `edgepurge deploy PIPELINE -- COMMAND...`: nothing is sent while COMMAND replaces the files, and
//! what it changed leaves in one batch.

use std::convert::Infallible;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::client::Daemon;
use super::wait::{self, Until, Waited};
use super::{Failure, Format, Global, output};
use crate::admin::api::{
    ChangeProgress, ChangeQuery, PauseAnswer, PauseBody, ResumeBody, ScanAnswer, ScanBody,
    WaitAnswer, WaitQuery,
};

mod command;

use command::{Signals, run};

/// How often the lease is renewed; it lasts a minute.
const RENEW: Duration = Duration::from_secs(5);
/// How soon a daemon that does not answer is asked again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long an early end waits until the daemon has ended the lease.
const EARLY: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct DeployArgs {
    /// The pipeline's name or id.
    #[arg(add = super::completions::pipelines())]
    pipeline: String,
    /// How long to wait, once COMMAND has ended, until what changed is purged.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = crate::config::parse_duration)]
    timeout: Duration,
    /// What replaces the files, with its arguments.
    #[arg(last = true, required = true, num_args = 1.., value_name = "COMMAND")]
    command: Vec<String>,
}

/// A deploy that holds its pipeline back.
struct Deploy {
    daemon: Daemon,
    pipeline: String,
    lease: String,
    reason: String,
    /// The last change before it began.
    before: u64,
}

/// What came of the purges.
struct Purged {
    /// Changes since the beginning that are purged.
    done: u64,
    /// Those that are given up.
    failed: u64,
    /// What to say of assets that are given up, from this deploy or before: they may be stale.
    stale: Option<String>,
    /// Why nothing is purged of an origin of which very much is gone.
    held: Vec<String>,
}

pub(super) async fn deploy(global: &Global, args: DeployArgs) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new()?;
    let deploy = Deploy::begin(global, &args).await?;
    let status = {
        let renewed = deploy.renew();
        tokio::select! {
            status = run(&args.command, &mut signals) => status,
            never = renewed => match never {},
        }
    };
    let ended = match &status {
        Ok(status) => command::code(*status),
        Err(error) => {
            output::to_stderr(&format!("error: {}: {error}\n", args.command[0]));
            if error.kind() == std::io::ErrorKind::NotFound {
                127
            } else {
                126
            }
        }
    };
    let purged = tokio::select! {
        purged = deploy.finish(args.timeout) => purged,
        signal = signals.next() => {
            deploy.resume(EARLY).await?;
            output::to_stderr("interrupted; what changed is still being purged\n");
            return Ok(ExitCode::from(command::of_signal(signal)));
        }
    };
    deploy.report(global, status.ok(), ended, &purged)?;
    match purged {
        _ if ended != 0 => Ok(ExitCode::from(ended)),
        Err(failure) => Err(failure),
        Ok(purged) => match deploy.fault(&purged) {
            Some(failure) => Err(failure),
            None => Ok(ExitCode::SUCCESS),
        },
    }
}

impl Deploy {
    async fn begin(global: &Global, args: &DeployArgs) -> Result<Self, Failure> {
        let daemon = Daemon::need(&global.socket()?).await?;
        let program = args.command.first().map_or("", String::as_str);
        let program: String = program
            .chars()
            .filter(|c| !c.is_control())
            .take(100)
            .collect();
        let mut deploy = Self {
            daemon,
            pipeline: args.pipeline.clone(),
            lease: uuid::Uuid::new_v4().to_string(),
            reason: format!("deploy: {program}"),
            before: 0,
        };
        deploy.before = deploy.pause().await?.last;
        Ok(deploy)
    }

    async fn pause(&self) -> Result<PauseAnswer, Failure> {
        let body = PauseBody {
            pipeline: self.pipeline.clone(),
            reason: self.reason.clone(),
            lease: Some(self.lease.clone()),
            seconds: None,
        };
        Ok(self.daemon.post("/api/v1/pause", &body).await?.value)
    }

    /// Renews the lease for ever. A daemon that is restarting finds it in its store, and this finds
    /// the daemon again.
    async fn renew(&self) -> Infallible {
        let mut missed = false;
        loop {
            tokio::time::sleep(RENEW).await;
            let renewed = self.pause().await;
            if let (Err(failure), false) = (&renewed, missed) {
                output::to_stderr(&format!("edgepurge: {failure}; trying again\n"));
            }
            missed = renewed.is_err();
        }
    }

    /// Looks at everything, resumes, and waits until it is purged.
    async fn finish(&self, limit: Duration) -> Result<Purged, Failure> {
        let work = async {
            let look = async {
                tokio::select! {
                    held = self.look() => held,
                    never = self.renew() => match never {},
                }
            };
            // Its own pause is not waited for.
            let held = self.waited(Until::Scanned).show(&String::new, look).await?;
            self.resume(limit).await?;
            let rest = self.purged(held);
            self.waited(Until::Settled).show(&String::new, rest).await
        };
        tokio::pin!(work);
        // What is asked of the daemon is given up only when it has said what that waits for.
        tokio::select! {
            purged = &mut work => purged,
            () = tokio::time::sleep(limit) => Err(self.late(limit).await),
        }
    }

    const fn waited(&self, until: Until) -> Waited<'_> {
        Waited::new(&self.daemon, self.pipeline.as_str(), until)
    }

    /// Waits until what changed is purged.
    async fn purged(&self, held: Vec<String>) -> Result<Purged, Failure> {
        let settled = async || wait::until_settled(&self.daemon, &self.pipeline).await;
        let settled = patiently(settled).await?;
        if let Some(what) = wait::unknown_of(&settled.silent) {
            output::to_stderr(&format!("note: {what}\n"));
        }
        let query = ChangeQuery {
            pipeline_id: Some(self.pipeline.clone()),
            first: Some(self.before + 1),
            last: Some(settled.last),
            ..ChangeQuery::default()
        };
        let progress = async || {
            self.daemon
                .get::<ChangeProgress>("/api/v1/changes", &query)
                .await
        };
        let counts = patiently(progress).await?.value.stages;
        let stale = match settled.failed {
            0 => None,
            _ => Some(wait::stale(&self.daemon, &self.pipeline).await),
        };
        Ok(Purged {
            done: counts.done,
            failed: counts.failed + counts.dropped,
            stale: stale.map(|failure| failure.to_string()),
            held,
        })
    }

    /// Ends the lease where it took too long, and says what is waited for then: nothing would end its pause
    /// before the lease runs out, and what changed would not be purged until then.
    async fn late(&self, limit: Duration) -> Failure {
        let resumed = self.resume(EARLY).await;
        let late = self.waited(Until::Settled).late(limit).await;
        match resumed {
            Ok(()) => late,
            Err(failure) => Failure::temporary(format!("{late}; {failure}")),
        }
    }

    /// Waits until everything that differs is noticed, also what is gone, which takes a while to
    /// count. Returns the alarms for origins of which too much is gone.
    async fn look(&self) -> Result<Vec<String>, Failure> {
        let scan = ScanBody {
            pipeline: self.pipeline.clone(),
            accept_loss: false,
            node: None,
        };
        let scan = async || {
            self.daemon
                .post_and_wait::<ScanAnswer>("/api/v1/scan", &scan)
                .await
        };
        patiently(scan).await?;
        let query = WaitQuery {
            pipeline: self.pipeline.clone(),
            without: String::new(),
        };
        let noticed = async || {
            self.daemon
                .get_and_wait::<WaitAnswer>("/api/v1/wait", &query)
                .await
        };
        let noticed = patiently(noticed).await?;
        Ok(noticed.value.held.into_iter().collect())
    }

    async fn resume(&self, limit: Duration) -> Result<(), Failure> {
        let body = ResumeBody {
            pipeline: self.pipeline.clone(),
            lease: Some(self.lease.clone()),
        };
        let resume = async || {
            self.daemon
                .post::<PauseAnswer>("/api/v1/resume", &body)
                .await
        };
        match tokio::time::timeout(limit, patiently(resume)).await {
            Ok(resumed) => resumed.map(drop),
            Err(_) => Err(Failure::temporary(
                "the daemon does not answer; the pipeline is resumed within a minute",
            )),
        }
    }

    fn report(
        &self,
        global: &Global,
        status: Option<ExitStatus>,
        ended: u8,
        purged: &Result<Purged, Failure>,
    ) -> Result<(), Failure> {
        if global.format == Format::Json {
            let counts = purged.as_ref().ok();
            return output::json(&json!({
                "pipeline": self.pipeline,
                "command": { "exit_code": ended, "ran": status.is_some() },
                "settled": purged.is_ok(),
                "done": counts.map(|purged| purged.done),
                "failed": counts.map(|purged| purged.failed),
                "held": counts.map(|purged| &purged.held),
            }));
        }
        match purged {
            Ok(purged) => {
                if ended != 0 {
                    output::to_stderr(&format!(
                        "COMMAND failed (exit {ended}): what it changed is purged all the same\n"
                    ));
                }
                output::to_stderr(&format!(
                    "{}: {} purged, {} failed\n",
                    self.pipeline, purged.done, purged.failed
                ));
                // Its own exit code stands for what went wrong first.
                if let (Some(failure), true) = (self.fault(purged), ended != 0) {
                    output::to_stderr(&format!("error: {failure}\n"));
                }
            }
            Err(failure) if ended != 0 => output::to_stderr(&format!("error: {failure}\n")),
            Err(_) => {}
        }
        Ok(())
    }

    fn fault(&self, purged: &Purged) -> Option<Failure> {
        let name = &self.pipeline;
        if !purged.held.is_empty() {
            return Some(Failure::failed(purged.held.join("\n")));
        }
        if let Some(stale) = &purged.stale {
            return Some(Failure::failed(stale));
        }
        (purged.failed > 0).then(|| {
            Failure::failed(format!(
                "{} changes of {name} were dropped, and are not purged",
                purged.failed
            ))
        })
    }
}

/// Asks again and again while the daemon does not answer, or can't now.
async fn patiently<T>(mut ask: impl AsyncFnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    loop {
        match ask().await {
            Err(failure) if failure.is_temporary() => tokio::time::sleep(AGAIN).await,
            result => return result,
        }
    }
}
