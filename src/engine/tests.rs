//! An engine works in its term, and ends with it.

use std::num::NonZeroU32;

use futures_util::FutureExt as _;

use super::*;
use crate::core::asset::Asset;
use crate::core::change::{Kind, NewChange, Seq, Source, Target};
use crate::core::lease::{NodeId, Term};
use crate::core::pause::{Holder, Retry};
use crate::core::queue::QUEUE_CAP;
use crate::scaleway::{Client, ClientSettings, Endpoint};
use crate::store::{InlineDatabase, Store};

fn www() -> PipelineId {
    PipelineId::new("www")
}

fn settings() -> EngineSettings {
    EngineSettings {
        limits: Limits {
            requests_per_second: 100,
            burst: 100,
            max_in_flight: 10,
            max_calls: 10,
            track_timeout: Duration::from_mins(1),
        },
        pipelines: vec![PipelineSettings {
            id: www(),
            max_assets: 5,
            debounce: Duration::ZERO,
            max_wait: Duration::ZERO,
            all_above: None,
            all_after: None,
            all_cooldown: Duration::from_mins(1),
            hot_interval: None,
            follow_up: false,
            fleet_wait: None,
            queue_cap: QUEUE_CAP,
        }],
        names: BTreeMap::from([(www(), "www".into())]),
        verified: BTreeSet::new(),
    }
}

/// An API to which nothing may connect.
struct NoApi(std::net::TcpListener);

impl NoApi {
    fn new() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn caller(&self, clock: Clock) -> Caller {
        // Another test may have been first.
        drop(rustls::crypto::ring::default_provider().install_default());
        let many = NonZeroU32::new(100).unwrap();
        let address = self.0.local_addr().unwrap();
        let client = Client::new(ClientSettings {
            endpoint: Endpoint::parse(&format!("http://{address}")).unwrap(),
            secret_key: "11111111-1111-4111-8111-111111111111".to_owned().into(),
            requests_per_second: many,
            burst: many,
            request_timeout: Duration::from_secs(30),
            clock,
            observer: None,
        });
        Caller::new(Arc::new(client.unwrap()), None, clock)
    }

    fn was_left_alone(&self) {
        let nothing = self.0.accept().unwrap_err().kind();
        assert_eq!(nothing, std::io::ErrorKind::WouldBlock);
    }
}

async fn engine(desk: &Desk, api: &NoApi) -> (Engine, EngineHandle) {
    let (clock, metrics) = (Clock::start(), Arc::new(Metrics::new(["www"])));
    let handle = EngineHandle::new();
    let seat = handle.seat();
    let (caller, supervisor) = (api.caller(clock), Supervisor::default());
    let engine = Engine::restore(
        settings(),
        desk.clone(),
        seat,
        caller,
        clock,
        metrics,
        &supervisor,
    );
    (engine.await.unwrap(), handle)
}

fn open() -> Arc<Store> {
    Arc::new(InlineDatabase::new().unwrap().open().unwrap())
}

fn change() -> NewChange {
    NewChange {
        pipeline: www(),
        target: Target::Asset(Asset::from_stored("/a")),
        kind: Kind::Changed,
        source: Source::Watch,
        detail: "".into(),
        file: None,
        seen: Time::from_millis(1),
    }
}

#[tokio::test(start_paused = true)]
async fn when_its_term_is_over_it_ends_and_decides_nothing() {
    let (store, api) = (open(), NoApi::new());
    let first = store.lead(Term(2)).await.unwrap();
    let (engine, _handle) = engine(&first, &api).await;
    let next = store.lead(Term(1)).await.unwrap();
    store.append(vec![change()]).await.unwrap();
    let ended = engine.run(CancellationToken::new()).await.unwrap();
    assert_eq!(ended, Ended::Superseded);
    assert_eq!(next.queued_after(Seq(0), 9).await.unwrap().len(), 1);
    assert_eq!(next.unsettled().await.unwrap().requests, []);
    api.was_left_alone();
}

fn pause() -> Operation {
    Operation::Pause {
        pipeline: www(),
        holder: Holder::Deploy("lease-7".to_owned()),
        who: "alice".to_owned(),
        reason: "a freeze".to_owned(),
        length: Some(Duration::from_millis(1_500)),
    }
}

#[test]
fn an_operation_is_read_as_it_was_written() {
    let resume = Operation::Resume {
        pipeline: www(),
        holder: Holder::Operator,
    };
    let retry = [Retry::Pipeline(www()), Retry::Request(7)].map(Operation::Retry);
    for operation in retry
        .into_iter()
        .chain([pause(), resume, Operation::Drop(www())])
    {
        let written = serde_json::to_string(&operation).unwrap();
        let read: Operation = serde_json::from_str(&written).unwrap();
        assert_eq!(read, operation, "{written}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_nothing_waits_for_any_more_is_not_begun() {
    let (store, api) = (open(), NoApi::new());
    let desk = store.lead(Term(1)).await.unwrap();
    let (engine, handle) = engine(&desk, &api).await;
    let operations = async {
        assert!(handle.operate(pause(), None).now_or_never().is_none());
        handle
            .operate(Operation::Retry(Retry::Pipeline(www())), None)
            .await
            .unwrap();
    };
    tokio::select! {
        _ = engine.run(CancellationToken::new()) => unreachable!("it runs on"),
        () = operations => {}
    }
    assert_eq!(desk.unsettled().await.unwrap().pauses, []);
}

#[tokio::test(start_paused = true)]
async fn what_it_is_asked_when_its_term_is_over_is_refused() {
    let (store, api) = (open(), NoApi::new());
    let first = store.lead(Term(2)).await.unwrap();
    let (engine, handle) = engine(&first, &api).await;
    let next = store.lead(Term(1)).await.unwrap();
    let pause = handle.operate(pause(), None);
    let (refused, ended) = tokio::join!(pause, engine.run(CancellationToken::new()));
    assert!(
        matches!(refused, Err(StoreError::Superseded)),
        "{refused:?}"
    );
    assert_eq!(ended.unwrap(), Ended::Superseded);
    assert_eq!(next.unsettled().await.unwrap().pauses, []);
}

#[tokio::test(start_paused = true)]
async fn when_its_time_is_over_it_sends_nothing_and_the_next_finds_what_it_would_have_sent() {
    let (store, api) = (open(), NoApi::new());
    let read = store.lease().await.unwrap();
    let taken = store.take_over(read, Term(2), NodeId(1), Time::ZERO).await;
    let desk = taken.unwrap().unwrap();
    let (first, _handle) = engine(&desk, &api).await;
    store.append(vec![change()]).await.unwrap();
    let ended = first.run(CancellationToken::new()).await.unwrap();
    assert_eq!(ended, Ended::Superseded);
    let requests = desk.unsettled().await.unwrap().requests;
    assert_eq!((requests.len(), &requests[0].remote_id), (1, &None));
    api.was_left_alone();
    let again = store.lead(Term(1)).await.unwrap();
    let (next, _handle) = engine(&again, &api).await;
    let in_flight = next.steps.planner().view(Clock::start().now());
    assert!(!in_flight.settled(), "it is looked for");
}
