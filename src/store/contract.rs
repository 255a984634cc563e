//! The contract of a store: one suite, run against a store in memory, one on disk, and one in
//! `PostgreSQL` (`postgres/tests.rs`).

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;

use super::*;
use crate::core::change::{Kind, Source, Target};
use crate::core::delivery::ScanDone;
use crate::core::lease::{LeaseRow, NodeId, Term};
use crate::core::pause::{Holder, Pause, Retry};
use crate::core::purge::{
    AllReason, Decision, OpenRequest, Outcome, QueuedAll, RequestId, Scope, Unsettled,
};
use crate::supervise::Supervisor;

const WWW: &str = "www";
const SHOP: &str = "shop";

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn pipeline(name: &str) -> PipelineId {
    PipelineId::new(name)
}

fn asset(name: &str) -> Asset {
    Asset::from_stored(name)
}

pub(super) fn change(name: &str, of: &str) -> NewChange {
    NewChange {
        pipeline: pipeline(name),
        target: match of {
            "*" => Target::All,
            of => Target::Asset(asset(of)),
        },
        kind: Kind::Changed,
        source: Source::Watch,
        detail: "because".into(),
        file: Some(FileFact {
            origin: "site".into(),
            path: [of.as_bytes(), b"\xff"].concat(),
            hash: Some([9; 32]),
            former: Some([8; 32]),
        }),
        seen: at(5),
    }
}

fn open(id: u64, name: &str, assets: &[(&str, u64)]) -> Decision {
    let assets = assets.iter().map(|(name, seq)| (asset(name), Seq(*seq)));
    Decision::Open {
        request: RequestId(id),
        pipeline: pipeline(name),
        scope: Scope::Assets(assets.collect()),
        first_seen: at(5),
        api_since: Some(at(7)),
        at: at(10),
    }
}

fn open_all(id: u64, name: &str, through: u64) -> Decision {
    Decision::Open {
        request: RequestId(id),
        pipeline: pipeline(name),
        scope: Scope::All {
            reason: AllReason::Count,
            through: Seq(through),
        },
        first_seen: at(5),
        api_since: Some(at(7)),
        at: at(10),
    }
}

/// Opens a request for everything, which takes what it covers.
async fn purge_all(store: &Desk, id: u64, name: &str, through: u64) {
    store
        .decide(vec![open_all(id, name, through)])
        .await
        .unwrap();
    store.cover(RequestId(id), 1_000).await.unwrap();
}

fn accepted(id: u64) -> Decision {
    Decision::Accepted {
        request: RequestId(id),
        remote_id: format!("r{id}"),
        at: at(20),
    }
}

fn settled(id: u64, outcome: Outcome) -> Decision {
    Decision::Settled {
        request: RequestId(id),
        outcome,
        why: "so".to_owned(),
        attempt: 3,
        not_before: at(99),
        all: false,
        at: at(30),
    }
}

async fn queued(store: &Desk) -> Vec<String> {
    let rows = store.queued_after(Seq(0), 1_000).await.unwrap();
    rows.into_iter()
        .map(|row| match row.target {
            Target::Asset(asset) => format!("{} {asset}", row.seq),
            Target::All => format!("{} *", row.seq),
        })
        .collect()
}

async fn fill(store: &Desk, names: &[&str]) -> Appended {
    let rows = names.iter().map(|name| change(WWW, name)).collect();
    store.append(rows).await.unwrap()
}

/// A store, led.
pub(super) async fn leading(store: Store) -> Arc<Desk> {
    Arc::new(led(&Arc::new(store)).await)
}

/// The desk of a new term.
pub(super) async fn led(store: &Arc<Store>) -> Desk {
    store.lead(Term(1)).await.unwrap()
}

/// A case, for an engine that is started once for all of them.
pub(super) type Case = (&'static str, fn(Arc<Desk>) -> LocalBoxFuture<'static, ()>);

/// All cases.
pub(super) fn cases() -> impl Iterator<Item = Case> {
    let rooms = [
        CASES,
        counts::CASES,
        asks::CASES,
        agreement::CASES,
        deliveries::CASES,
        lease::CASES,
        limits::CASES,
        listing::CASES,
        operate::CASES,
        rounds::CASES,
        verify::CASES,
    ];
    rooms.into_iter().flatten().copied()
}

