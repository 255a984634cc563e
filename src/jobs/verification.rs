//! What follows on a purge that is done: fetches through the edge (`[pipeline.verify]`), and purges to be
//! repeated (`repurge_after`).
//!
//! All of it is committed to `queue.db` before it is acted on. After a restart, an asset whose verdict is
//! missing is fetched (again): that costs bytes and does no harm, while to skip it would leave `done`
//! unproven exactly where something went wrong.
//!
//! Each pipeline's edge has its own four fetches and its own 10,000 assets that wait, so that an edge that
//! hangs delays no other. Of an `all`, the last 20 assets that it covered are verified; the others are
//! neither verified nor counted. An edge that answers 20 times in a row that there is no such file, and
//! had none of the files, is not the one that serves them: that is logged, and those 404s are not purged
//! again.
//!
//! A purge to be repeated waits in a table of its own. Until it is due nothing is queued for it, and
//! `wait` does not wait for it. What was purged again, for either reason, is marked in its change
//! (`again`) and not repeated. A repeated `all` has the reason `again`.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::{Job, JobError, Next, Parts, StepError};
use crate::clock::Clock;
use crate::config::Config;
use crate::core::agreement::live;
use crate::core::asset::Asset;
use crate::core::change::PipelineId;
use crate::core::verify::{
    Check, FollowUp, Follows, Known, Looked, Serving, Then, Url, Verdict, Word,
};
use crate::engine::Notice;
use crate::fleet::FleetHandle;
use crate::intake::Intake;
use crate::metrics::Metrics;
use crate::origin::OriginHandle;
use crate::store::{Desk, StoreError};
use crate::supervise::Supervisor;
use crate::verify::Edge;
use egress_budget::EgressBudget;

mod egress_budget;

/// How many assets of a pipeline are fetched at once.
const AT_ONCE: usize = 4;
/// How many settled requests are planned for, or assets queued again, in one commit.
const STEP: usize = 500;
/// An edge that said so often in a row that there is no such file, and had none, is another than the
/// one that serves these files.
const NONE_OF: u32 = 20;

/// A pipeline on whose purges something follows.
struct Followed {
    name: Arc<str>,
    repurge_after: Option<Duration>,
    verify: Option<Look>,
    origins: BTreeMap<Arc<str>, OriginHandle>,
}

/// How a pipeline's edge is looked at.
struct Look {
    edge: Edge,
    egress_budget: EgressBudget,
    /// How often it said that there is no such file, since it last had one.
    missing: AtomicU32,
}

/// What the looks share.
struct Shared {
    desk: Desk,
    followed: BTreeMap<PipelineId, Followed>,
    intake: Arc<Intake>,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// Where other nodes serve the same files.
    fleet: Option<FleetHandle>,
}

/// A look that runs.
type Looking = Pin<Box<dyn Future<Output = (Check, Result<(), StoreError>)> + Send>>;

/// Starts what follows on purges, where something does.
pub(crate) async fn spawn(
    config: &Config,
    desk: &Desk,
    fleet: Option<&FleetHandle>,
    parts: &Parts,
    supervisor: &Supervisor,
) -> Result<(), JobError> {
    let Parts {
        intake,
        pipelines,
        engine,
        metrics,
        clock,
        ..
    } = parts;
    let configured = config.pipelines.iter().map(|pipeline| Follows {
        pipeline: pipeline.id.clone(),
        verify: pipeline.verify.is_some(),
        repurge_after: pipeline.repurge_after,
    });
    let (clock, now) = (*clock, clock.now());
    desk.begin_follow_ups(configured.collect(), now).await?;
    let mut followed = BTreeMap::new();
    for pipeline in &config.pipelines {
        let mut origins = pipeline.origins.iter();
        let objects = origins.any(|origin| origin.bucket.is_some());
        let verify = match &pipeline.verify {
            None => None,
            Some(verify) => Some(Look {
                edge: Edge::new(verify.edge_url.clone(), verify.timeout, objects)
                    .map_err(|error| JobError::Temporary(error.to_string()))?,
                missing: AtomicU32::new(0),
                egress_budget: EgressBudget::open(
                    desk,
                    &pipeline.id,
                    verify.max_bytes_per_hour,
                    clock,
                )
                .await?,
            }),
        };
        if verify.is_none() && pipeline.repurge_after.is_none() {
            continue;
        }
        let origins = pipelines
            .get(&pipeline.id)
            .map(|known| known.origins.iter());
        let one = Followed {
            name: pipeline.name.as_str().into(),
            repurge_after: pipeline.repurge_after,
            verify,
            origins: origins.into_iter().flatten().cloned().collect(),
        };
        followed.insert(pipeline.id.clone(), one);
    }
    if followed.is_empty() {
        return Ok(());
    }
    let job = Following {
        shared: Arc::new(Shared {
            desk: desk.clone(),
            followed,
            intake: Arc::clone(intake),
            metrics: Arc::clone(metrics),
            clock,
            fleet: fleet.cloned(),
        }),
        notices: Some(engine.notices()),
        looking: FuturesUnordered::new(),
        busy: BTreeSet::new(),
    };
    super::spawn("verify", job, Vec::new(), supervisor);
    Ok(())
}

