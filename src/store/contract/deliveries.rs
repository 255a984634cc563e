//! Deliveries: taken once, kept until they are due, followed to the end.

use super::*;
use crate::core::delivery::{
    DeliveryProgress, DeliveryState, DueDeliveries, NewDelivery, Phase, Taken, Work,
};
use std::time::Duration;

contract! {
    a_delivery_and_its_changes_are_committed_together
    a_repeated_delivery_is_queued_again_until_what_it_asked_for_is_done
    a_repeated_delivery_that_still_waits_waits_no_longer
    a_repeated_scan_is_made_again_and_brings_back_what_is_not_done
    only_the_same_route_and_key_make_a_repeated_delivery
    what_is_queued_already_is_not_queued_twice
    what_a_planner_was_told_of_is_queued_again
    a_delayed_change_is_queued_when_it_is_due
    no_time_stays_further_ahead_than_was_asked_for
    a_scan_is_waited_for_and_followed_until_what_it_found_is_purged
    deliveries_are_forgotten_when_nobody_can_ask_for_them_any_more
    of_many_that_come_at_once_each_is_taken_once
    why_it_is_not_purged_is_told_in_the_api_s_words
    how_far_it_is_is_counted_in_assets_and_requests
    what_waits_is_announced_though_nobody_waits_for_the_answer
}

fn asked(of: &str) -> NewChange {
    NewChange {
        kind: Kind::Asked,
        source: Source::Webhook,
        file: None,
        ..change(WWW, of)
    }
}

pub(in crate::store) fn delivery(event: &str, work: Work) -> NewDelivery {
    NewDelivery {
        route: "/hooks/www".into(),
        event: event.into(),
        dedupe_key: Some([event.bytes().next().unwrap_or(0); 32]),
        dedupe: Duration::from_millis(100),
        what: "push".into(),
        pipeline: pipeline(WWW),
        at: at(1_000),
        due: at(1_000),
        work,
    }
}

fn changes(of: &[&str]) -> Work {
    Work::Changes(of.iter().map(|of| asked(of)).collect())
}

async fn state(store: &Desk, event: &str) -> DeliveryState {
    let found = store.delivery("/hooks/www".to_owned(), event.to_owned());
    found.await.unwrap().unwrap().state
}

async fn a_delivery_and_its_changes_are_committed_together(store: Arc<Desk>) {
    let mut heard = store.subscribe();
    let taken = store.take_delivery(delivery("a", changes(&["/a", "/b"])));
    assert_eq!(taken.await.unwrap(), Taken::New(2));
    assert_eq!(*heard.borrow_and_update(), Seq(2));
    assert_eq!(queued(&store).await, ["1 /a", "2 /b"]);
    let record = store.delivery("/hooks/www".to_owned(), "a".to_owned());
    let record = record.await.unwrap().unwrap();
    assert_eq!((record.state, record.queued), (DeliveryState::Queued, 2));
    assert_eq!((record.at, &*record.what), (at(1_000), "push"));
    store
        .decide(vec![open(1, WWW, &[("/a", 1), ("/b", 2)])])
        .await
        .unwrap();
    assert_eq!(state(&store, "a").await, DeliveryState::Submitted);
    store.decide(vec![settled(1, Outcome::Done)]).await.unwrap();
    assert_eq!(state(&store, "a").await, DeliveryState::Done);
    for (route, event) in [("/hooks/www", "b"), ("/hooks/shop", "a")] {
        let other = store.delivery(route.to_owned(), event.to_owned());
        assert_eq!(other.await.unwrap(), None);
    }
    // Files that map to nothing are a delivery all the same.
    let nothing = store.take_delivery(delivery("n", changes(&[]))).await;
    assert_eq!(nothing.unwrap(), Taken::New(0));
    assert_eq!(state(&store, "n").await, DeliveryState::Done);
}

