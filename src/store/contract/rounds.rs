//! Rounds: what each node does once, whichever asked for it.

use super::deliveries::delivery;
use super::*;
use crate::core::delivery::{DeliveryState, NewDelivery, Work};
use crate::core::round::{DeliveryRound, DueRounds, KEPT, NewRound, RoundId, RoundKind, Served};

contract! {
    a_node_does_the_rounds_of_its_pipelines_and_says_so
    rounds_that_are_open_together_are_done_together_and_a_loss_is_accepted_on_the_node_that_is_named
    a_round_serves_the_deliveries_that_were_there_and_due_and_no_later_one
    a_round_that_was_forgotten_is_known_and_no_round_that_comes_after_counts_as_done
    the_next_leader_goes_on_with_the_round_of_the_one_before
    of_many_rounds_the_last_are_kept_of_each_kind_and_no_number_is_given_twice
    what_is_pending_is_queued_or_in_flight_up_to_a_change
}

/// Before the first.
const NONE: RoundId = RoundId(0);

fn asked(kind: RoundKind) -> NewRound {
    NewRound {
        pipeline: pipeline(WWW),
        kind,
        accept_loss: None,
    }
}

async fn open_round(store: &Desk, kind: RoundKind) -> RoundId {
    store.open_round(asked(kind)).await.unwrap()
}

async fn due(store: &Desk, kind: RoundKind) -> Option<DueRounds> {
    store.due_rounds(pipeline(WWW), kind).await.unwrap()
}

/// The last round that each node has done, the last change by then, and what it found.
async fn served(store: &Desk, name: &str, kind: RoundKind) -> Vec<(NodeId, u64, u64, String)> {
    let served = store.served(pipeline(name), kind).await.unwrap();
    let row = |one: Served| (one.node, one.round.0, one.last.0, one.report);
    served.into_iter().map(row).collect()
}

async fn a_node_does_the_rounds_of_its_pipelines_and_says_so(store: Arc<Desk>) {
    use RoundKind::{Notice, Scan};
    let first = open_round(&store, Scan).await;
    assert_eq!(due(&store, Scan).await, None, "it takes no part");
    let part = vec![pipeline(WWW), pipeline(SHOP)];
    store.take_part(part).await.unwrap();
    let to_do = DueRounds {
        last: first,
        asked: true,
        accept_loss: false,
    };
    assert_eq!(due(&store, Scan).await, Some(to_do));
    assert_eq!(due(&store, Notice).await, None);
    fill(&store, &["/a", "/b"]).await;
    let report = || "[1]".to_owned();
    let done = store.serve(pipeline(WWW), Scan, first, report());
    done.await.unwrap();
    assert_eq!(due(&store, Scan).await, None);
    let mine = (store.node(), first.0, 2, report());
    assert_eq!(served(&store, WWW, Scan).await, std::slice::from_ref(&mine));
    assert_eq!(served(&store, WWW, Notice).await[0].1, 0);
    let second = open_round(&store, Notice).await;
    assert!(second > first);
    assert_eq!(due(&store, Notice).await.unwrap().last, second);
    assert_eq!(store.last_round().await.unwrap(), second);
    // What it has done stays where it is, and what it has no origins of any more goes.
    store.take_part(vec![pipeline(WWW)]).await.unwrap();
    assert_eq!(served(&store, WWW, Scan).await, [mine]);
    assert_eq!(served(&store, SHOP, Scan).await, []);
    let row = store.served(pipeline(WWW), Scan).await.unwrap().remove(0);
    store.leave().await.unwrap();
    let left = store.served(pipeline(WWW), Scan).await.unwrap().remove(0);
    assert_eq!((row.has_left, left.has_left), (false, true));
    store.forget(row.node, row.beat).await.unwrap();
    assert_eq!(served(&store, WWW, Scan).await, []);
    // One that comes back has said nothing of the rounds of before.
    store.take_part(vec![pipeline(WWW)]).await.unwrap();
    store.beat(at(9)).await.unwrap();
    assert_eq!(served(&store, WWW, Scan).await[0].1, 0);
}

