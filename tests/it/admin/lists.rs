//! The lists of the API: what is in them, and one way to read them page by page.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::bench::PIPELINE;
use crate::webhooks::{address, post, with_route};

/// Reads a list to its end, by the cursor of each page; each row once.
async fn all(bench: &Bench, list: &str, number: &str, query: &str) -> Vec<Value> {
    let name = if list == "requests" {
        "purge_requests"
    } else {
        list
    };
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(bench, &format!("/api/v1/{list}?page_size=3{query}{cursor}")).await;
        let total = page["total_count"].as_u64().unwrap();
        let here = page[name].as_array().unwrap().clone();
        assert!((1..=3).contains(&here.len()), "{page}");
        rows.extend(here);
        let Some(next) = page["next"].as_u64() else {
            assert_eq!(rows.len() as u64, total, "{page}");
            let numbers: BTreeSet<u64> = rows
                .iter()
                .map(|row| row[number].as_u64().unwrap())
                .collect();
            assert_eq!(numbers.len(), rows.len(), "each once");
            return rows;
        };
        cursor = format!("&cursor={next}");
    }
}

/// A daemon that has purged eight assets for eight deliveries.
async fn purged_eight() -> Bench {
    let mut bench = Bench::new().await;
    with_route(&mut bench, "generic", "purge = \"files\"", "");
    bench.pipeline.push_str("max_assets = 1\ndebounce = \"0s\"");
    bench.start().await;
    let address = address(&bench).await;
    for number in 0..8 {
        let answer = post(&address, &json!({ "paths": [format!("{number}.css")] })).await;
        assert_eq!(answer.unwrap().status, 202);
        bench.purged(&format!("/{number}.css")).await;
    }
    bench.rested().await;
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_is_read_in_the_same_way() {
    let bench = purged_eight().await;
    for (list, number) in [("requests", "id"), ("changes", "seq"), ("deliveries", "id")] {
        let newest = all(&bench, list, number, "").await;
        assert_eq!(newest.len(), 8, "{list}");
        let mut oldest = all(&bench, list, number, "&order_by=created_at_asc").await;
        oldest.reverse();
        assert_eq!(newest, oldest, "{list}");
        let name = if list == "requests" {
            "purge_requests"
        } else {
            list
        };
        let path = |query: &str| format!("/api/v1/{list}?{query}");
        let second = get(&bench, &path("page=2&page_size=3")).await;
        assert_eq!(second[name].as_array().unwrap()[..], newest[3..6], "{list}");
        assert_eq!(get(&bench, &path("limit=3&page=2")).await, second, "{list}");
        let beyond = get(&bench, &path("page=9")).await;
        assert_eq!((&beyond[name], &beyond["next"]), (&json!([]), &Value::Null));
        for of in [PIPELINE, "www"] {
            let ours = get(&bench, &path(&format!("pipeline_id={of}"))).await;
            assert_eq!(ours["total_count"], 8, "{list}");
        }
        let other = "77777777-7777-4777-8777-777777777777";
        let none = get(&bench, &path(&format!("pipeline_id={other}"))).await;
        assert_eq!(none["total_count"], 0, "{list}");
        for wrong in [
            "page_size=0",
            "page_size=1001",
            "limit=18446744073709551615",
            "page=0",
            "page=1&cursor=3",
            "page_size=3&limit=3",
            "cursor=x",
            "before=3",
        ] {
            let (status, document) = json(Door::Socket.request(&bench, "GET", &path(wrong))).await;
            assert!(matches!(status, 400 | 422), "{list}?{wrong}: {document}");
            assert_eq!(document["class"], "invalid", "{list}?{wrong}: {document}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_says_what_became_of_each_row() {
    let bench = purged_eight().await;
    let changes = get(&bench, "/api/v1/changes?asset=/3.css").await;
    let change = &changes["changes"][0];
    assert_eq!(changes["total_count"], 1, "{changes}");
    assert_eq!(change["stage"], "done", "{changes}");
    assert_eq!(change["source"], "webhook", "{changes}");
    let request = change["request"].as_u64().unwrap();
    let request = get(&bench, &format!("/api/v1/requests/{request}")).await;
    assert_eq!(request["assets"], json!(["/3.css"]));
    assert!(request["remote_id"].is_string(), "{request}");
    let done = get(&bench, "/api/v1/requests?status=done").await;
    assert_eq!(done["total_count"], 8);
    let failed = get(&bench, "/api/v1/changes?status=failed").await;
    assert_eq!(failed["total_count"], 0);
    // Of a range, what became of all of it, however short the page is.
    let range = get(&bench, "/api/v1/changes?first=2&last=5&page_size=1").await;
    assert_eq!(
        (&range["done"], &range["total_count"]),
        (&json!(4), &json!(4))
    );
    let deliveries = get(&bench, "/api/v1/deliveries?route=/hooks/www").await;
    let delivery = &deliveries["deliveries"][0];
    assert_eq!(delivery["state"], "done", "{deliveries}");
    assert_eq!(delivery["route"], "/hooks/www");
    assert_eq!(delivery["pipeline_id"], PIPELINE);

    let pipelines = get(&bench, "/api/v1/pipelines").await;
    let pipeline = &pipelines["pipelines"][0];
    assert_eq!(
        (&pipeline["name"], &pipeline["id"]),
        (&json!("www"), &json!(PIPELINE))
    );
    assert_eq!(pipeline["fresh"], true, "{pipelines}");
    assert_eq!(get(&bench, "/api/v1/pipelines/www").await["id"], PIPELINE);
}
