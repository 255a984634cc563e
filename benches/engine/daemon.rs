//! Store and engine as the daemon has them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use edgepurge::clock::Clock;
use edgepurge::core::asset::Asset;
use edgepurge::core::change::{Kind, NewChange, PipelineId, Seq, Source, Target};
use edgepurge::core::lease::Term;
use edgepurge::core::planner::{Command, Event, Limits, PipelineSettings, Planner};
use edgepurge::core::purge::{RemoteStatus, Unsettled};
use edgepurge::core::queue::QUEUE_CAP;
use edgepurge::core::time::Time;
use edgepurge::engine::{Caller, Engine, EngineHandle, EngineSettings};
use edgepurge::metrics::Metrics;
use edgepurge::scaleway::{Client, ClientSettings, Endpoint};
use edgepurge::store::{Desk, Store, StoreSettings};
use edgepurge::supervise::Supervisor;

use crate::api;

/// Changes that are committed together, as a deploy makes them.
const TOGETHER: usize = 500;

pub(crate) fn limits() -> Limits {
    Limits {
        requests_per_second: 10_000,
        burst: 10_000,
        max_in_flight: 1_000,
        max_calls: 1_000,
        track_timeout: Duration::from_mins(10),
    }
}

pub(crate) fn settings() -> PipelineSettings {
    PipelineSettings {
        id: PipelineId::new("www"),
        max_assets: 5,
        debounce: Duration::ZERO,
        max_wait: Duration::ZERO,
        all_above: None,
        all_after: None,
        all_cooldown: Duration::from_mins(1),
        hot_interval: Some(Duration::from_secs(10)),
        follow_up: false,
        fleet_wait: None,
        queue_cap: QUEUE_CAP,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

async fn store(directory: &Path, supervisor: &Supervisor) -> Desk {
    let settings = StoreSettings {
        directory: directory.to_owned(),
        api_url: "sandbox".to_owned(),
        database: None,
    };
    let store = Arc::new(Store::open(&settings, supervisor).unwrap());
    store.lead(Term(1)).await.unwrap()
}

fn change(number: usize) -> NewChange {
    NewChange {
        pipeline: PipelineId::new("www"),
        target: Target::Asset(Asset::from_stored(&format!("/assets/{number}.css"))),
        kind: Kind::Changed,
        source: Source::Watch,
        detail: "".into(),
        file: None,
        seen: Time::from_millis(1),
    }
}

async fn append(store: &Store, from: usize) {
    let rows = (from..from + TOGETHER).map(change).collect();
    store.append(rows).await.unwrap();
}

pub(crate) fn store_alone(directory: &Path, changes: usize) -> Duration {
    runtime().block_on(async {
        let (supervisor, _faults) = Supervisor::new();
        let store = store(directory, &supervisor).await;
        let began = Instant::now();
        for from in (0..changes).step_by(TOGETHER) {
            append(&store, from).await;
        }
        began.elapsed()
    })
}

/// Changes are committed, planned, sent to an API that is done at once, and settled.
pub(crate) fn store_and_planner(directory: &Path, changes: usize) -> Duration {
    runtime().block_on(async {
        let (supervisor, _faults) = Supervisor::new();
        let store = store(directory, &supervisor).await;
        let mut now = Time::from_millis(1_000_000);
        let (mut planner, _) =
            Planner::restore(limits(), vec![settings()], Unsettled::default(), 7, now);
        now = now.after(Duration::from_mins(1));
        let mut cursor = Seq(0);
        let began = Instant::now();
        for from in (0..changes).step_by(TOGETHER) {
            append(&store, from).await;
            let rows = store.queued_after(cursor, 10_000).await.unwrap();
            cursor = rows.last().map_or(cursor, |row| row.seq);
            let mut steps = vec![planner.handle(now, Event::Changes(rows))];
            while let Some(step) = steps.pop() {
                if !step.decisions.is_empty() {
                    store.decide(step.decisions).await.unwrap();
                }
                let replies = step.commands.into_iter().map(|command| match command {
                    Command::Submit { request, .. } => Event::Submitted {
                        request,
                        reply: Ok((request.to_string(), RemoteStatus::Done)),
                    },
                    other => panic!("{other:?}"),
                });
                // The replies of a step come together, and are committed together.
                let mut together = edgepurge::core::planner::Step::default();
                for reply in replies {
                    let step = planner.handle(now, reply);
                    together.decisions.extend(step.decisions);
                    together.commands.extend(step.commands);
                }
                if !together.decisions.is_empty() {
                    steps.push(together);
                }
            }
            now = now.after(Duration::from_secs(10));
        }
        assert!(planner.view(now).settled());
        began.elapsed()
    })
}

/// A running engine over a store, and an API that notes when it is called.
struct Running {
    store: Desk,
    supervisor: Supervisor,
    posts: tokio::sync::mpsc::Receiver<Instant>,
}

async fn run(directory: &Path) -> Running {
    let (supervisor, _faults) = Supervisor::new();
    let (address, posts) = api::start().await;
    let store = store(directory, &supervisor).await;
    let clock = Clock::start();
    let many = NonZeroU32::new(10_000).unwrap();
    let client = Client::new(ClientSettings {
        endpoint: Endpoint::parse(&format!("http://{address}")).unwrap(),
        secret_key: "11111111-1111-4111-8111-111111111111".to_owned().into(),
        requests_per_second: many,
        burst: many,
        request_timeout: Duration::from_secs(30),
        clock,
        observer: None,
    })
    .unwrap();
    let settings = EngineSettings {
        limits: limits(),
        pipelines: vec![settings()],
        names: BTreeMap::from([(PipelineId::new("www"), "www".into())]),
        verified: std::collections::BTreeSet::new(),
    };
    let seat = EngineHandle::new().seat();
    let engine = Engine::restore(
        settings,
        store.clone(),
        seat,
        Caller::new(Arc::new(client), None, clock),
        clock,
        Arc::new(Metrics::new(["www"])),
        &supervisor,
    )
    .await
    .unwrap();
    let running = engine.run(supervisor.stopping());
    supervisor.spawn("engine", async { running.await.map(drop) });
    Running {
        store,
        supervisor,
        posts,
    }
}

/// From the commit of one change to the head of its POST, sorted.
pub(crate) fn latency(directory: &Path, times: usize) -> Vec<Duration> {
    runtime().block_on(async {
        let mut running = run(directory).await;
        let mut took = Vec::new();
        // The first ones open the connection and warm everything up.
        for number in 0..times + 20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            running.store.append(vec![change(number)]).await.unwrap();
            let committed = Instant::now();
            let came = running.posts.recv().await.unwrap();
            if number >= 20 {
                took.push(came.saturating_duration_since(committed));
            }
        }
        running.supervisor.stopping().cancel();
        took.sort();
        took
    })
}

/// Wake-ups a second: of a runtime alone, and with store and engine.
pub(crate) fn idle(directory: &Path, over: Duration) -> (f64, f64) {
    let empty = runtime();
    std::thread::sleep(Duration::from_secs(1));
    let alone = api::wakes(over);
    drop(empty);
    let runtime = runtime();
    let running = runtime.block_on(async {
        let mut running = run(directory).await;
        running.store.append(vec![change(1)]).await.unwrap();
        running.posts.recv().await.unwrap();
        running
    });
    std::thread::sleep(Duration::from_secs(2));
    let engine = api::wakes(over);
    running.supervisor.stopping().cancel();
    (alone, engine)
}