async fn a_repeated_delivery_is_queued_again_until_what_it_asked_for_is_done(store: Arc<Desk>) {
    let again = async || {
        let taken = store.take_delivery(delivery("a", changes(&["/a"])));
        taken.await.unwrap()
    };
    assert_eq!(again().await, Taken::New(1));
    assert_eq!(queued(&store).await, ["1 /a"]);
    store
        .decide(vec![open(1, WWW, &[("/a", 1)])])
        .await
        .unwrap();
    assert_eq!(again().await, Taken::New(1));
    assert_eq!(queued(&store).await, ["2 /a"], "one is on its way");
    store
        .decide(vec![settled(1, Outcome::Done), open(2, WWW, &[("/a", 2)])])
        .await
        .unwrap();
    store
        .decide(vec![settled(2, Outcome::Failed)])
        .await
        .unwrap();
    assert_eq!(state(&store, "a").await, DeliveryState::Failed);
    assert_eq!(again().await, Taken::New(1));
    assert_eq!(queued(&store).await, ["3 /a"]);
    assert_eq!(state(&store, "a").await, DeliveryState::Queued);
    store
        .decide(vec![open(3, WWW, &[("/a", 3)])])
        .await
        .unwrap();
    store.decide(vec![settled(3, Outcome::Done)]).await.unwrap();
    assert_eq!(again().await, Taken::Duplicate);
    assert_eq!(queued(&store).await, Vec::<String>::new());
}

async fn a_repeated_delivery_that_still_waits_waits_no_longer(store: Arc<Desk>) {
    let delayed = |event, came, work| NewDelivery {
        at: at(came),
        due: at(came + 5_000),
        dedupe: Duration::from_mins(1),
        ..delivery(event, work)
    };
    for came in [1_000, 2_000] {
        let taken = store.take_delivery(delayed("a", came, changes(&["/a"])));
        assert_eq!(taken.await.unwrap(), Taken::New(1));
        let taken = store.take_delivery(delayed("s", came, Work::Scan));
        assert_eq!(taken.await.unwrap(), Taken::New(0));
    }
    assert_eq!(store.release_deliveries(at(6_000), 10).await.unwrap(), 2);
    assert_eq!(queued(&store).await, ["1 /a"]);
    let done = ScanDone {
        pipeline: pipeline(WWW),
        through: at(6_000),
        delivery: u64::MAX,
        last: Seq(1),
        without: String::new(),
    };
    store.scanned_for_deliveries(done).await.unwrap();
    let due = store.due_deliveries().await.unwrap();
    assert_eq!(due, DueDeliveries::default());
    store
        .decide(vec![open(1, WWW, &[("/a", 1)])])
        .await
        .unwrap();
    // The delay is over: it began with the event.
    let taken = store.take_delivery(delayed("a", 7_000, changes(&["/a"])));
    assert_eq!(taken.await.unwrap(), Taken::New(1));
    assert_eq!(queued(&store).await, ["2 /a"]);
    let rows = store.queued_after(Seq(0), 1).await.unwrap();
    assert_eq!(rows[0].seen, at(7_000));
    let taken = store.take_delivery(delayed("s", 7_000, Work::Scan));
    assert_eq!(taken.await.unwrap(), Taken::New(1));
    assert_eq!(
        queued(&store).await,
        ["2 /a", "3 /a"],
        "a planner has heard of the second"
    );
    let due = store.due_deliveries().await.unwrap();
    assert_eq!(due.scans, [(pipeline(WWW), at(7_000))]);
}

