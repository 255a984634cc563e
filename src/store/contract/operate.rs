//! What a person does with the queue, and the history of one asset.

use std::time::Duration;

use super::*;
use crate::core::delivery::{DeliveryState, NewDelivery, Work};
use crate::core::pause::LEASE;

contract! {
    a_pause_is_told_at_a_restart_until_it_is_ended
    a_pause_that_ended_by_itself_is_forgotten
    what_is_failed_is_queued_again_by_pipeline_or_by_request
    what_is_dropped_is_neither_queued_nor_failed_and_is_pruned_by_age
    what_a_delivery_would_queue_later_is_dropped_too_and_told
    a_queue_without_a_pipeline_is_told_until_it_is_dropped
    stages_are_told_of_one_pipeline
    files_are_told_while_their_changes_are_not_settled
    notes_are_kept
    the_history_of_an_asset_tells_its_purges_and_why
    the_delivery_behind_a_purge_is_named
}

fn pause(name: &str, holder: Holder, length: Option<Duration>) -> Pause {
    let reason = "because".to_owned();
    Pause::begin(pipeline(name), holder, reason, length, at(7)).by("alice".to_owned())
}

fn deploy(lease: &str) -> Holder {
    Holder::Deploy(lease.to_owned())
}

async fn a_pause_is_told_at_a_restart_until_it_is_ended(store: Arc<Desk>) {
    let mine = pause(WWW, Holder::Operator, None);
    let lease = pause(WWW, deploy("d1"), Some(LEASE));
    let other = pause(SHOP, Holder::Operator, Some(Duration::from_secs(3)));
    for pause in [&mine, &lease, &other] {
        store.pause(pause.clone(), None).await.unwrap();
    }
    let mut told = store.unsettled().await.unwrap().pauses;
    told.sort_by_key(|pause| (pause.pipeline.clone(), pause.holder.clone()));
    assert_eq!(told, [other.clone(), mine.clone(), lease.clone()]);

    let renewed = Pause {
        until: Some(at(99_000)),
        ..lease
    };
    store.pause(renewed.clone(), None).await.unwrap();
    let ended = store
        .resume(pipeline(WWW), Holder::Operator, at(8), None)
        .await;
    assert!(ended.unwrap());
    let again = store
        .resume(pipeline(WWW), Holder::Operator, at(8), None)
        .await;
    assert!(!again.unwrap(), "there is none any more");
    let mut told = store.unsettled().await.unwrap().pauses;
    told.sort_by_key(|pause| pause.pipeline.clone());
    assert_eq!(told, [other, renewed]);
}

async fn a_pause_that_ended_by_itself_is_forgotten(store: Arc<Desk>) {
    let short = pause(SHOP, Holder::Operator, Some(Duration::from_secs(3)));
    store.pause(short, None).await.unwrap();
    store
        .resume(pipeline(WWW), Holder::Operator, at(3_006), None)
        .await
        .unwrap();
    assert_eq!(store.unsettled().await.unwrap().pauses.len(), 1);
    store
        .resume(pipeline(WWW), Holder::Operator, at(3_007), None)
        .await
        .unwrap();
    assert_eq!(store.unsettled().await.unwrap().pauses, []);
}

async fn what_is_failed_is_queued_again_by_pipeline_or_by_request(store: Arc<Desk>) {
    fill(&store, &["/a", "/b", "/c"]).await;
    store.append(vec![change(SHOP, "/a")]).await.unwrap();
    store
        .decide(vec![
            open(1, WWW, &[("/a", 1), ("/b", 2)]),
            settled(1, Outcome::Failed),
            open(2, WWW, &[("/c", 3)]),
            settled(2, Outcome::Failed),
            open(3, SHOP, &[("/a", 4)]),
            settled(3, Outcome::Failed),
        ])
        .await
        .unwrap();
    let retried = store.retry(Retry::Request(2), 9, None).await.unwrap();
    assert_eq!(retried, store.queued_after(Seq(0), 9).await.unwrap());
    assert_eq!(queued(&store).await, ["3 /c"]);
    assert_eq!((retried[0].attempt, retried[0].not_before), (0, Time::ZERO));

    let www = || Retry::Pipeline(pipeline(WWW));
    assert_eq!(store.retry(www(), 1, None).await.unwrap().len(), 1);
    assert_eq!(store.retry(www(), 9, None).await.unwrap().len(), 1);
    assert_eq!(store.retry(www(), 9, None).await.unwrap(), []);
    assert_eq!(queued(&store).await, ["1 /a", "2 /b", "3 /c"]);
    let failed = store.failed_assets().await.unwrap();
    assert_eq!(failed, BTreeMap::from([(pipeline(SHOP), 1)]));
    store
        .decide(vec![open(4, WWW, &[("/a", 1)]), settled(4, Outcome::Done)])
        .await
        .unwrap();
    assert_eq!(queued(&store).await, ["2 /b", "3 /c"]);
}