/// Runs a case against a store in memory and one on disk.
macro_rules! contract {
    ($($(#[doc = $doc:literal])? $name:ident)*) => {
        pub(super) const CASES: &[Case] =
            &[$((stringify!($name), |store| Box::pin($name(store)))),*];

        mod inline {
            $(#[tokio::test]
            async fn $name() {
                let store = super::InlineDatabase::new().unwrap().open().unwrap();
                super::$name(super::leading(store).await).await;
            })*
        }
        mod on_disk {
            $(#[tokio::test]
            async fn $name() {
                let directory = tempfile::tempdir().unwrap();
                let (supervisor, _faults) = super::Supervisor::new();
                let settings = super::StoreSettings {
                    directory: directory.path().to_owned(),
                    api_url: "sandbox".to_owned(),
                    database: None,
                };
                let store = super::Store::open(&settings, &supervisor).unwrap();
                super::$name(super::leading(store).await).await;
            })*
        }
    };
}

mod agreement;
mod asks;
mod counts;
pub(super) mod deliveries;
mod lease;
mod limits;
mod listing;
mod operate;
mod rounds;
mod verify;

contract! {
    changes_get_consecutive_numbers_and_come_back_as_they_were
    concurrent_appends_never_share_a_number
    a_request_takes_the_changes_it_covers_and_no_later_one
    an_all_takes_everything_of_its_pipeline_up_to_its_sequence
    an_all_takes_and_lets_go_of_much_in_steps_and_goes_on_where_it_was_broken_off
    what_came_to_nothing_is_queued_again
    done_and_failed_are_final_and_a_later_done_clears_a_failure
    a_decision_about_an_unknown_request_is_an_error_and_keeps_nothing
    everything_unsettled_is_told_at_a_restart
    facts_are_told_in_order_whatever_their_stage
    the_history_is_filtered_ordered_and_paged
    pruning_deletes_what_is_settled_in_small_steps_and_reuses_no_number
    subscribers_hear_of_every_append
}

async fn changes_get_consecutive_numbers_and_come_back_as_they_were(store: Arc<Desk>) {
    let empty = store.append(Vec::new()).await.unwrap();
    assert_eq!((empty.first, empty.last), (Seq(1), Seq(0)));
    let appended = fill(&store, &["/a", "*", "/a"]).await;
    assert_eq!((appended.first, appended.last), (Seq(1), Seq(3)));
    assert_eq!(queued(&store).await, ["1 /a", "2 *", "3 /a"]);
    let rows = store.queued_after(Seq(1), 1).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].seq, Seq(2));
    assert_eq!(
        (rows[0].kind, rows[0].source, rows[0].seen, rows[0].attempt),
        (Kind::Changed, Source::Watch, at(5), 0)
    );
    assert_eq!(&*rows[0].detail, "because");
    assert_eq!(rows[0].pipeline, pipeline(WWW));
}

async fn concurrent_appends_never_share_a_number(store: Arc<Desk>) {
    let appends = (0..64).map(|_| {
        let store = Arc::clone(&store);
        async move {
            let mut given = Vec::new();
            for _ in 0..20 {
                let rows = vec![change(WWW, "/a"), change(WWW, "/b")];
                let appended = store.append(rows).await.unwrap();
                assert_eq!(appended.last.0, appended.first.0 + 1);
                given.extend([appended.first.0, appended.last.0]);
            }
            given
        }
    });
    let given = futures_util::future::join_all(appends).await;
    let mut numbers = given.concat();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=2_560).collect::<Vec<u64>>());
}

async fn a_request_takes_the_changes_it_covers_and_no_later_one(store: Arc<Desk>) {
    fill(&store, &["/a", "/b", "/a", "/a", "*"]).await;
    store.append(vec![change(SHOP, "/a")]).await.unwrap();
    store
        .decide(vec![open(1, WWW, &[("/a", 3)])])
        .await
        .unwrap();
    assert_eq!(queued(&store).await, ["2 /b", "4 /a", "5 *", "6 /a"]);
    let counts = store.stages(Seq(1), Seq(6)).await.unwrap();
    assert_eq!((counts.queued, counts.taken), (4, 2));
    assert_eq!(store.requests_of(Seq(1), Seq(3)).await.unwrap(), [1]);
    assert_eq!(
        store.requests_of(Seq(4), Seq(6)).await.unwrap(),
        Vec::<u64>::new()
    );
}