/// The job.
struct Following {
    shared: Arc<Shared>,
    /// `None` once the engine has ended.
    notices: Option<broadcast::Receiver<Notice>>,
    looking: FuturesUnordered<Looking>,
    /// What is being looked at.
    busy: BTreeSet<(PipelineId, Asset)>,
}

impl Job for Following {
    async fn step(&mut self) -> Result<Next, StepError> {
        let shared = Arc::clone(&self.shared);
        let of: Vec<PipelineId> = shared.followed.keys().cloned().collect();
        // Those that are looked at now are among the first.
        let ask = || shared.desk.follow_ups(of.clone(), AT_ONCE * 2);
        let mut due = ask().await?;
        due.unplanned.retain(|id| shared.followed.contains_key(id));
        if !due.unplanned.is_empty() {
            for pipeline in due.unplanned {
                shared.plan(&pipeline).await?;
            }
            due = ask().await?;
        }
        let now = shared.clock.now();
        if due.again.is_some_and(|at| at <= now) {
            while shared.desk.purge_again(now, STEP).await? == STEP {}
            due = ask().await?;
        }
        let mut next = due.again;
        for check in due.checks {
            let key = (check.pipeline.clone(), check.asset.clone());
            if self.busy.contains(&key) {
                continue;
            }
            if check.due > now {
                next = Some(next.map_or(check.due, |at| at.min(check.due)));
            } else if self.busy_with(&check.pipeline) < AT_ONCE {
                self.busy.insert(key);
                let shared = Arc::clone(&shared);
                self.looking.push(Box::pin(async move {
                    let looked = shared.look(check.clone()).await;
                    (check, looked)
                }));
            }
        }
        Ok(Next::at(next, now))
    }

    async fn woken(&mut self) -> Result<(), StepError> {
        tokio::select! {
            () = settled(&mut self.notices) => Ok(()),
            Some((check, looked)) = self.looking.next() => {
                self.busy.remove(&(check.pipeline, check.asset));
                Ok(looked?)
            }
        }
    }

    fn failed(&self, why: &str) {
        tracing::error!(
            "what follows on purges can't be planned or committed: {why}; trying again"
        );
    }
}

impl Following {
    /// How many assets of a pipeline are being looked at: an edge that hangs holds up no other's.
    fn busy_with(&self, pipeline: &PipelineId) -> usize {
        let busy = self.busy.iter();
        busy.filter(|(of, _)| of == pipeline).count()
    }
}

/// Waits until a request settled, or until so much happened that one may have.
async fn settled(notices: &mut Option<broadcast::Receiver<Notice>>) {
    while let Some(receiver) = notices {
        match receiver.recv().await {
            Ok(Notice::Settled(_)) | Err(RecvError::Lagged(_)) => return,
            Ok(_) => {}
            Err(RecvError::Closed) => *notices = None,
        }
    }
    std::future::pending::<()>().await;
}

impl Shared {
    /// Plans what follows on the settled requests of a pipeline.
    async fn plan(&self, pipeline: &PipelineId) -> Result<(), StoreError> {
        let Some(followed) = self.followed.get(pipeline) else {
            return Ok(());
        };
        loop {
            let now = self.clock.now();
            let plan = FollowUp {
                pipeline: pipeline.clone(),
                verify: followed.verify.is_some(),
                repurge: followed.repurge_after.map(|after| now.after(after)),
                now,
            };
            let planned = self.desk.follow_up(plan, STEP).await?;
            if planned.left_out > 0 {
                let (name, word) = (&followed.name, Word::Unverified);
                self.metrics.verified(name, word, planned.left_out);
                tracing::warn!(
                    pipeline = &*followed.name,
                    assets = planned.left_out,
                    "purged assets are not verified, since too many wait for that"
                );
            }
            if planned.requests < STEP {
                return Ok(());
            }
        }
    }

    /// Looks at an asset through the edge, commits what that means, and then acts on it.
    async fn look(&self, check: Check) -> Result<(), StoreError> {
        let Some((followed, look)) = self
            .followed
            .get(&check.pipeline)
            .and_then(|followed| Some((followed, followed.verify.as_ref()?)))
        else {
            return Ok(());
        };
        let mut known = self.desk.known(check.clone()).await?;
        let verdict = match known.useless() {
            // Its purge will be verified.
            _ if known.newer.is_some() => Verdict::Silent(String::new()),
            Some(why) => Verdict::Unverified {
                why: why.to_owned(),
                look: false,
            },
            None => {
                let verdict = self.fetch(look, &check, &mut known).await?;
                look.egress_budget.note().await?;
                verdict
            }
        };
        let looked = check.looked(&verdict, known.newer, self.clock.now());
        if self.desk.looked(looked.clone()).await? {
            self.tell(followed, &looked);
            if matches!(verdict, Verdict::Unverified { look: true, .. }) {
                for (origin, path) in known.files.keys() {
                    if let Some(origin) = followed.origins.get(origin) {
                        origin.look(path, self.clock.now());
                    }
                }
            }
        }
        Ok(())
    }

