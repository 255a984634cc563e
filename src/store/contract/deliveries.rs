//! Deliveries: taken once, kept until they are due, followed to the end.

use super::*;
use crate::core::delivery::{DeliveryState, NewDelivery, ScanDone, Taken, Work};
use std::time::Duration;

contract! {
    a_delivery_and_its_changes_are_committed_together
    a_repeated_delivery_queues_nothing_until_what_it_asked_for_has_failed
    only_the_same_route_and_key_make_a_repeated_delivery
    what_is_queued_already_is_not_queued_twice
    what_a_planner_was_told_of_is_queued_again
    a_delayed_change_is_queued_when_it_is_due
    a_scan_is_waited_for_and_followed_until_what_it_found_is_purged
    deliveries_are_forgotten_when_nobody_can_ask_for_them_any_more
    of_many_that_come_at_once_each_is_taken_once
}

fn asked(of: &str) -> NewChange {
    NewChange {
        kind: Kind::Asked,
        source: Source::Webhook,
        file: None,
        ..change(WWW, of)
    }
}

fn delivery(event: &str, work: Work) -> NewDelivery {
    NewDelivery {
        route: "/hooks/www".into(),
        event: event.to_owned(),
        dedupe_key: Some([event.bytes().next().unwrap_or(0); 32]),
        dedupe: Duration::from_millis(100),
        what: "push".to_owned(),
        pipeline: pipeline(WWW),
        at: at(1_000),
        due: at(1_000),
        work,
    }
}

fn changes(of: &[&str]) -> Work {
    Work::Changes(of.iter().map(|of| asked(of)).collect())
}

async fn state(store: &dyn Store, event: &str) -> DeliveryState {
    let found = store.delivery("/hooks/www".to_owned(), event.to_owned());
    found.await.unwrap().unwrap().state
}

async fn a_delivery_and_its_changes_are_committed_together(store: Arc<dyn Store>) {
    let mut heard = store.subscribe();
    let taken = store.take_delivery(delivery("a", changes(&["/a", "/b"])));
    assert_eq!(taken.await.unwrap(), Taken::New(2));
    assert_eq!(*heard.borrow_and_update(), Seq(2));
    assert_eq!(queued(&*store).await, ["1 /a", "2 /b"]);
    let record = store.delivery("/hooks/www".to_owned(), "a".to_owned());
    let record = record.await.unwrap().unwrap();
    assert_eq!((record.state, record.queued), (DeliveryState::Queued, 2));
    assert_eq!((record.at, &*record.what), (at(1_000), "push"));
    store
        .decide(vec![open(1, WWW, &[("/a", 1), ("/b", 2)])])
        .await
        .unwrap();
    assert_eq!(state(&*store, "a").await, DeliveryState::Submitted);
    store.decide(vec![settled(1, Outcome::Done)]).await.unwrap();
    assert_eq!(state(&*store, "a").await, DeliveryState::Done);
    for (route, event) in [("/hooks/www", "b"), ("/hooks/shop", "a")] {
        let other = store.delivery(route.to_owned(), event.to_owned());
        assert_eq!(other.await.unwrap(), None);
    }
    // Files that map to nothing are a delivery all the same.
    let nothing = store.take_delivery(delivery("n", changes(&[]))).await;
    assert_eq!(nothing.unwrap(), Taken::New(0));
    assert_eq!(state(&*store, "n").await, DeliveryState::Done);
}

async fn a_repeated_delivery_queues_nothing_until_what_it_asked_for_has_failed(
    store: Arc<dyn Store>,
) {
    let again = async || {
        let taken = store.take_delivery(delivery("a", changes(&["/a"])));
        taken.await.unwrap()
    };
    assert_eq!(again().await, Taken::New(1));
    assert_eq!(again().await, Taken::Duplicate);
    store
        .decide(vec![open(1, WWW, &[("/a", 1)])])
        .await
        .unwrap();
    assert_eq!(again().await, Taken::Duplicate, "it is on its way");
    store
        .decide(vec![settled(1, Outcome::Failed)])
        .await
        .unwrap();
    assert_eq!(state(&*store, "a").await, DeliveryState::Failed);
    assert_eq!(again().await, Taken::New(1));
    assert_eq!(queued(&*store).await, ["2 /a"]);
    assert_eq!(state(&*store, "a").await, DeliveryState::Queued);
    assert_eq!(again().await, Taken::Duplicate);
}