async fn an_all_takes_everything_of_its_pipeline_up_to_its_sequence(store: Arc<Desk>) {
    fill(&store, &["/a", "/b", "*"]).await;
    store.append(vec![change(SHOP, "/a")]).await.unwrap();
    fill(&store, &["/late"]).await;
    let since = Decision::QueueAll {
        pipeline: pipeline(WWW),
        reason: AllReason::Rule,
        since: at(4),
    };
    store.decide(vec![since]).await.unwrap();
    let waiting = store.unsettled().await.unwrap().all;
    assert_eq!(
        waiting,
        [QueuedAll {
            pipeline: pipeline(WWW),
            reason: AllReason::Rule,
            since: at(4)
        }]
    );
    purge_all(&store, 1, WWW, 4).await;
    assert_eq!(queued(&store).await, ["4 /a", "5 /late"]);
    let unsettled = store.unsettled().await.unwrap();
    assert_eq!(unsettled.all, []);
    assert_eq!(unsettled.last_all, [].into());
    let accepted = Decision::Accepted {
        request: RequestId(1),
        remote_id: "r1".to_owned(),
        at: at(12),
    };
    store.decide(vec![accepted]).await.unwrap();
    let unsettled = store.unsettled().await.unwrap();
    assert_eq!(unsettled.last_all, [(pipeline(WWW), at(12))].into());
}

async fn an_all_takes_and_lets_go_of_much_in_steps_and_goes_on_where_it_was_broken_off(
    store: Arc<Desk>,
) {
    let last = fill(&store, &["/a", "/b", "/c", "/d", "/e"]).await.last;
    store.decide(vec![open_all(1, WWW, last.0)]).await.unwrap();
    fill(&store, &["/later"]).await;
    let cover = async || store.cover(RequestId(1), 2).await.unwrap();
    assert_eq!((cover().await, queued(&store).await.len()), (2, 4));
    assert_eq!((cover().await, cover().await, cover().await), (2, 1, 0));
    assert_eq!(queued(&store).await, ["6 /later"]);
    // What was let go of when the process died is covered again, as long as the request is in flight.
    let nothing = settled(1, Outcome::Error);
    assert_eq!(store.release(&nothing, 2).await.unwrap(), 2);
    assert_eq!(queued(&store).await.len(), 3);
    assert_eq!((cover().await, cover().await), (2, 0));
    let restored = store.unsettled().await.unwrap();
    assert_eq!(restored.requests[0].attempt, 3, "as often as was tried");
    let done = settled(1, Outcome::Done);
    assert_eq!(store.release(&done, 2).await.unwrap(), 2);
    assert_eq!(queued(&store).await, ["6 /later"]);
    store.decide(vec![done]).await.unwrap();
    let stages = store.stages(Seq(1), last).await.unwrap();
    assert_eq!(stages.done, 5);
    // A request that is over takes nothing more.
    store
        .decide(vec![open_all(2, SHOP, 6), settled(2, Outcome::Unsent)])
        .await
        .unwrap();
    fill(&store, &["/last"]).await;
    assert_eq!(cover().await, 0);
}

async fn what_came_to_nothing_is_queued_again(store: Arc<Desk>) {
    for (number, outcome) in [
        Outcome::Error,
        Outcome::Vanished,
        Outcome::Overdue,
        Outcome::Unsent,
    ]
    .into_iter()
    .enumerate()
    {
        let id = number as u64 + 1;
        let seq = fill(&store, &["/a"]).await.last.0;
        store
            .decide(vec![open(id, WWW, &[("/a", seq)])])
            .await
            .unwrap();
        assert_eq!(queued(&store).await, Vec::<String>::new());
        store.decide(vec![settled(id, outcome)]).await.unwrap();
        let rows = store.queued_after(Seq(0), 10).await.unwrap();
        assert_eq!(rows.len(), number + 1, "{outcome:?}");
        assert!(
            rows.iter()
                .all(|row| row.attempt == 3 && row.not_before == at(99))
        );
    }
    let seq = 4;
    store
        .decide(vec![open(5, WWW, &[("/a", seq)])])
        .await
        .unwrap();
    let unsettled = store.unsettled().await.unwrap();
    assert_eq!(unsettled.requests[0].attempt, 3, "attempts are carried on");
}

