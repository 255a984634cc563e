//! Both stores answer the same to any history of deliveries: the one in memory is easy to believe,
//! and the other runs.

use std::time::Duration;

use super::*;
use crate::core::delivery::{NewDelivery, ScanDone, Work};

const HISTORIES: u64 = 20;
const STEPS: usize = 60;
const ROUTES: [&str; 2] = ["/hooks/www", "/hooks/shop"];
const ASSETS: [&str; 4] = ["/a", "/b", "/c", "*"];

/// A history: what happens next, from one seed.
struct History {
    random: fastrand::Rng,
    now: u64,
    /// Requests that are not settled.
    open: Vec<u64>,
    requests: u64,
}

/// Something that happens.
#[derive(Debug)]
enum Step {
    Take(NewDelivery),
    Append(Vec<NewChange>),
    Release(Time, usize),
    Scanned(PipelineId, Time),
    Begin(Time),
    Decide(Decision),
    DropQueue(PipelineId),
    Prune(Time, Time),
}

fn asked(of: &PipelineId, name: &str, seen: Time) -> NewChange {
    NewChange {
        kind: Kind::Asked,
        source: Source::Webhook,
        file: None,
        seen,
        ..change(of.as_str(), name)
    }
}

impl History {
    fn pipeline(&mut self) -> PipelineId {
        pipeline(self.random.choice([WWW, SHOP]).unwrap())
    }

    fn changes(&mut self, of: &PipelineId, seen: Time) -> Vec<NewChange> {
        let mut assets = ASSETS.to_vec();
        self.random.shuffle(&mut assets);
        assets.truncate(self.random.usize(0..=ASSETS.len()));
        let changes = assets.into_iter().map(|name| asked(of, name, seen));
        changes.collect()
    }

    fn delivery(&mut self) -> NewDelivery {
        let number = self.random.u8(0..4);
        let pipeline = self.pipeline();
        let delay = self.random.choice([0, 0, 0, 20, 100]).unwrap();
        let due = at(self.now + delay);
        let work = match self.random.u8(0..3) {
            0 => Work::Scan,
            // What repeats it asks for the same.
            1 => Work::Changes(vec![asked(&pipeline, ASSETS[usize::from(number)], due)]),
            _ => Work::Changes(self.changes(&pipeline, due)),
        };
        NewDelivery {
            route: self.random.choice(ROUTES).unwrap().into(),
            event: format!("event-{}", self.random.u8(0..6)).into(),
            dedupe_key: (self.random.u8(0..5) > 0).then_some([number; 32]),
            dedupe: Duration::from_millis(self.random.choice([0, 30, 200]).unwrap()),
            what: "push".into(),
            pipeline,
            at: at(self.now),
            due,
            work,
        }
    }

    /// What follows on what is queued.
    fn decision(&mut self, queued: &[Change]) -> Option<Decision> {
        if self.random.bool() && !self.open.is_empty() {
            let id = self.open.swap_remove(self.random.usize(0..self.open.len()));
            let outcomes = [
                Outcome::Done,
                Outcome::Done,
                Outcome::Failed,
                Outcome::Error,
            ];
            return Some(settled(id, self.random.choice(outcomes).unwrap()));
        }
        let row = self.random.choice(queued)?;
        self.requests += 1;
        self.open.push(self.requests);
        let name = row.pipeline.as_str();
        Some(match &row.target {
            Target::Asset(asset) => open(self.requests, name, &[(asset.as_str(), row.seq.0)]),
            Target::All => open_all(self.requests, name, row.seq.0),
        })
    }

    fn next(&mut self, queued: &[Change]) -> Step {
        self.now += self.random.u64(0..15);
        match self.random.u8(0..100) {
            0..45 => Step::Take(self.delivery()),
            45..50 => {
                let of = self.pipeline();
                Step::Append(self.changes(&of, at(self.now)))
            }
            50..60 => Step::Release(at(self.now), self.random.usize(1..4)),
            60..70 => Step::Scanned(self.pipeline(), at(self.now)),
            70..72 => {
                // A start, with a clock that may have been set back.
                self.now = self.now.saturating_sub(self.random.u64(0..150));
                Step::Begin(at(self.now))
            }
            72..74 => Step::DropQueue(self.pipeline()),
            74..76 => Step::Prune(at(self.now / 2), at(self.now)),
            _ => match self.decision(queued) {
                Some(decision) => Step::Decide(decision),
                None => Step::Take(self.delivery()),
            },
        }
    }
}