async fn rounds_that_are_open_together_are_done_together_and_a_loss_is_accepted_on_the_node_that_is_named(
    store: Arc<Desk>,
) {
    store.take_part(vec![pipeline(WWW)]).await.unwrap();
    for accept_loss in [Some(NodeId(99)), Some(store.node()), None] {
        let new = NewRound {
            accept_loss,
            ..asked(RoundKind::Scan)
        };
        store.open_round(new).await.unwrap();
        let accepts = due(&store, RoundKind::Scan).await.unwrap().accept_loss;
        assert_eq!(accepts, accept_loss != Some(NodeId(99)), "{accept_loss:?}");
    }
    let last = store.last_round().await.unwrap();
    let done = store.serve(pipeline(WWW), RoundKind::Scan, last, String::new());
    done.await.unwrap();
    assert_eq!(due(&store, RoundKind::Scan).await, None);
    open_round(&store, RoundKind::Scan).await;
    assert!(!due(&store, RoundKind::Scan).await.unwrap().accept_loss);
    // Rounds of before are done once more by a node that had no part in them meanwhile; the loss of now is another.
    store.take_part(Vec::new()).await.unwrap();
    store.take_part(vec![pipeline(WWW)]).await.unwrap();
    assert!(!due(&store, RoundKind::Scan).await.unwrap().accept_loss);
}

async fn a_round_that_was_forgotten_is_known_and_no_round_that_comes_after_counts_as_done(
    store: Arc<Desk>,
) {
    store.take_part(vec![pipeline(WWW)]).await.unwrap();
    let is_forgotten = async |round| {
        let forgotten = store.round_is_forgotten(pipeline(WWW), RoundKind::Scan, round);
        forgotten.await.unwrap()
    };
    let first = open_round(&store, RoundKind::Scan).await;
    // As if one had been opened after it that a failover forgot.
    let gone = RoundId(first.0 + (1 << 20));
    assert!(is_forgotten(gone).await && !is_forgotten(first).await);
    let other = open_round(&store, RoundKind::Scan).await;
    assert_ne!(other, gone);
    let done = store.serve(pipeline(WWW), RoundKind::Scan, gone, String::new());
    done.await.unwrap();
    assert_eq!(due(&store, RoundKind::Scan).await.unwrap().last, other);
    // One that is not kept any more is done as it was asked.
    for _ in 0..KEPT {
        open_round(&store, RoundKind::Scan).await;
    }
    assert!(!is_forgotten(first).await);
}

async fn take_scan(store: &Desk, event: &str, due: u64) {
    let asked = NewDelivery {
        dedupe_key: None,
        due: at(due),
        ..delivery(event, Work::Scan)
    };
    store.take_delivery(asked).await.unwrap();
}

async fn state(store: &Desk, event: &str) -> (DeliveryState, String) {
    let found = store.delivery("/hooks/www".to_owned(), event.to_owned());
    let record = found.await.unwrap().unwrap();
    (record.state, record.without)
}

async fn of_deliveries(
    store: &Desk,
    after: RoundId,
    now: u64,
) -> Result<DeliveryRound, StoreError> {
    store
        .round_of_deliveries(pipeline(WWW), after, at(now))
        .await
}

async fn made(store: &Desk, round: DeliveryRound, without: &str) {
    let done = ScanDone {
        pipeline: pipeline(WWW),
        through: round.due,
        delivery: round.last,
        last: Seq(0),
        without: without.to_owned(),
    };
    store.scanned_for_deliveries(done).await.unwrap();
}

