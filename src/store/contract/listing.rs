//! Lists of changes and deliveries: narrowed, ordered, and read in parts.

use std::time::Duration;

use super::*;
use crate::core::delivery::{NewDelivery, Work};

contract! {
    changes_are_listed_in_parts_and_narrowed
    deliveries_are_listed_in_parts_and_narrowed
    requests_are_found_by_source_time_and_a_part_of_a_name
}

/// Reads a list by the number of the last row of the part before.
async fn in_parts<T>(
    of: impl AsyncFn(Slice) -> Listed<T>,
    number: impl Fn(&T) -> u64,
    ascending: bool,
) -> Vec<u64> {
    let (mut numbers, mut cursor): (Vec<u64>, _) = (Vec::new(), None);
    loop {
        let slice = Slice {
            ascending,
            cursor,
            ..Slice::first(2)
        };
        let part = of(slice).await;
        assert_eq!(part.total_count, 5, "of the whole list");
        numbers.extend(part.rows.iter().map(&number));
        cursor = numbers.last().copied();
        if part.rows.len() < 2 {
            return numbers;
        }
    }
}

async fn changes_are_listed_in_parts_and_narrowed(store: Arc<Desk>) {
    fill(&store, &["/a", "/b", "*", "/a", "/c"]).await;
    store.append(vec![change(SHOP, "/a")]).await.unwrap();
    store
        .decide(vec![
            open(1, WWW, &[("/a", 4)]),
            accepted(1),
            settled(1, Outcome::Done),
        ])
        .await
        .unwrap();
    let www = async |slice| {
        let filter = ChangeFilter {
            pipeline: Some(pipeline(WWW)),
            slice,
            ..ChangeFilter::default()
        };
        store.changes(filter).await.unwrap()
    };
    let number = |record: &ChangeRecord| record.cause.seq.0;
    assert_eq!(in_parts(www, number, false).await, [5, 4, 3, 2, 1]);
    assert_eq!(in_parts(www, number, true).await, [1, 2, 3, 4, 5]);

    let any = || ChangeFilter {
        slice: Slice::first(10),
        ..ChangeFilter::default()
    };
    let numbers = async |filter: ChangeFilter| {
        let listed = store.changes(filter).await.unwrap();
        listed.rows.iter().map(number).collect::<Vec<_>>()
    };
    let done = ChangeFilter {
        stage: Some("done".to_owned()),
        ..any()
    };
    assert_eq!(numbers(done).await, [4, 1]);
    let of_asset = ChangeFilter {
        asset: Some("/a".to_owned()),
        last: Some(Seq(5)),
        ..any()
    };
    assert_eq!(numbers(of_asset).await, [4, 1]);
    let range = ChangeFilter {
        first: Some(Seq(3)),
        last: Some(Seq(4)),
        ..any()
    };
    let listed = store.changes(range).await.unwrap();
    let [of_a, of_all] = &listed.rows[..] else {
        panic!("{listed:?}")
    };
    assert_eq!((of_a.asset.as_deref(), of_a.request), (Some("/a"), Some(1)));
    assert_eq!((of_all.asset.as_deref(), of_all.request), (None, None));
    assert_eq!(of_all.cause.detail, "because");
}

async fn deliveries_are_listed_in_parts_and_narrowed(store: Arc<Desk>) {
    let delivery = |event: &str, name: &str, route: &str| NewDelivery {
        route: route.into(),
        event: event.into(),
        dedupe_key: None,
        dedupe: Duration::ZERO,
        what: "push".into(),
        pipeline: pipeline(name),
        at: at(1_000),
        due: at(1_000),
        work: Work::Changes(vec![change(name, "/a")]),
    };
    for event in ["a", "b", "c", "d", "e"] {
        let one = delivery(event, WWW, "/hooks/www");
        store.take_delivery(one).await.unwrap();
    }
    let other = delivery("f", SHOP, "/hooks/shop");
    store.take_delivery(other).await.unwrap();
    let www = async |slice| {
        let filter = DeliveryFilter {
            route: Some("/hooks/www".to_owned()),
            slice,
            ..DeliveryFilter::default()
        };
        store.deliveries(filter).await.unwrap()
    };
    let number = |listed: &ListedDelivery| listed.id;
    assert_eq!(in_parts(www, number, false).await, [5, 4, 3, 2, 1]);
    assert_eq!(in_parts(www, number, true).await, [1, 2, 3, 4, 5]);
    let shop = DeliveryFilter {
        pipeline: Some(pipeline(SHOP)),
        slice: Slice::first(10),
        ..DeliveryFilter::default()
    };
    let listed = store.deliveries(shop).await.unwrap();
    let one = &listed.rows[0];
    assert_eq!((&*one.route, &*one.record.event), ("/hooks/shop", "f"));
    assert_eq!((one.record.queued, listed.total_count), (1, 1));
}

async fn requests_are_found_by_source_time_and_a_part_of_a_name(store: Arc<Desk>) {
    fill(&store, &["/blog/a_b.html", "/50%.css"]).await;
    let mut asked = change(WWW, "*");
    asked.source = Source::Manual;
    store.append(vec![asked]).await.unwrap();
    store
        .decide(vec![open(1, WWW, &[("/blog/a_b.html", 1)])])
        .await
        .unwrap();
    store
        .decide(vec![open(2, WWW, &[("/50%.css", 2)])])
        .await
        .unwrap();
    purge_all(&store, 3, WWW, 3).await;
    let found = async |filter: RequestFilter| {
        let filter = RequestFilter {
            slice: Slice::first(10),
            ..filter
        };
        let listed = store.requests(filter).await.unwrap();
        assert_eq!(listed.total_count, listed.rows.len() as u64);
        let rows = listed.rows.into_iter();
        rows.map(|one| one.id).collect::<Vec<_>>()
    };
    let of = |source| RequestFilter {
        source: Some(source),
        ..RequestFilter::default()
    };
    assert_eq!(found(of(Source::Watch)).await, [2, 1]);
    assert_eq!(found(of(Source::Manual)).await, [3]);
    assert!(found(of(Source::Scan)).await.is_empty());
    for (text, numbers) in [
        ("BLOG/", vec![1]),
        ("%", vec![2]),
        ("a_b", vec![1]),
        ("a-b", vec![]),
        (".", vec![2, 1]),
        ("\\", vec![]),
    ] {
        let filter = RequestFilter {
            text: Some(text.to_owned()),
            ..RequestFilter::default()
        };
        assert_eq!(found(filter).await, numbers, "{text}");
    }
    for (from, numbers) in [(10, vec![3, 2, 1]), (11, vec![])] {
        let filter = RequestFilter {
            from: Some(at(from)),
            ..RequestFilter::default()
        };
        assert_eq!(found(filter).await, numbers, "{from}");
    }
}