async fn a_repeated_scan_is_made_again_and_brings_back_what_is_not_done(store: Arc<Desk>) {
    let again = async |wanted| {
        let taken = store.take_delivery(delivery("s", Work::Scan));
        assert_eq!(taken.await.unwrap(), wanted);
    };
    let scanned = async |last| {
        let done = ScanDone {
            pipeline: pipeline(WWW),
            through: at(1_000),
            delivery: u64::MAX,
            last: Seq(last),
            without: String::new(),
        };
        store.scanned_for_deliveries(done).await.unwrap();
    };
    again(Taken::New(0)).await;
    fill(&store, &["/a", "/b"]).await;
    store.append(vec![change(SHOP, "/other")]).await.unwrap();
    scanned(3).await;
    store
        .decide(vec![
            open(1, WWW, &[("/a", 1)]),
            open(2, WWW, &[("/b", 2)]),
            open(3, SHOP, &[("/other", 3)]),
        ])
        .await
        .unwrap();
    store
        .decide(vec![
            settled(1, Outcome::Failed),
            settled(3, Outcome::Failed),
        ])
        .await
        .unwrap();
    assert_eq!(state(&store, "s").await, DeliveryState::Failed);
    again(Taken::New(2)).await;
    assert_eq!(queued(&store).await, ["4 /a", "5 /b"]);
    assert_eq!(state(&store, "s").await, DeliveryState::Queued);
    // That the first one's purge fails now is nothing to the second.
    store
        .decide(vec![settled(2, Outcome::Failed)])
        .await
        .unwrap();
    scanned(5).await;
    again(Taken::New(0)).await;
    assert_eq!(queued(&store).await, ["4 /a", "5 /b"], "they wait already");
    let all = open(4, WWW, &[("/a", 4), ("/b", 5)]);
    store.decide(vec![all]).await.unwrap();
    scanned(5).await;
    assert_eq!(state(&store, "s").await, DeliveryState::Submitted);
    store.decide(vec![settled(4, Outcome::Done)]).await.unwrap();
    assert_eq!(state(&store, "s").await, DeliveryState::Done);
    again(Taken::Duplicate).await;
}

async fn only_the_same_route_and_key_make_a_repeated_delivery(store: Arc<Desk>) {
    // Done at once.
    let first = delivery("a", changes(&[]));
    let take = async |of: NewDelivery| store.take_delivery(of).await.unwrap();
    assert_eq!(take(first.clone()).await, Taken::New(0));
    let elsewhere = NewDelivery {
        route: "/hooks/shop".into(),
        ..first.clone()
    };
    assert_eq!(take(elsewhere).await, Taken::New(0));
    let moved = NewDelivery {
        pipeline: pipeline(SHOP),
        ..first.clone()
    };
    assert_eq!(take(moved).await, Taken::New(0), "the route is another's");
    let unknown = NewDelivery {
        dedupe_key: None,
        ..first.clone()
    };
    assert_eq!(take(unknown.clone()).await, Taken::New(0));
    assert_eq!(take(unknown).await, Taken::New(0));
    let just_before = NewDelivery {
        at: at(1_099),
        ..first.clone()
    };
    assert_eq!(take(just_before).await, Taken::Duplicate);
    let by_a_smaller_setting = NewDelivery {
        at: at(1_050),
        dedupe: Duration::from_millis(50),
        ..first.clone()
    };
    assert_eq!(take(by_a_smaller_setting).await, Taken::New(0));
    let later = NewDelivery {
        at: at(1_100),
        ..first
    };
    assert_eq!(take(later).await, Taken::New(0));
}

/// Where only this process can have a planner: another's may have pulled it.
async fn what_is_queued_already_is_not_queued_twice(store: Arc<Desk>) {
    if store.is_on_server() {
        return;
    }
    for event in ["a", "b", "c", "a"] {
        let taken = store.take_delivery(delivery(event, changes(&["/a", "/b"])));
        assert_eq!(taken.await.unwrap(), Taken::New(2));
    }
    assert_eq!(queued(&store).await, ["1 /a", "2 /b"]);
    store
        .decide(vec![open(1, WWW, &[("/a", 1)])])
        .await
        .unwrap();
    // A request that is opened may have been sent: it covers nothing that comes after it.
    let taken = store.take_delivery(delivery("d", changes(&["/a"])));
    taken.await.unwrap();
    assert_eq!(queued(&store).await, ["2 /b", "3 /a"]);
    store.decide(vec![settled(1, Outcome::Done)]).await.unwrap();
    assert_eq!(state(&store, "c").await, DeliveryState::Queued);
    assert_eq!(state(&store, "d").await, DeliveryState::Queued);
    let other = NewDelivery {
        pipeline: pipeline(SHOP),
        work: Work::Changes(vec![NewChange {
            pipeline: pipeline(SHOP),
            ..asked("/b")
        }]),
        ..delivery("e", Work::Scan)
    };
    store.take_delivery(other).await.unwrap();
    assert_eq!(queued(&store).await, ["2 /b", "3 /a", "4 /b"]);
}