async fn done_and_failed_are_final_and_a_later_done_clears_a_failure(store: Arc<Desk>) {
    fill(&store, &["/a", "/b", "/b", "/c"]).await;
    store.append(vec![change(SHOP, "/b")]).await.unwrap();
    let assets = [("/a", 1), ("/b", 3), ("/c", 4)];
    store
        .decide(vec![
            open(1, WWW, &assets),
            settled(1, Outcome::Failed),
            open(2, SHOP, &[("/b", 5)]),
            settled(2, Outcome::Failed),
        ])
        .await
        .unwrap();
    let failed = store.failed_assets().await.unwrap();
    assert_eq!(failed, [(pipeline(WWW), 3), (pipeline(SHOP), 1)].into());
    let seq = fill(&store, &["/b"]).await.last.0;
    store
        .decide(vec![
            open(3, WWW, &[("/b", seq)]),
            accepted(3),
            settled(3, Outcome::Done),
        ])
        .await
        .unwrap();
    let failed = store.failed_assets().await.unwrap();
    assert_eq!(failed, [(pipeline(WWW), 2), (pipeline(SHOP), 1)].into());
    purge_all(&store, 4, WWW, seq).await;
    store.decide(vec![settled(4, Outcome::Done)]).await.unwrap();
    let failed = store.failed_assets().await.unwrap();
    assert_eq!(failed, [(pipeline(SHOP), 1)].into());
    assert_eq!(queued(&store).await, Vec::<String>::new());
}

async fn a_decision_about_an_unknown_request_is_an_error_and_keeps_nothing(store: Arc<Desk>) {
    fill(&store, &["/a"]).await;
    let open_a = || open(1, WWW, &[("/a", 1)]);
    for bad in [accepted(7), settled(7, Outcome::Done)] {
        let error = store.decide(vec![open_a(), bad]).await.unwrap_err();
        assert!(matches!(error, StoreError::Failed(_)), "{error:?}");
        assert_eq!(queued(&store).await, ["1 /a"], "all or none");
    }
    store.decide(vec![open_a()]).await.unwrap();
    assert!(store.decide(vec![open_a()]).await.is_err(), "opened twice");
    store.decide(vec![settled(1, Outcome::Done)]).await.unwrap();
    assert!(
        store
            .decide(vec![settled(1, Outcome::Error)])
            .await
            .is_err(),
        "settled twice"
    );
    assert_eq!(queued(&store).await, Vec::<String>::new());
}

async fn everything_unsettled_is_told_at_a_restart(store: Arc<Desk>) {
    assert_eq!(store.unsettled().await.unwrap(), Unsettled::default());
    fill(&store, &["/a", "/b"]).await;
    store
        .decide(vec![
            open(1, WWW, &[("/a", 1)]),
            settled(1, Outcome::Done),
            open(2, WWW, &[("/b", 2)]),
            accepted(2),
            open_all(3, SHOP, 2),
        ])
        .await
        .unwrap();
    let request = |id, name: &str, scope, remote_id| OpenRequest {
        id: RequestId(id),
        pipeline: pipeline(name),
        scope,
        remote_id,
        first_seen: at(5),
        opened: at(10),
        attempt: 0,
        overdue: false,
        api_since: Some(at(7)),
    };
    let all = Scope::All {
        reason: AllReason::Count,
        through: Seq(2),
    };
    let assets = Scope::Assets([(asset("/b"), Seq(2))].into());
    let unsettled = store.unsettled().await.unwrap();
    assert_eq!(unsettled.last_request, 3);
    assert_eq!(
        unsettled.requests,
        [
            request(2, WWW, assets, Some("r2".to_owned())),
            request(3, SHOP, all, None)
        ]
    );
}

async fn facts_are_told_in_order_whatever_their_stage(store: Arc<Desk>) {
    fill(&store, &["/a", "/b", "/c"]).await;
    let mut no_file = change(WWW, "/d");
    no_file.file = None;
    let mut other = change(WWW, "/e");
    other.file.as_mut().unwrap().origin = "other".into();
    store.append(vec![no_file, other]).await.unwrap();
    fill(&store, &["/f"]).await;
    store
        .decide(vec![
            open(1, WWW, &[("/a", 1), ("/b", 2)]),
            settled(1, Outcome::Done),
        ])
        .await
        .unwrap();
    let facts = async |after, limit| {
        let facts = store.facts_after(pipeline(WWW), "site".to_owned(), Seq(after), limit);
        facts.await.unwrap()
    };
    let numbers: Vec<u64> = facts(0, 10).await.iter().map(|(seq, _)| seq.0).collect();
    assert_eq!(numbers, [1, 2, 3, 6]);
    let some = facts(1, 2).await;
    assert_eq!(some.len(), 2);
    assert_eq!(some[0].1.path, b"/b\xff", "not UTF-8, and whole");
    assert_eq!(some[0].1.hash, Some([9; 32]));
    assert_eq!(some[0].1.former, Some([8; 32]));
}

