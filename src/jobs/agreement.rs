//! Compares what the other nodes of the fleet committed with this node's index, and publishes how far they
//! agree (`core/agreement.rs`).
//!
//! It follows the changes of all nodes in the store. A file of another node is compared with its row in the
//! index; where that has other bytes, the origin looks at the file. An own change settles what waits for it. It
//! is in the store before its row is in the index, and some looks change a row and commit nothing: so what
//! is waited for is compared again whenever the index moves, and everything that differs now and then.
//!
//! It compares only while all directories of a pipeline are in view: there is a look at all of it, nothing is
//! held back, and the filesystem answers. Else the node says that it is not to be waited for, and begins anew
//! later. What is diverged is kept in the index, so that a restart forgets none of it. A bucket is the same for all nodes, whichever has listed it: its objects agree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, select_all};
use tokio::sync::watch;

use super::{Job, Next, Parts, StepError};
use crate::admin::AdminPipeline;
use crate::clock::Clock;
use crate::config::Config;
use crate::core::agreement::{Agreement, Compared};
use crate::core::change::{PipelineId, Seq};
use crate::core::lease::NodeId;
use crate::core::nodes::{Node, NodeState};
use crate::core::time::Time;
use crate::fleet::{Agreements, FleetHandle};
use crate::origin::{Index, IndexError, OriginHandle, OriginStatus};
use crate::store::Store;
use crate::supervise::Supervisor;

mod compare;

/// News that come closer together than this are taken together.
const TOGETHER: Duration = Duration::from_millis(20);
/// How often, at most, what is waited for is compared again, and how often what moved is published.
const PACE: Duration = Duration::from_millis(100);
/// How often everything that differs is compared again.
const ALL_AGAIN: Duration = Duration::from_mins(1);
/// How often, at most, what is diverged is kept.
const KEEP: Duration = Duration::from_secs(2);
/// How soon a server that was away is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Starts the job, where a batch waits for nodes.
pub(crate) fn spawn(config: &Config, parts: &Parts, fleet: &FleetHandle, supervisor: &Supervisor) {
    let waiting = config.pipelines.iter();
    let waiting = waiting.filter_map(|one| Some((&one.id, one.fleet_wait?)));
    let of = |(id, wait): (&PipelineId, Duration)| {
        let directories = directories(parts.pipelines.get(id)?);
        (!directories.is_empty()).then(|| (id.clone(), Member::new(wait, directories)))
    };
    let pipelines: BTreeMap<PipelineId, Member> = waiting.filter_map(of).collect();
    let job = Compare::new(
        (&parts.store, &parts.index),
        parts.agreements.clone(),
        fleet.subscribe(),
        pipelines,
        parts.clock,
    );
    super::spawn("agreement", job, Vec::new(), supervisor);
}

fn directories(pipeline: &AdminPipeline) -> BTreeMap<Arc<str>, OriginHandle> {
    let origins = pipeline.origins.iter();
    origins
        .filter(|(_, origin)| !origin.is_bucket())
        .cloned()
        .collect()
}

/// This node, as a member of a pipeline.
struct Member {
    wait: Duration,
    directories: BTreeMap<Arc<str>, OriginHandle>,
    /// The last change of the pipeline that was read.
    last: Seq,
    /// What it has published; `None`: it is not to be waited for.
    said: Option<Compared>,
}

impl Member {
    const fn new(wait: Duration, directories: BTreeMap<Arc<str>, OriginHandle>) -> Self {
        Self {
            wait,
            directories,
            last: Seq(0),
            said: None,
        }
    }

    fn is_in_view(&self) -> bool {
        self.directories.values().all(OriginHandle::is_in_view)
    }

    /// Whether it has to publish how far it agrees now: that it has compared changes of other pipelines says
    /// nothing.
    fn tells(&self, now: Option<&Compared>) -> bool {
        match (&self.said, now) {
            (Some(said), Some(now)) => {
                let further = now.agreed > said.agreed && said.agreed < self.last;
                further || now.agreed < said.agreed || now.lagging != said.lagging
            }
            (said, now) => said.is_some() != now.is_some(),
        }
    }
}