/// A planner that has pulled a change takes it for as old as it was then, and may find that a request has
/// purged it since. So it has to pull what came later. What another process' planner has pulled is not known.
async fn what_a_planner_was_told_of_is_queued_again(store: Arc<Desk>) {
    if store.is_on_server() {
        return;
    }
    let take = async |event: &str, of: &[&str]| {
        let taken = store.take_delivery(delivery(event, changes(of)));
        assert_eq!(taken.await.unwrap(), Taken::New(of.len()));
    };
    take("a", &["/a", "/b"]).await;
    // It pulls the first only.
    let told = store.queued_after(Seq(0), 1).await.unwrap();
    assert_eq!(told.len(), 1);
    take("b", &["/b"]).await;
    take("c", &["/a"]).await;
    assert_eq!(queued(&store).await, ["1 /a", "2 /b", "3 /a"]);
    // A retried change is pulled, too.
    store
        .decide(vec![open(1, WWW, &[("/a", 3), ("/b", 2)])])
        .await
        .unwrap();
    store
        .decide(vec![settled(1, Outcome::Failed)])
        .await
        .unwrap();
    let retried = store.retry(Retry::Request(1), 10, None).await.unwrap();
    assert_eq!(retried.len(), 3);
    take("d", &["/b"]).await;
    assert_eq!(queued(&store).await, ["1 /a", "2 /b", "3 /a", "4 /b"]);
}

async fn a_delayed_change_is_queued_when_it_is_due(store: Arc<Desk>) {
    let delayed = NewDelivery {
        due: at(5_000),
        ..delivery("a", changes(&["/a", "*"]))
    };
    assert_eq!(store.take_delivery(delayed).await.unwrap(), Taken::New(2));
    assert_eq!(queued(&store).await, Vec::<String>::new());
    assert_eq!(state(&store, "a").await, DeliveryState::Queued);
    assert_eq!(
        store.due_deliveries().await.unwrap().changes,
        Some(at(5_000))
    );
    assert_eq!(store.release_deliveries(at(4_999), 10).await.unwrap(), 0);
    let mut heard = store.subscribe();
    heard.borrow_and_update();
    assert_eq!(store.release_deliveries(at(5_000), 10).await.unwrap(), 1);
    assert!(heard.has_changed().unwrap());
    assert_eq!(queued(&store).await, ["1 /a", "2 *"]);
    let rows = store.queued_after(Seq(0), 1).await.unwrap();
    assert_eq!((rows[0].seen, rows[0].source), (at(5_000), Source::Webhook));
    assert_eq!(store.release_deliveries(at(9_000), 10).await.unwrap(), 0);
    assert_eq!(store.due_deliveries().await.unwrap().changes, None);
    assert_eq!(state(&store, "a").await, DeliveryState::Queued);
}

async fn no_time_stays_further_ahead_than_was_asked_for(store: Arc<Desk>) {
    let day = 86_400_000;
    let take = async |event, route: &str, came: u64, delay, work| {
        let of = NewDelivery {
            route: route.into(),
            at: at(came),
            due: at(came + delay),
            ..delivery(event, work)
        };
        store.take_delivery(of).await.unwrap()
    };
    // The clock was a day ahead, and was set back.
    take("a", "/hooks/www", day, 5_000, changes(&["/a"])).await;
    take("s", "/hooks/www", day, 2_000, Work::Scan).await;
    take("n", "/hooks/www", day, 0, changes(&[])).await;
    // By the setting of then; it is less now.
    take("b", "/hooks/less", 1_000, 9_000, changes(&["/b"])).await;
    // By a route that is gone.
    take("c", "/hooks/gone", 1_000, 9_000, changes(&["/c"])).await;
    let delays = [("/hooks/www", 60_000), ("/hooks/less", 1_000)];
    let delays = delays.map(|(route, delay)| (route.to_owned(), Duration::from_millis(delay)));
    for now in [1_000, 2_500] {
        let begun = store.begin_deliveries(delays.clone().into(), at(now));
        begun.await.unwrap();
        let due = store.due_deliveries().await.unwrap();
        assert_eq!(due.changes, Some(at(2_000)));
        assert_eq!(due.scans, [(pipeline(WWW), at(3_000))]);
    }
    for (now, released) in [(2_000, 1), (5_999, 0), (6_000, 1), (9_999, 0), (10_000, 1)] {
        let count = store.release_deliveries(at(now), 10).await.unwrap();
        assert_eq!(count, released, "{now}");
    }
    // What came in the future is not known until then.
    let again = take("n", "/hooks/www", 1_099, 0, changes(&[])).await;
    assert_eq!(again, Taken::Duplicate);
    let again = take("n", "/hooks/www", 1_100, 0, changes(&[])).await;
    assert_eq!(again, Taken::New(0));
}

