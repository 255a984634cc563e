//! What the nodes of a fleet compare, and how far they say that they agree.

use super::*;
use crate::core::agreement::{Content, Fact, File, Member};

contract! {
    facts_of_all_nodes_come_in_order_with_who_noticed_them_and_pages_go_past_what_is_none
    the_first_queued_change_of_each_pipeline_is_known
    what_a_node_says_of_its_agreement_replaces_what_it_said_and_can_be_taken_back
}

fn noticed(kind: Kind, hash: Option<[u8; 32]>) -> NewChange {
    let mut row = change(WWW, "/a");
    row.kind = kind;
    row.file = row.file.map(|file| FileFact { hash, ..file });
    row
}

async fn facts_of_all_nodes_come_in_order_with_who_noticed_them_and_pages_go_past_what_is_none(
    store: Arc<Desk>,
) {
    let asked = NewChange {
        file: None,
        ..change(SHOP, "/asked")
    };
    let rows = vec![
        noticed(Kind::Changed, Some([7; 32])),
        asked.clone(),
        noticed(Kind::Gone, None),
        noticed(Kind::New, None),
        asked,
    ];
    store.append(rows).await.unwrap();
    let first = store.facts_of_all_after(Seq(0), 2).await.unwrap();
    assert_eq!(first.last, Seq(5), "there is more than the page");
    let file = File {
        origin: "site".into(),
        path: b"/a\xff".to_vec(),
    };
    let fact = |seq, content| {
        Some(Fact {
            seq: Seq(seq),
            node: store.node(),
            file: file.clone(),
            content,
        })
    };
    assert_eq!(first.changes[0].fact, fact(1, Content::Hash([7; 32])));
    assert_eq!(first.changes[0].pipeline, pipeline(WWW));
    let asked = &first.changes[1];
    assert_eq!((asked.seq, &asked.fact), (Seq(2), &None));
    assert_eq!(asked.pipeline, pipeline(SHOP));
    let rest = store.facts_of_all_after(Seq(2), 9).await.unwrap();
    assert_eq!(rest.changes[0].fact, fact(3, Content::Gone));
    assert_eq!(rest.changes[1].fact, fact(4, Content::Unread));
    assert_eq!(rest.changes.len(), 3);
}

async fn the_first_queued_change_of_each_pipeline_is_known(store: Arc<Desk>) {
    assert_eq!(
        store.first_queued().await.unwrap(),
        (BTreeMap::new(), Seq(0))
    );
    fill(&store, &["/a", "/b"]).await;
    store.append(vec![change(SHOP, "/c")]).await.unwrap();
    store
        .decide(vec![open(1, WWW, &[("/a", 1)])])
        .await
        .unwrap();
    let first = BTreeMap::from([(pipeline(SHOP), Seq(3)), (pipeline(WWW), Seq(2))]);
    assert_eq!(store.first_queued().await.unwrap(), (first, Seq(3)));
}

async fn what_a_node_says_of_its_agreement_replaces_what_it_said_and_can_be_taken_back(
    store: Arc<Desk>,
) {
    let compared = |agreed, lagging: &[u64]| Compared {
        agreed: Seq(agreed),
        lagging: lagging.iter().copied().map(Seq).collect(),
    };
    let member = |of, compared| Member {
        node: store.node(),
        pipeline: pipeline(of),
        compared,
    };
    let said = async || store.members().await.unwrap();
    let publish = async |of, compared| {
        let said = vec![(pipeline(of), compared)];
        store.publish_agreement(said).await.unwrap();
    };
    publish(WWW, Some(compared(9, &[3, 7]))).await;
    publish(SHOP, Some(compared(9, &[]))).await;
    publish(WWW, Some(compared(10, &[7]))).await;
    let both = vec![
        member(SHOP, compared(9, &[])),
        member(WWW, compared(10, &[7])),
    ];
    assert_eq!(said().await, both);
    publish(SHOP, None).await;
    assert_eq!(said().await, both[1..]);
    publish(SHOP, Some(compared(9, &[]))).await;
    store.disarm().await.unwrap();
    assert!(said().await.is_empty());
}