    /// Fetches an asset as far as the budget goes. What is known may have changed meanwhile.
    async fn fetch(
        &self,
        look: &Look,
        check: &Check,
        known: &mut Known,
    ) -> Result<Verdict, StoreError> {
        if look.egress_budget.is_empty() {
            let why = "max_bytes_per_hour is spent".to_owned();
            // What was stale is worth waiting for a little; of the others a sample has to do.
            return Ok(if check.round > 0 {
                Verdict::Silent(why)
            } else {
                Verdict::Unverified { why, look: false }
            });
        }
        let answer = look.edge.fetch(&check.asset, &look.egress_budget).await;
        *known = self.desk.known(check.clone()).await?;
        let (url, serving) = (self.url_of(check, known), self.serving(check).await?);
        let verdict = known.judge_among(&answer, url, &serving);
        Ok(match verdict {
            Verdict::Fresh | Verdict::Stale => {
                look.missing.store(0, Ordering::Relaxed);
                verdict
            }
            Verdict::Missing { status, usual } => {
                let before = look.missing.fetch_add(1, Ordering::Relaxed);
                if before == NONE_OF {
                    tracing::warn!(
                        pipeline = %check.pipeline,
                        "the edge answers {status} for every file, so that is not purged again: \
                         does [pipeline.verify] name the right edge_url?"
                    );
                }
                let usual = usual || before >= NONE_OF;
                Verdict::Missing { status, usual }
            }
            Verdict::Unverified { .. } | Verdict::Silent(_) => verdict,
        })
    }

    /// The nodes that serve the files behind an asset, and which of them lack what its purge covered.
    async fn serving(&self, check: &Check) -> Result<Serving, StoreError> {
        let Some(fleet) = &self.fleet else {
            return Ok(Serving::default());
        };
        let nodes = fleet.nodes();
        let members = live(&nodes, self.desk.members().await?).remove(&check.pipeline);
        let lacking = members.into_iter().flatten();
        let lacking = lacking.filter(|(_, compared)| !compared.has(check.seq, check.seq));
        let living = nodes.iter().filter(|node| node.state.is_live());
        Ok(Serving {
            nodes: living.filter_map(|node| Some(node.observed?.0)).collect(),
            lacking: lacking.map(|(name, _)| name).collect(),
        })
    }

    /// Whether the asset is what a file behind it answers at, and whether that is there.
    fn url_of(&self, check: &Check, known: &Known) -> Url {
        let Some(pipeline) = self.intake.pipeline(&check.pipeline) else {
            return Url::Other;
        };
        let answers = known.files.iter().filter(|((origin, path), _)| {
            pipeline.origins.get(origin).is_some_and(|origin| {
                let own = pipeline.mapping.answers_at(&origin.url_prefix, path);
                own.contains(&check.asset)
            })
        });
        match answers.map(|(_, there)| *there).max() {
            None => Url::Other,
            Some(true) => Url::Own,
            Some(false) => Url::Gone,
        }
    }

    fn tell(&self, followed: &Followed, looked: &Looked) {
        let (pipeline, check) = (&*followed.name, &looked.check);
        let (asset, request, why) = (check.asset.as_str(), check.request.0, &*looked.why);
        if !matches!(looked.then, Then::Wait(_) | Then::Retry(_)) {
            self.metrics.verified(pipeline, looked.word, 1);
        }
        match (looked.then, looked.word) {
            (Then::Wait(_), _) => {}
            (Then::Failed, _) => tracing::error!(
                pipeline,
                asset,
                request,
                "stale for good: {why}; see what caches it, then `edgepurge retry`"
            ),
            (Then::Again(due), _) => {
                tracing::warn!(pipeline, asset, request, round = check.round + 1, due = %due,
                    "stale, so it is purged again: {why}");
            }
            (Then::Retry(due), _) => {
                tracing::debug!(pipeline, asset, request, due = %due, "not verified yet: {why}");
            }
            (Then::Over, Word::Fresh) => {
                let fresh = looked.at.since(check.seen);
                self.metrics.fresh(pipeline, fresh);
                tracing::debug!(
                    pipeline,
                    asset,
                    request,
                    fresh_ms = fresh.as_millis(),
                    "fresh"
                );
            }
            (Then::Over, _) => {
                tracing::info!(pipeline, asset, request, "not verified: {why}");
            }
        }
    }
}