async fn a_scan_is_waited_for_and_followed_until_what_it_found_is_purged(store: Arc<Desk>) {
    // Noticed by a watch before the delivery came, and of the same deploy.
    fill(&store, &["/noticed"]).await;
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
    fill(&store, &["/found"]).await;
    store.append(vec![change(SHOP, "/other")]).await.unwrap();
    let done = ScanDone {
        pipeline: pipeline(WWW),
        through: at(1_999),
        delivery: u64::MAX,
        last: Seq(3),
        without: String::new(),
    };
    store.scanned_for_deliveries(done).await.unwrap();
    let due = store.due_deliveries().await.unwrap();
    assert_eq!(due.scans, [(pipeline(WWW), at(2_000))]);
    let record = store.delivery("/hooks/www".to_owned(), "a".to_owned());
    assert_eq!(record.await.unwrap().unwrap().queued, 2, "not the shop's");
    assert_eq!(state(&store, "b").await, DeliveryState::Queued);
    store
        .decide(vec![open(1, WWW, &[("/noticed", 1), ("/found", 2)])])
        .await
        .unwrap();
    assert_eq!(state(&store, "a").await, DeliveryState::Submitted);
    let done = ScanDone {
        pipeline: pipeline(WWW),
        through: at(2_000),
        delivery: u64::MAX,
        last: Seq(3),
        without: String::new(),
    };
    store.scanned_for_deliveries(done).await.unwrap();
    assert_eq!(
        state(&store, "b").await,
        DeliveryState::Submitted,
        "what is on its way when the scan ends is waited for"
    );
    store.decide(vec![settled(1, Outcome::Done)]).await.unwrap();
    assert_eq!(state(&store, "a").await, DeliveryState::Done);
    assert_eq!(state(&store, "b").await, DeliveryState::Done);
    assert_eq!(store.due_deliveries().await.unwrap().scans, []);
}

async fn deliveries_are_forgotten_when_nobody_can_ask_for_them_any_more(store: Arc<Desk>) {
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
    assert_eq!(state(&store, "w").await, DeliveryState::Queued);
}

async fn how_far_it_is_is_counted_in_assets_and_requests(store: Arc<Desk>) {
    let told = async |event: &str| {
        let found = store.delivery_progress("/hooks/www".to_owned(), event.to_owned());
        let progress = found.await.unwrap().unwrap();
        let DeliveryProgress {
            phase,
            assets,
            requests,
            ..
        } = progress;
        (phase, assets, requests)
    };
    let delayed = NewDelivery {
        due: at(5_000),
        ..delivery("later", changes(&["/a", "*"]))
    };
    store.take_delivery(delayed).await.unwrap();
    assert_eq!(told("later").await, (Phase::Delayed, 1, 0));
    store
        .take_delivery(delivery("scan", Work::Scan))
        .await
        .unwrap();
    assert_eq!(told("scan").await, (Phase::Scanning, 0, 0));
    fill(&store, &["/a", "/b", "/a"]).await;
    store.append(vec![change(SHOP, "/other")]).await.unwrap();
    assert_eq!(told("scan").await, (Phase::Scanning, 2, 0), "so far");
    let done = ScanDone {
        pipeline: pipeline(WWW),
        through: at(1_000),
        delivery: u64::MAX,
        last: Seq(4),
        without: String::new(),
    };
    store.scanned_for_deliveries(done).await.unwrap();
    assert_eq!(told("scan").await, (Phase::Queued, 2, 0));
    let first = open(1, WWW, &[("/a", 3)]);
    store.decide(vec![first]).await.unwrap();
    assert_eq!(told("scan").await, (Phase::Queued, 2, 1));
    let second = open(2, WWW, &[("/b", 2)]);
    store.decide(vec![second]).await.unwrap();
    assert_eq!(told("scan").await, (Phase::Submitted, 2, 2));
    let ends = vec![settled(1, Outcome::Done), settled(2, Outcome::Failed)];
    store.decide(ends).await.unwrap();
    assert_eq!(told("scan").await, (Phase::Failed, 2, 2));
}