async fn the_history_is_filtered_ordered_and_paged(store: Arc<Desk>) {
    fill(&store, &["/a", "/b"]).await;
    store
        .decide(vec![
            open(1, WWW, &[("/a", 1), ("/b", 2)]),
            accepted(1),
            settled(1, Outcome::Error),
            open(2, WWW, &[("/a", 1)]),
            accepted(2),
            open_all(3, SHOP, 2),
        ])
        .await
        .unwrap();
    let ids = async |filter: RequestFilter| {
        let page = store.requests(filter).await.unwrap();
        let ids: Vec<u64> = page.rows.iter().map(|record| record.id).collect();
        (ids, page.total_count)
    };
    let any = || RequestFilter {
        slice: Slice::first(10),
        ..RequestFilter::default()
    };
    assert_eq!(ids(any()).await, (vec![3, 2, 1], 3));
    let ascending = RequestFilter {
        slice: Slice {
            ascending: true,
            offset: 1,
            ..Slice::first(1)
        },
        ..any()
    };
    assert_eq!(ids(ascending).await, (vec![2], 3));
    let of = |pipeline: Option<&str>, status: Option<&str>, one: Option<&str>| RequestFilter {
        pipeline: pipeline.map(self::pipeline),
        status: status.map(str::to_owned),
        asset: one.map(asset),
        ..any()
    };
    assert_eq!(ids(of(Some(WWW), None, None)).await, (vec![2, 1], 2));
    assert_eq!(ids(of(None, Some("submitting"), None)).await, (vec![3], 1));
    assert_eq!(ids(of(Some(WWW), Some("error"), None)).await, (vec![1], 1));
    assert_eq!(ids(of(None, None, Some("/a"))).await, (vec![2, 1], 2));
    let remote = |id: &str| RequestFilter {
        remote_id: Some(id.to_owned()),
        ..any()
    };
    assert_eq!(ids(remote("r2")).await, (vec![2], 1));
    assert_eq!(ids(remote("r9")).await, (vec![], 0));
    let page = store
        .requests(RequestFilter {
            id: Some(1),
            ..any()
        })
        .await
        .unwrap();
    let record = &page.rows[0];
    assert_eq!(record.assets, ["/a", "/b"]);
    assert_eq!(
        (record.status.as_str(), record.why.as_str(), record.all),
        ("error", "so", false)
    );
    assert_eq!(
        (record.accepted_at, record.settled_at),
        (Some(at(20)), Some(at(30)))
    );
    let page = store.requests(of(Some(SHOP), None, None)).await.unwrap();
    let all = &page.rows[0];
    assert_eq!((all.all, all.reason.as_deref()), (true, Some("count")));
}

async fn pruning_deletes_what_is_settled_in_small_steps_and_reuses_no_number(store: Arc<Desk>) {
    fill(&store, &["/a", "/b", "/c", "/d"]).await;
    store
        .decide(vec![
            open(1, WWW, &[("/a", 1), ("/b", 2)]),
            settled(1, Outcome::Done),
            open(2, WWW, &[("/c", 3)]),
            settled(2, Outcome::Failed),
            open(3, WWW, &[("/d", 4)]),
        ])
        .await
        .unwrap();
    assert_eq!(store.prune(at(30), 10).await.unwrap(), 0, "not old enough");
    let mut deleted = 0;
    loop {
        let step = store.prune(at(31), 1).await.unwrap();
        assert!(step <= 1);
        if step == 0 {
            break;
        }
        deleted += step;
    }
    assert_eq!(deleted, 3, "two changes and their request");
    let counts = store.stages(Seq(1), Seq(9)).await.unwrap();
    assert_eq!((counts.failed, counts.taken, counts.done), (1, 1, 0));
    store.decide(vec![settled(3, Outcome::Done)]).await.unwrap();
    while store.prune(at(1_000), 10).await.unwrap() > 0 {}
    assert_eq!(fill(&store, &["/e"]).await.last, Seq(5));
    assert_eq!(store.unsettled().await.unwrap().last_request, 3);
}

async fn subscribers_hear_of_every_append(store: Arc<Desk>) {
    let mut last = store.subscribe();
    assert_eq!(*last.borrow_and_update(), Seq(0));
    fill(&store, &["/a", "/b"]).await;
    last.changed().await.unwrap();
    assert_eq!(*last.borrow_and_update(), Seq(2));
    store.append(Vec::new()).await.unwrap();
    assert!(!last.has_changed().unwrap(), "nothing came");
    assert_eq!(*store.subscribe().borrow(), Seq(2), "also later ones");
}