async fn what_is_dropped_is_neither_queued_nor_failed_and_is_pruned_by_age(store: Arc<Desk>) {
    fill(&store, &["/a", "/b", "/c", "*"]).await;
    store.append(vec![change(SHOP, "/a")]).await.unwrap();
    store
        .decide(vec![
            open(1, WWW, &[("/a", 1)]),
            settled(1, Outcome::Failed),
            open(2, WWW, &[("/b", 2)]),
            Decision::QueueAll {
                pipeline: pipeline(WWW),
                reason: AllReason::Count,
                since: at(5),
            },
        ])
        .await
        .unwrap();
    let mut dropped = 0;
    loop {
        let step = store.drop_queue(pipeline(WWW), 1, None).await.unwrap();
        if step == 0 {
            break;
        }
        dropped += step;
    }
    assert_eq!(dropped, 4, "/a, /c, * and the purge of everything");
    assert_eq!(queued(&store).await, ["5 /a"], "the other pipeline's");
    assert_eq!(store.failed_assets().await.unwrap(), BTreeMap::new());
    assert_eq!(store.unsettled().await.unwrap().all, []);
    let counts = store.stages(Seq(1), Seq(4)).await.unwrap();
    assert_eq!(
        (counts.dropped, counts.taken),
        (3, 1),
        "what is in flight goes on"
    );

    assert_eq!(store.prune(at(5), 9).await.unwrap(), 0, "not old enough");
    while store.prune(at(6), 9).await.unwrap() > 0 {}
    let counts = store.stages(Seq(1), Seq(4)).await.unwrap();
    assert_eq!((counts.dropped, counts.taken), (0, 1));
}

fn delivery(event: &str, due: u64, work: Work) -> NewDelivery {
    NewDelivery {
        route: "/hooks/www".into(),
        event: event.into(),
        dedupe_key: None,
        dedupe: Duration::ZERO,
        what: "a push".into(),
        pipeline: pipeline(WWW),
        at: at(5),
        due: at(due),
        work,
    }
}

fn asked(of: &str) -> NewChange {
    NewChange {
        kind: Kind::Asked,
        source: Source::Webhook,
        detail: "a push".into(),
        file: None,
        ..change(WWW, of)
    }
}

async fn what_a_delivery_would_queue_later_is_dropped_too_and_told(store: Arc<Desk>) {
    let work = Work::Changes(vec![asked("/a"), asked("/b")]);
    store.take_delivery(delivery("e1", 50, work)).await.unwrap();
    assert_eq!(store.drop_queue(pipeline(WWW), 9, None).await.unwrap(), 2);
    assert_eq!(store.drop_queue(pipeline(WWW), 9, None).await.unwrap(), 0);
    let told = store.delivery("/hooks/www".to_owned(), "e1".to_owned());
    let told = told.await.unwrap().unwrap();
    assert_eq!((told.state, told.failed), (DeliveryState::Failed, 2));
    assert_eq!(store.release_deliveries(at(99), 9).await.unwrap(), 0);
    assert_eq!(queued(&store).await, Vec::<String>::new());
}

async fn a_queue_without_a_pipeline_is_told_until_it_is_dropped(store: Arc<Desk>) {
    fill(&store, &["/a", "/b"]).await;
    store.append(vec![change(SHOP, "/a")]).await.unwrap();
    store
        .decide(vec![
            open(1, WWW, &[("/a", 1)]),
            settled(1, Outcome::Failed),
            Decision::QueueAll {
                pipeline: pipeline("third"),
                reason: AllReason::Loss,
                since: at(5),
            },
        ])
        .await
        .unwrap();
    let orphan = |name: &str, queued_changes, failed_changes, queued_all| Orphan {
        id: pipeline(name),
        queued_changes,
        queued_all,
        failed_changes,
    };
    let known = || vec![pipeline(SHOP)];
    assert_eq!(
        store.orphans(known()).await.unwrap(),
        [
            orphan("third", 0, 0, Some(AllReason::Loss)),
            orphan(WWW, 1, 1, None)
        ]
    );
    while store.drop_queue(pipeline(WWW), 9, None).await.unwrap() > 0 {}
    while store.drop_queue(pipeline("third"), 9, None).await.unwrap() > 0 {}
    assert_eq!(store.orphans(known()).await.unwrap(), []);
    let all = store.orphans(Vec::new()).await.unwrap();
    assert_eq!(all, [orphan(SHOP, 1, 0, None)]);
}