/// Takes a step, and tells what came of it.
async fn take(store: &dyn Store, step: &Step) -> String {
    match step {
        Step::Take(delivery) => format!("{:?}", store.take_delivery(delivery.clone()).await),
        Step::Append(changes) => format!("{:?}", store.append(changes.clone()).await),
        Step::Release(now, limit) => format!("{:?}", store.release_deliveries(*now, *limit).await),
        Step::Scanned(pipeline, through) => {
            let last = store.append(Vec::new()).await.unwrap().last;
            let (pipeline, through) = (pipeline.clone(), *through);
            let done = ScanDone {
                pipeline,
                through,
                last,
            };
            format!("{:?}", store.scanned_for_deliveries(done).await)
        }
        Step::Begin(now) => {
            let delays = ROUTES.map(|route| (route.to_owned(), Duration::from_millis(50)));
            format!("{:?}", store.begin_deliveries(delays.into(), *now).await)
        }
        Step::Decide(decision) => format!("{:?}", store.decide(vec![decision.clone()]).await),
        Step::DropQueue(pipeline) => format!("{:?}", store.drop_queue(pipeline.clone(), 100).await),
        Step::Prune(before, now) => {
            format!("{:?}", store.prune_deliveries(*before, *now, 2).await)
        }
    }
}

/// All that can be asked about deliveries.
async fn seen(store: &dyn Store) -> Vec<String> {
    let mut seen = vec![format!("{:?}", store.due_deliveries().await)];
    for change in store.queued_after(Seq(0), 1_000).await.unwrap() {
        let Change {
            seq,
            target,
            seen: since,
            ..
        } = change;
        seen.push(format!("{seq} {target:?} {since}"));
    }
    for route in ROUTES {
        for number in 0..6 {
            let found = store.delivery(route.to_owned(), format!("event-{number}"));
            seen.push(format!("{:?}", found.await));
        }
    }
    seen
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "which histories is asked of a test"
)]
async fn any_history_of_deliveries_is_the_same_in_both() {
    let set = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let (first, histories) = match set("STORE_SEED") {
        Some(seed) => (seed, 1),
        None => (0, set("STORE_HISTORIES").unwrap_or(HISTORIES)),
    };
    let mut met = BTreeMap::<String, u32>::new();
    for seed in first..first + histories {
        let directory = tempfile::tempdir().unwrap();
        let (supervisor, _faults) = Supervisor::new();
        let settings = SqliteSettings {
            directory: directory.path().to_owned(),
            api_url: "sandbox".to_owned(),
        };
        let sqlite = SqliteStore::open(&settings, &supervisor).unwrap();
        let memory = MemoryStore::default();
        let mut history = History {
            random: fastrand::Rng::with_seed(seed),
            now: 1_000,
            open: Vec::new(),
            requests: 0,
        };
        let mut told = Vec::new();
        for _ in 0..STEPS {
            let queued = memory.queued_after(Seq(0), 1_000).await.unwrap();
            let step = history.next(&queued);
            told.push(format!("{step:?}"));
            let came = [take(&memory, &step).await, take(&sqlite, &step).await];
            let after = [seen(&memory).await, seen(&sqlite).await];
            let same = came[0] == came[1] && after[0] == after[1];
            assert!(
                same,
                "STORE_SEED={seed}\n{}\nmemory: {}\n{}\nSQLite: {}\n{}",
                told.join("\n"),
                came[0],
                after[0].join("\n"),
                came[1],
                after[1].join("\n")
            );
            *met.entry(came[0].clone()).or_default() += 1;
        }
    }
    for wanted in ["Ok(Duplicate)", "Ok(New(0))", "Ok(New(2))"] {
        assert!(histories == 1 || met.contains_key(wanted), "{met:?}");
    }
}