struct Compare {
    /// The last change in the store.
    seqs: watch::Receiver<Seq>,
    /// Changes with the index.
    moved: watch::Receiver<()>,
    nodes: watch::Receiver<Vec<Node>>,
    origins: Vec<watch::Receiver<OriginStatus>>,
    store: Arc<Store>,
    index: Arc<Index>,
    agreements: Agreements,
    clock: Clock,
    pipelines: BTreeMap<PipelineId, Member>,
    /// Whether what an earlier process of this node said is taken back.
    begun: bool,
    /// When it published last,
    published: Time,
    /// when it compared again what is waited for,
    compared: Time,
    /// when everything that differs,
    all_compared: Time,
    /// and when it kept what is diverged.
    kept: Time,
}

impl Compare {
    fn new(
        (store, index): (&Arc<Store>, &Arc<Index>),
        agreements: Agreements,
        nodes: watch::Receiver<Vec<Node>>,
        pipelines: BTreeMap<PipelineId, Member>,
        clock: Clock,
    ) -> Self {
        let directories = pipelines.values().flat_map(|one| one.directories.values());
        Self {
            seqs: store.subscribe(),
            moved: index.subscribe(),
            nodes,
            origins: directories.map(OriginHandle::subscribe).collect(),
            store: Arc::clone(store),
            index: Arc::clone(index),
            agreements,
            clock,
            pipelines,
            begun: false,
            published: Time::ZERO,
            compared: Time::ZERO,
            all_compared: Time::ZERO,
            kept: Time::ZERO,
        }
    }

    async fn turn(&mut self) -> Result<Next, StepError> {
        if !self.begun {
            self.store.disarm().await?;
            self.begun = true;
        }
        self.view().await?;
        let more = self.follow().await?;
        self.compare_again().await?;
        self.give_up();
        self.keep().await?;
        self.publish().await?;
        Ok(if more {
            Next::After(Duration::ZERO)
        } else {
            Next::at(self.next_wake(), self.clock.now())
        })
    }

    /// Begins to compare the pipelines that came into view, before the first of their changes that are queued,
    /// and ends with those that are not in view any more.
    async fn view(&mut self) -> Result<(), StepError> {
        let members = self.pipelines.iter();
        let in_view: BTreeSet<PipelineId> = members
            .filter(|(_, member)| member.is_in_view())
            .map(|(id, _)| id.clone())
            .collect();
        let begins: Vec<PipelineId> = {
            let mut agreements = self.agreements.lock();
            agreements.retain(|id, _| in_view.contains(id));
            let begins = in_view.iter().filter(|id| !agreements.contains_key(*id));
            begins.cloned().collect()
        };
        if begins.is_empty() {
            return Ok(());
        }
        let (queued, last) = self.store.first_queued().await?;
        for id in begins {
            let of = id.clone();
            let mut diverged = self.ask_index(move |index| index.diverged(&of)).await?;
            let Some(member) = self.pipelines.get_mut(&id) else {
                continue;
            };
            diverged.retain(|one| member.directories.contains_key(&one.file.origin));
            let after = queued.get(&id);
            let after = after.map_or(last, |first| Seq(first.0.saturating_sub(1)));
            member.last = member.last.max(after);
            let agreement = Agreement::new(after, member.wait).with(diverged);
            self.agreements.lock().insert(id, agreement);
        }
        // Some of it may be the same by now.
        self.all_compared = Time::ZERO;
        Ok(())
    }

    /// Keeps what is diverged for the next start.
    async fn keep(&mut self) -> Result<(), StepError> {
        let now = self.clock.now();
        if now < self.kept.after(KEEP) {
            return Ok(());
        }
        let news: Vec<_> = {
            let mut agreements = self.agreements.lock();
            let news = agreements.iter_mut();
            news.filter_map(|(id, one)| Some((id.clone(), one.take_diverged()?)))
                .collect()
        };
        if news.is_empty() {
            return Ok(());
        }
        self.kept = now;
        let keep = move |index: &Index| {
            let mut news = news.iter();
            news.try_for_each(|(id, diverged)| index.keep_diverged(id, diverged))
        };
        self.ask_index(keep).await
    }