async fn only_the_same_route_and_key_make_a_repeated_delivery(store: Arc<dyn Store>) {
    let first = delivery("a", changes(&["/a"]));
    let take = async |of: NewDelivery| store.take_delivery(of).await.unwrap();
    assert_eq!(take(first.clone()).await, Taken::New(1));
    let elsewhere = NewDelivery {
        route: "/hooks/shop".into(),
        ..first.clone()
    };
    assert_eq!(take(elsewhere).await, Taken::New(1));
    let unknown = NewDelivery {
        dedupe_key: None,
        ..first.clone()
    };
    assert_eq!(take(unknown.clone()).await, Taken::New(1));
    assert_eq!(take(unknown).await, Taken::New(1));
    let just_before = NewDelivery {
        at: at(1_099),
        ..first.clone()
    };
    assert_eq!(take(just_before).await, Taken::Duplicate);
    let later = NewDelivery {
        at: at(1_100),
        ..first
    };
    assert_eq!(take(later).await, Taken::New(1));
}

async fn what_is_queued_already_is_not_queued_twice(store: Arc<dyn Store>) {
    for event in ["a", "b", "c"] {
        let taken = store.take_delivery(delivery(event, changes(&["/a", "/b"])));
        assert_eq!(taken.await.unwrap(), Taken::New(2));
    }
    assert_eq!(queued(&*store).await, ["1 /a", "2 /b"]);
    store
        .decide(vec![open(1, WWW, &[("/a", 1)])])
        .await
        .unwrap();
    // A request that is opened may have been sent: it covers nothing that comes after it.
    let taken = store.take_delivery(delivery("d", changes(&["/a"])));
    taken.await.unwrap();
    assert_eq!(queued(&*store).await, ["2 /b", "3 /a"]);
    store.decide(vec![settled(1, Outcome::Done)]).await.unwrap();
    assert_eq!(state(&*store, "c").await, DeliveryState::Queued);
    assert_eq!(state(&*store, "d").await, DeliveryState::Queued);
    let other = NewDelivery {
        pipeline: pipeline(SHOP),
        work: Work::Changes(vec![NewChange {
            pipeline: pipeline(SHOP),
            ..asked("/b")
        }]),
        ..delivery("e", Work::Scan)
    };
    store.take_delivery(other).await.unwrap();
    assert_eq!(queued(&*store).await, ["2 /b", "3 /a", "4 /b"]);
}

/// Who was told of a change takes it for as old as it was then, and may find that somebody has
/// purged it since. So it has to hear of what came later.
async fn what_a_planner_was_told_of_is_queued_again(store: Arc<dyn Store>) {
    let take = async |event: &str, of: &[&str]| {
        let taken = store.take_delivery(delivery(event, changes(of)));
        assert_eq!(taken.await.unwrap(), Taken::New(of.len()));
    };
    take("a", &["/a", "/b"]).await;
    // It hears of the first only.
    let told = store.queued_after(Seq(0), 1).await.unwrap();
    assert_eq!(told.len(), 1);
    take("b", &["/b"]).await;
    take("c", &["/a"]).await;
    assert_eq!(queued(&*store).await, ["1 /a", "2 /b", "3 /a"]);
    // What a person retries is told, too.
    store
        .decide(vec![open(1, WWW, &[("/a", 3), ("/b", 2)])])
        .await
        .unwrap();
    store
        .decide(vec![settled(1, Outcome::Failed)])
        .await
        .unwrap();
    let retried = store.retry(Retry::Request(1), 10).await.unwrap();
    assert_eq!(retried.len(), 3);
    take("d", &["/b"]).await;
    assert_eq!(queued(&*store).await, ["1 /a", "2 /b", "3 /a", "4 /b"]);
}

async fn a_delayed_change_is_queued_when_it_is_due(store: Arc<dyn Store>) {
    let delayed = NewDelivery {
        due: at(5_000),
        ..delivery("a", changes(&["/a", "*"]))
    };
    assert_eq!(
        store.take_delivery(delayed.clone()).await.unwrap(),
        Taken::New(2)
    );
    assert_eq!(queued(&*store).await, Vec::<String>::new());
    assert_eq!(state(&*store, "a").await, DeliveryState::Queued);
    assert_eq!(
        store.take_delivery(delayed).await.unwrap(),
        Taken::Duplicate
    );
    assert_eq!(
        store.due_deliveries().await.unwrap().changes,
        Some(at(5_000))
    );
    assert_eq!(store.release_deliveries(at(4_999), 10).await.unwrap(), 0);
    let mut heard = store.subscribe();
    heard.borrow_and_update();
    assert_eq!(store.release_deliveries(at(5_000), 10).await.unwrap(), 1);
    assert!(heard.has_changed().unwrap());
    assert_eq!(queued(&*store).await, ["1 /a", "2 *"]);
    let rows = store.queued_after(Seq(0), 1).await.unwrap();
    assert_eq!((rows[0].seen, rows[0].source), (at(5_000), Source::Webhook));
    assert_eq!(store.release_deliveries(at(9_000), 10).await.unwrap(), 0);
    assert_eq!(store.due_deliveries().await.unwrap().changes, None);
    assert_eq!(state(&*store, "a").await, DeliveryState::Queued);
}