async fn why_it_is_not_purged_is_told_in_the_api_s_words(store: Arc<Desk>) {
    let told = async |store: &Desk| {
        let found = store.delivery("/hooks/www".to_owned(), "a".to_owned());
        let reasons = found.await.unwrap().unwrap().reasons;
        let told = reasons.into_iter().map(|reason| {
            let request = reason.request.map_or("-".to_owned(), |id| id.to_string());
            let (stage, why) = (reason.stage, reason.why);
            format!("{stage} {request} {}: {why}", reason.assets.join(" "))
        });
        told.collect::<Vec<_>>()
    };
    let work = changes(&["/a", "/b", "/c"]);
    store.take_delivery(delivery("a", work)).await.unwrap();
    assert_eq!(told(&store).await, [""; 0], "nothing was tried");
    let first = open(1, WWW, &[("/a", 1), ("/b", 2)]);
    store.decide(vec![first]).await.unwrap();
    assert_eq!(told(&store).await, [""; 0]);
    let unsent = settled(1, Outcome::Unsent);
    store.decide(vec![unsent]).await.unwrap();
    assert_eq!(told(&store).await, ["queued 1 /a /b: so"]);
    let second = open(2, WWW, &[("/a", 1), ("/c", 3)]);
    let failed = vec![second, settled(2, Outcome::Failed)];
    store.decide(failed).await.unwrap();
    assert_eq!(
        told(&store).await,
        ["failed 2 /a /c: so", "queued 1 /b: so"]
    );
    store.drop_queue(pipeline(WWW), 100, None).await.unwrap();
    assert_eq!(
        told(&store).await,
        ["dropped - /a /b /c: a person dropped it"]
    );
}

async fn of_many_that_come_at_once_each_is_taken_once(store: Arc<Desk>) {
    let all = (0..100_u8).map(|number| {
        let mut one = delivery("x", changes(&[]));
        one.dedupe_key = Some([number % 10; 32]);
        one.event = number.to_string().into();
        store.take_delivery(one)
    });
    let taken = futures_util::future::try_join_all(all).await.unwrap();
    let new = taken.iter().filter(|one| **one == Taken::New(0)).count();
    assert_eq!(new, 10);
}

async fn what_waits_is_announced_though_nobody_waits_for_the_answer(store: Arc<Desk>) {
    let delayed = NewDelivery {
        due: at(2_000),
        ..delivery("delayed", changes(&["/a"]))
    };
    for waits in [delivery("scan", Work::Scan), delayed] {
        let mut heard = store.subscribe_waiting();
        let event = waits.event.to_string();
        drop(store.take_delivery(waits));
        let told = tokio::time::timeout(Duration::from_secs(10), heard.changed());
        told.await.expect("nobody is told").unwrap();
        assert_eq!(state(&store, &event).await, DeliveryState::Queued);
    }
    // What is queued at once does not wake the job of those that wait.
    let heard = store.subscribe_waiting();
    let taken = store.take_delivery(delivery("now", changes(&["/b"])));
    assert_eq!(taken.await.unwrap(), Taken::New(1));
    assert!(!heard.has_changed().unwrap());
}