    /// Asks the index, on a thread that may wait for it.
    async fn ask_index<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Index) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T, StepError> {
        let index = Arc::clone(&self.index);
        let asked = tokio::task::spawn_blocking(move || ask(&index)).await;
        let asked = asked.map_err(|error| StepError::Failed(error.to_string()))?;
        asked.map_err(|error| StepError::Failed(error.to_string()))
    }

    /// Waits no longer for what was waited for long enough.
    fn give_up(&mut self) {
        let nodes = self.nodes.borrow_and_update();
        let of = |nodes: &mut dyn Iterator<Item = &Node>| -> BTreeSet<NodeId> {
            nodes.filter_map(|node| Some(node.observed?.0)).collect()
        };
        let serving = of(&mut nodes.iter().filter(|node| node.state != NodeState::Left));
        let remembered = of(&mut nodes.iter());
        drop(nodes);
        let now = self.clock.now();
        for agreement in self.agreements.lock().values_mut() {
            // Which nodes there are is not known before the first beat.
            if !remembered.is_empty() {
                agreement.nodes(&serving, &remembered);
            }
            agreement.wake(now);
        }
    }

    /// Publishes what moved.
    async fn publish(&mut self) -> Result<(), StepError> {
        let now = self.clock.now();
        let news = self.news();
        if news.is_empty() || now < self.published.after(PACE) {
            return Ok(());
        }
        self.store.publish_agreement(news.clone()).await?;
        for (id, said) in news {
            if let Some(member) = self.pipelines.get_mut(&id) {
                member.said = said;
            }
        }
        self.published = now;
        self.agreements.published();
        Ok(())
    }

    /// What is to be published.
    fn news(&self) -> Vec<(PipelineId, Option<Compared>)> {
        let agreements = self.agreements.lock();
        let news = |(id, member): (&PipelineId, &Member)| {
            let now = agreements.get(id).map(Agreement::compared);
            member.tells(now.as_ref()).then(|| (id.clone(), now))
        };
        self.pipelines.iter().filter_map(news).collect()
    }

    /// When there is something to do that nothing announces.
    fn next_wake(&self) -> Option<Time> {
        let publish = (!self.news().is_empty()).then(|| self.published.after(PACE));
        let agreements = self.agreements.lock();
        let given_up = agreements.values().filter_map(Agreement::next_wake).min();
        let moved = self.moved.has_changed().unwrap_or(false);
        let again = (moved && given_up.is_some()).then(|| self.compared.after(PACE));
        let differs = agreements.values().any(Agreement::differs);
        let all = differs.then(|| self.all_compared.after(ALL_AGAIN));
        let news = agreements.values().any(Agreement::is_news);
        let keep = news.then(|| self.kept.after(KEEP));
        let times = [publish, again, all, given_up, keep];
        times.into_iter().flatten().min()
    }
}

impl Job for Compare {
    async fn step(&mut self) -> Result<Next, StepError> {
        match self.turn().await {
            Err(StepError::Away) => Ok(Next::After(AGAIN)),
            turned => turned,
        }
    }

    async fn woken(&mut self) -> Result<(), StepError> {
        let mut sources: Vec<BoxFuture<'_, _>> =
            vec![self.seqs.changed().boxed(), self.nodes.changed().boxed()];
        if self.agreements.lock().values().any(Agreement::waits) {
            // Not to be taken for seen: that is said when the index is read.
            let mut moved = self.moved.clone();
            sources.push(async move { moved.changed().await }.boxed());
        }
        let origins = self.origins.iter_mut();
        sources.extend(origins.map(|origin| origin.changed().boxed()));
        let (changed, ..) = select_all(sources).await;
        changed.map_err(|_| StepError::Stopping)?;
        tokio::time::sleep(TOGETHER).await;
        Ok(())
    }

    fn failed(&self, why: &str) {
        tracing::warn!("what other nodes changed can't be compared with the files here: {why}");
    }
}

#[cfg(test)]
mod tests;
