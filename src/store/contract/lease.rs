//! Terms: who leads, and what is refused out of its term.

use super::*;

contract! {
    a_term_that_is_over_decides_nothing
    of_two_nodes_that_read_the_same_one_leads
    a_lease_moves_when_its_leader_renews_it_and_for_no_other
    who_resigns_leads_no_longer
    a_node_is_forgotten_only_while_it_stands_still_and_is_back_with_its_next_beat
}

const NODE: NodeId = NodeId(2);

async fn a_term_that_is_over_decides_nothing(store: Arc<Desk>) {
    fill(&store, &["/a", "/b"]).await;
    store
        .decide(vec![open(1, WWW, &[("/a", 1)])])
        .await
        .unwrap();
    let read = store.lease().await.unwrap();
    // A smaller number than the first, as it may be: terms have no order.
    let begun = store.store().take_over(read, Term(-7), NODE, at(9)).await;
    let leader = begun.unwrap().unwrap();
    let refused = [
        store.decide(vec![accepted(1)]).await,
        store.drop_queue(pipeline(WWW), 9, None).await.map(drop),
        store.purge_again(at(9), 9).await.map(drop),
        store.prune(at(9), 9).await.map(drop),
    ];
    for refused in refused {
        assert!(
            matches!(refused, Err(StoreError::Superseded)),
            "{refused:?}"
        );
    }
    let unsettled = leader.unsettled().await.unwrap().requests;
    assert_eq!(unsettled[0].remote_id, None, "nothing of it was kept");
    assert_eq!(queued(&leader).await, ["2 /b"]);
    leader.decide(vec![accepted(1)]).await.unwrap();
    // Changes are every node's.
    fill(&store, &["/c"]).await;
    assert_eq!(queued(&leader).await, ["2 /b", "3 /c"]);
}

async fn of_two_nodes_that_read_the_same_one_leads(store: Arc<Desk>) {
    let read = store.lease().await.unwrap();
    let both = [(Term(5), NODE), (Term(6), NodeId(3))]
        .map(|(term, node)| store.store().take_over(read, term, node, at(9)));
    let [first, second] = both;
    assert!(first.await.unwrap().is_some());
    assert!(second.await.unwrap().is_none());
    let now = store.lease().await.unwrap();
    assert_eq!((now.term, now.leader), (Term(5), Some(NODE)));
}

async fn a_lease_moves_when_its_leader_renews_it_and_for_no_other(store: Arc<Desk>) {
    let read = store.lease().await.unwrap();
    assert!(
        !store.renew(Term(5)).await.unwrap(),
        "it is of another term"
    );
    assert_eq!(store.lease().await.unwrap(), read);
    assert!(store.renew(read.term).await.unwrap());
    let renewed = store.lease().await.unwrap();
    assert_ne!(renewed.beat, read.beat);
    assert_eq!((renewed.term, renewed.leader), (read.term, read.leader));
    let late = store.store().take_over(read, Term(5), NODE, at(9)).await;
    assert!(late.unwrap().is_none(), "it has moved since it was read");
}

async fn who_resigns_leads_no_longer(store: Arc<Desk>) {
    let read = store.lease().await.unwrap();
    assert_eq!(read.leader, Some(NodeId::ONLY));
    store.resign(Term(5)).await.unwrap();
    assert_eq!(store.lease().await.unwrap(), read, "it is of another term");
    store.resign(read.term).await.unwrap();
    let LeaseRow { term, leader, beat } = store.lease().await.unwrap();
    assert_eq!((term, leader), (read.term, None));
    assert_ne!(beat, read.beat);
}

async fn a_node_is_forgotten_only_while_it_stands_still_and_is_back_with_its_next_beat(
    store: Arc<Desk>,
) {
    let beat = async |millis| store.beat(at(millis)).await.unwrap().remove(0);
    let (before, now) = (beat(1).await, beat(2).await);
    assert_ne!(before.beat, now.beat);
    assert_eq!((now.id, now.since, now.leads), (store.node(), at(2), true));
    assert!(
        !store.forget(now.id, before.beat).await.unwrap(),
        "it moves"
    );
    assert!(store.forget(now.id, now.beat).await.unwrap());
    let back = beat(3).await;
    assert_eq!((back.id, back.has_left), (now.id, false));
    store.leave().await.unwrap();
    let resigned = store.resign(store.term()).await;
    resigned.unwrap();
    let back = beat(4).await;
    assert_eq!((back.has_left, back.leads), (false, false));
}