async fn files_are_told_while_their_changes_are_not_settled(store: Arc<Desk>) {
    fill(&store, &["/a", "/b", "/c", "*"]).await;
    store
        .append(vec![change(SHOP, "/a"), asked("/d")])
        .await
        .unwrap();
    store
        .decide(vec![
            open(1, WWW, &[("/a", 1)]),
            open(2, WWW, &[("/b", 2)]),
            settled(2, Outcome::Done),
        ])
        .await
        .unwrap();
    let told = store.queued_files(pipeline(WWW), Seq(0), 9).await.unwrap();
    let expected = [(1, "/a"), (3, "/c"), (4, "*")].map(|(seq, of)| (Seq(seq), change(WWW, of)));
    assert_eq!(told, expected);
    let page = store.queued_files(pipeline(WWW), Seq(1), 1).await.unwrap();
    assert_eq!(page, expected[1..2]);
}

async fn notes_are_kept(store: Arc<Desk>) {
    let note = async |word: &str| store.note("k".to_owned(), word.to_owned()).await.unwrap();
    assert_eq!(store.noted("k".to_owned()).await.unwrap(), None);
    assert_eq!(note("one").await, None);
    assert_eq!(note("two").await.as_deref(), Some("one"));
    let noted = store.noted("k".to_owned()).await.unwrap();
    assert_eq!(noted.as_deref(), Some("two"));
}

async fn stages_are_told_of_one_pipeline(store: Arc<Desk>) {
    fill(&store, &["/a", "/b"]).await;
    store.append(vec![change(SHOP, "/a")]).await.unwrap();
    let counts = store.stages_of(pipeline(WWW), Seq(2), Seq(9)).await;
    assert_eq!(counts.unwrap().queued, 1);
}

async fn the_history_of_an_asset_tells_its_purges_and_why(store: Arc<Desk>) {
    fill(&store, &["/a", "/b", "/a"]).await;
    store.append(vec![change(SHOP, "/a")]).await.unwrap();
    store
        .decide(vec![
            open(1, WWW, &[("/a", 1), ("/b", 2)]),
            settled(1, Outcome::Error),
            open(2, WWW, &[("/a", 3), ("/b", 2)]),
            accepted(2),
            settled(2, Outcome::Done),
            open(3, SHOP, &[("/a", 4)]),
        ])
        .await
        .unwrap();
    fill(&store, &["*", "/c", "/a"]).await;
    purge_all(&store, 4, WWW, 6).await;

    let told = store
        .purges_of(pipeline(WWW), asset("/a"), 9)
        .await
        .unwrap();
    let waiting: Vec<u64> = told.waiting.iter().map(|cause| cause.seq.0).collect();
    assert_eq!(waiting, [7]);
    assert_eq!(told.waiting[0].stage, "queued");
    let purges: Vec<(u64, &str, Option<u64>)> = told
        .purges
        .iter()
        .map(|purge| {
            let seq = purge.cause.as_ref().map(|cause| cause.seq.0);
            (purge.request.id, purge.request.status.as_str(), seq)
        })
        .collect();
    assert_eq!(
        purges,
        [
            (4, "submitting", Some(5)),
            (2, "done", Some(3)),
            (1, "error", Some(1))
        ]
    );
    let cause = told.purges[1].cause.as_ref().unwrap();
    let file = ("site".to_owned(), "/a\u{fffd}".to_owned());
    assert_eq!((cause.source, cause.kind), (Source::Watch, Kind::Changed));
    assert_eq!((&*cause.detail, &cause.file), ("because", &Some(file)));

    let two = store
        .purges_of(pipeline(WWW), asset("/a"), 2)
        .await
        .unwrap();
    assert_eq!(two.purges[..], told.purges[..2]);
    let none = store
        .purges_of(pipeline(WWW), asset("/z"), 9)
        .await
        .unwrap();
    assert_eq!(none.purges.len(), 1, "the purge of everything");
}

async fn the_delivery_behind_a_purge_is_named(store: Arc<Desk>) {
    fill(&store, &["/a"]).await;
    for (event, asset) in [("e1", "/b"), ("e2", "/c")] {
        let work = Work::Changes(vec![asked(asset)]);
        store.take_delivery(delivery(event, 5, work)).await.unwrap();
    }
    store
        .decide(vec![open(1, WWW, &[("/a", 1), ("/b", 2), ("/c", 3)])])
        .await
        .unwrap();
    let behind = async |name: &str| {
        let told = store
            .purges_of(pipeline(WWW), asset(name), 9)
            .await
            .unwrap();
        told.purges[0].cause.clone().unwrap().delivery
    };
    let named = |event: &str| Some(("/hooks/www".to_owned(), event.to_owned()));
    assert_eq!(behind("/a").await, None);
    assert_eq!(behind("/b").await, named("e1"));
    assert_eq!(behind("/c").await, named("e2"));
}