async fn a_scan_is_waited_for_and_followed_until_what_it_found_is_purged(store: Arc<dyn Store>) {
    // Noticed by a watch before the delivery came, and of the same deploy.
    fill(&*store, &["/noticed"]).await;
    let scan = |event, due| NewDelivery {
        due: at(due),
        ..delivery(event, Work::Scan)
    };
    for (event, due) in [("a", 1_000), ("b", 2_000)] {
        let taken = store.take_delivery(scan(event, due)).await.unwrap();
        assert_eq!(taken, Taken::New(0));
    }
    let due = store.due_deliveries().await.unwrap();
    assert_eq!(due.scans, [(pipeline(WWW), at(1_000))]);
    fill(&*store, &["/found"]).await;
    store.append(vec![change(SHOP, "/other")]).await.unwrap();
    let done = ScanDone {
        pipeline: pipeline(WWW),
        through: at(1_999),
        last: Seq(3),
    };
    store.scanned_for_deliveries(done).await.unwrap();
    let due = store.due_deliveries().await.unwrap();
    assert_eq!(due.scans, [(pipeline(WWW), at(2_000))]);
    let record = store.delivery("/hooks/www".to_owned(), "a".to_owned());
    assert_eq!(record.await.unwrap().unwrap().queued, 2, "not the shop's");
    assert_eq!(state(&*store, "b").await, DeliveryState::Queued);
    store
        .decide(vec![open(1, WWW, &[("/noticed", 1), ("/found", 2)])])
        .await
        .unwrap();
    assert_eq!(state(&*store, "a").await, DeliveryState::Submitted);
    let done = ScanDone {
        pipeline: pipeline(WWW),
        through: at(2_000),
        last: Seq(3),
    };
    store.scanned_for_deliveries(done).await.unwrap();
    assert_eq!(
        state(&*store, "b").await,
        DeliveryState::Submitted,
        "what is on its way when the scan ends is waited for"
    );
    store.decide(vec![settled(1, Outcome::Done)]).await.unwrap();
    assert_eq!(state(&*store, "a").await, DeliveryState::Done);
    assert_eq!(state(&*store, "b").await, DeliveryState::Done);
    assert_eq!(store.due_deliveries().await.unwrap().scans, []);
}

async fn deliveries_are_forgotten_when_nobody_can_ask_for_them_any_more(store: Arc<dyn Store>) {
    store
        .take_delivery(delivery("a", changes(&[])))
        .await
        .unwrap();
    store
        .take_delivery(delivery("w", Work::Scan))
        .await
        .unwrap();
    let prune = async |before, now| {
        let pruned = store.prune_deliveries(at(before), at(now), 10);
        pruned.await.unwrap()
    };
    assert_eq!(prune(2_000, 1_099).await, 0, "it could be repeated");
    assert_eq!(prune(1_000, 9_000).await, 0, "it is not old");
    assert_eq!(prune(1_001, 9_000).await, 1, "one still waits");
    let gone = store.delivery("/hooks/www".to_owned(), "a".to_owned());
    assert_eq!(gone.await.unwrap(), None);
    assert_eq!(state(&*store, "w").await, DeliveryState::Queued);
}

async fn of_many_that_come_at_once_each_is_taken_once(store: Arc<dyn Store>) {
    let all = (0..100_u8).map(|number| {
        let mut one = delivery("x", changes(&["/a"]));
        one.dedupe_key = Some([number % 10; 32]);
        one.event = number.to_string();
        store.take_delivery(one)
    });
    let taken = futures_util::future::try_join_all(all).await.unwrap();
    let new = taken.iter().filter(|one| **one == Taken::New(1)).count();
    assert_eq!(new, 10);
    assert_eq!(queued(&*store).await, ["1 /a"]);
}
