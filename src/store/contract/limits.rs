//! What a store remembers of the API: learned limits, what was overdue, whose ids are known.

use std::sync::Arc;

use super::*;
use crate::core::purge::{Learned, Limit};

contract! {
    learned_limits_are_remembered_and_the_last_word_counts
    what_was_overdue_is_told_of_the_change_and_of_its_next_request
    ids_that_settled_are_told_while_an_outcome_is_unknown
}

fn learned(limit: Limit, value: u64) -> Learned {
    Learned {
        limit,
        value,
        at: at(value),
    }
}

async fn learned_limits_are_remembered_and_the_last_word_counts(store: Arc<Desk>) {
    let www = || Limit::MaxAssets(pipeline(WWW));
    let shop = Limit::MaxAssets(pipeline(SHOP));
    for learned in [
        learned(Limit::Rate, 5_000),
        learned(www(), 3),
        learned(shop.clone(), 2),
        learned(Limit::Rate, 2_500),
        learned(www(), 1),
    ] {
        store.decide(vec![Decision::Learn(learned)]).await.unwrap();
    }
    let mut known = store.unsettled().await.unwrap().learned;
    known.sort_by(|a, b| a.limit.cmp(&b.limit));
    assert_eq!(
        known,
        [
            learned(Limit::Rate, 2_500),
            learned(shop, 2),
            learned(www(), 1)
        ]
    );
}

async fn what_was_overdue_is_told_of_the_change_and_of_its_next_request(store: Arc<Desk>) {
    fill(&store, &["/a", "/b"]).await;
    let flags = async || -> Vec<bool> {
        let rows = store.queued_after(Seq(0), 10).await.unwrap();
        rows.iter().map(|row| row.overdue).collect()
    };
    store
        .decide(vec![open(1, WWW, &[("/a", 1)]), accepted(1)])
        .await
        .unwrap();
    let overdue = settled(1, Outcome::Overdue);
    store.decide(vec![overdue]).await.unwrap();
    assert_eq!(flags().await, [true, false]);
    let again = vec![open(2, WWW, &[("/a", 1)]), open(3, WWW, &[("/b", 2)])];
    store.decide(again).await.unwrap();
    let requests = store.unsettled().await.unwrap().requests;
    let told: Vec<bool> = requests.iter().map(|request| request.overdue).collect();
    assert_eq!(told, [true, false]);
    // Another end does not take it back.
    store
        .decide(vec![settled(2, Outcome::Error)])
        .await
        .unwrap();
    assert_eq!(flags().await, [true]);
}

async fn ids_that_settled_are_told_while_an_outcome_is_unknown(store: Arc<Desk>) {
    fill(&store, &["/a", "/b", "/c"]).await;
    let ids = async || store.unsettled().await.unwrap().settled_remote_ids;
    let over = |id, name| {
        vec![
            open(id, WWW, &[(name, id)]),
            accepted(id),
            settled(id, Outcome::Done),
        ]
    };
    store.decide(over(1, "/a")).await.unwrap();
    store.decide(over(2, "/b")).await.unwrap();
    assert_eq!(ids().await, Vec::<String>::new(), "nobody looks for one");
    store
        .decide(vec![open(3, WWW, &[("/c", 3)])])
        .await
        .unwrap();
    assert_eq!(ids().await, ["r1", "r2"]);
    store.decide(vec![accepted(3)]).await.unwrap();
    assert_eq!(ids().await, Vec::<String>::new());
}