async fn a_round_serves_the_deliveries_that_were_there_and_due_and_no_later_one(store: Arc<Desk>) {
    use DeliveryState::{Done, Queued};
    store.take_part(vec![pipeline(WWW)]).await.unwrap();
    // One that a person asks for serves none.
    let before = open_round(&store, RoundKind::Scan).await;
    take_scan(&store, "a", 1_000).await;
    take_scan(&store, "later", 3_000).await;
    let round = of_deliveries(&store, NONE, 2_000).await.unwrap();
    assert!(round.id > before && round.due == at(2_000), "{round:?}");
    assert!(due(&store, RoundKind::Scan).await.unwrap().asked);
    // By the clock of the node that took it, it came before.
    take_scan(&store, "behind", 500).await;
    assert_eq!(of_deliveries(&store, NONE, 2_500).await.unwrap(), round);
    made(&store, round, "web-3").await;
    assert_eq!(state(&store, "a").await, (Done, "web-3".to_owned()));
    for waits in ["later", "behind"] {
        assert_eq!(state(&store, waits).await, (Queued, String::new()));
    }
    let next = of_deliveries(&store, NONE, 2_500).await.unwrap();
    assert!(next.id > round.id);
    // It came to nothing, and one more is made for the same.
    let again = of_deliveries(&store, next.id, 4_000).await.unwrap();
    assert!(again.id > next.id);
    made(&store, again, "").await;
    for done in ["later", "behind"] {
        assert_eq!(state(&store, done).await, (Done, String::new()));
    }
}

async fn the_next_leader_goes_on_with_the_round_of_the_one_before(store: Arc<Desk>) {
    take_scan(&store, "a", 1_000).await;
    let round = of_deliveries(&store, NONE, 2_000).await.unwrap();
    let read = store.lease().await.unwrap();
    let next = store.store().take_over(read, Term(7), NodeId(2), at(9));
    let next = next.await.unwrap().unwrap();
    let refused = of_deliveries(&store, round.id, 2_000).await;
    assert!(
        matches!(refused, Err(StoreError::Superseded)),
        "{refused:?}"
    );
    assert_eq!(of_deliveries(&next, NONE, 5_000).await.unwrap(), round);
    assert_eq!(store.last_round().await.unwrap(), round.id);
}

async fn of_many_rounds_the_last_are_kept_of_each_kind_and_no_number_is_given_twice(
    store: Arc<Desk>,
) {
    store.take_part(vec![pipeline(WWW)]).await.unwrap();
    take_scan(&store, "a", 1_000).await;
    let scan = of_deliveries(&store, NONE, 2_000).await.unwrap();
    let mut last = scan.id;
    for _ in 0..3 * KEPT {
        let next = open_round(&store, RoundKind::Notice).await;
        assert!(next > last);
        last = next;
    }
    let to_do = due(&store, RoundKind::Scan).await.unwrap();
    assert_eq!((to_do.last, to_do.asked), (scan.id, false));
    assert_eq!(due(&store, RoundKind::Notice).await.unwrap().last, last);
    // The round of the delivery is among those that are forgotten: another one serves it.
    for _ in 0..KEPT {
        last = open_round(&store, RoundKind::Scan).await;
    }
    let other = of_deliveries(&store, NONE, 2_000).await.unwrap();
    assert!(other.id > last);
}

async fn what_is_pending_is_queued_or_in_flight_up_to_a_change(store: Arc<Desk>) {
    let pending = async |last| store.is_pending(pipeline(WWW), Seq(last)).await.unwrap();
    assert!(!pending(0).await);
    store.append(vec![change(SHOP, "/a")]).await.unwrap();
    fill(&store, &["/a", "/b"]).await;
    assert_eq!(
        [pending(1).await, pending(2).await, pending(3).await],
        [false, true, true]
    );
    let opened = open(1, WWW, &[("/a", 2)]);
    store.decide(vec![opened]).await.unwrap();
    assert!(pending(2).await, "it is in flight");
    let done = settled(1, Outcome::Done);
    store.decide(vec![done]).await.unwrap();
    assert_eq!([pending(2).await, pending(3).await], [false, true]);
    let opened = open(2, WWW, &[("/b", 3)]);
    let failed = settled(2, Outcome::Failed);
    store.decide(vec![opened, failed]).await.unwrap();
    assert!(!pending(3).await, "it is given up");
    let all = Decision::QueueAll {
        pipeline: pipeline(WWW),
        reason: AllReason::Rule,
        since: at(4),
    };
    store.decide(vec![all]).await.unwrap();
    assert!(pending(0).await, "everything is to be purged");
}
