//! The API as the client, and as other clients, see it.

use secrecy::ExposeSecret;

use super::*;
use crate::core::purge::RemoteStatus;
use crate::scaleway::OrderBy;

#[tokio::test]
async fn a_request_for_assets_goes_from_pending_to_done() {
    let world = World::new().await;
    world.sandbox.script(Fault::NeverFinish);
    let pending = world.create(&["/a", "/b?c=d"]).await.unwrap();
    assert_eq!(pending.value.status(), RemoteStatus::Pending);
    assert_eq!(pending.value.assets, ["/a", "/b?c=d"]);
    assert_eq!(pending.value.pipeline_id, WWW);
    assert!(pending.request_id.is_some() && pending.date.is_some());
    assert!(pending.json.get("all").is_none(), "{}", pending.json);

    world.purge(&["/a"]).await;
    let last = world.sandbox.requests().pop().unwrap();
    let done = world.client.get(&last.id).await.unwrap();
    assert_eq!(done.value.status(), RemoteStatus::Done);
    assert_eq!(done.value.id, last.id);
    assert!(done.value.updated_at >= done.value.created_at);
}

#[tokio::test]
async fn a_request_for_everything_has_no_assets() {
    let world = World::new().await;
    let made = world.create(&[]).await.unwrap();
    assert!(made.value.all && made.value.assets.is_empty());
    assert!(made.json.get("assets").is_none(), "{}", made.json);
}

#[tokio::test]
async fn a_purge_without_delay_is_done_in_the_answer_already() {
    let world = World::with(|settings| settings.purge_delay = Duration::ZERO, LIMIT).await;
    let made = world.create(&["/a"]).await.unwrap();
    assert_eq!(made.value.status(), RemoteStatus::Done);
}

#[tokio::test]
async fn pages_cover_everything_once_in_both_orders() {
    let world = World::new().await;
    for n in 0..7 {
        world.create(&[&format!("/{n}")]).await.unwrap();
    }
    for order in [OrderBy::CreatedAtAsc, OrderBy::CreatedAtDesc] {
        let mut assets = Vec::new();
        for number in 1..=4 {
            let query = ListQuery {
                order_by: Some(order),
                ..page(number, 3)
            };
            let got = world.client.list(&query).await.unwrap().value;
            assert_eq!(got.total_count, 7);
            assets.extend(got.purge_requests.into_iter().flat_map(|r| r.assets));
        }
        if order == OrderBy::CreatedAtDesc {
            assets.reverse();
        }
        assert_eq!(assets, ["/0", "/1", "/2", "/3", "/4", "/5", "/6"]);
    }
    let past_the_end = world.client.list(&page(9, 3)).await.unwrap().value;
    assert_eq!(
        (past_the_end.purge_requests.len(), past_the_end.total_count),
        (0, 7)
    );
}

#[tokio::test]
async fn a_list_has_20_a_page_unless_asked_otherwise() {
    let world = World::new().await;
    for _ in 0..21 {
        world.create(&["/a"]).await.unwrap();
    }
    let got = world.client.list(&ListQuery::default()).await.unwrap();
    assert_eq!(got.value.purge_requests.len(), 20);
    for query in [page(0, 1), page(1, 0), page(1, 101)] {
        let refused = world.client.list(&query).await.unwrap_err();
        assert_eq!(refused.class(), "unclear", "{query:?}");
    }
}

#[tokio::test]
async fn each_filter_narrows() {
    let world = World::new().await;
    world.create(&["/www"]).await.unwrap();
    let blog = PipelineId::new(BLOG);
    let target = CreateTarget::Assets(vec!["/blog".to_owned()]);
    world.client.create(&blog, &target).await.unwrap();
    let filter = |field: fn(&mut ListQuery) -> &mut Option<String>, value: &str| {
        let mut query = ListQuery::default();
        *field(&mut query) = Some(value.to_owned());
        query
    };
    let fields: [fn(&mut ListQuery) -> &mut Option<String>; 3] = [
        |query| &mut query.pipeline_id,
        |query| &mut query.project_id,
        |query| &mut query.organization_id,
    ];
    for (field, value) in fields
        .into_iter()
        .zip([BLOG, "project-of-blog", "organization-of-blog"])
    {
        let got = world
            .client
            .list(&filter(field, value))
            .await
            .unwrap()
            .value;
        assert_eq!(got.total_count, 1, "{value}");
        assert_eq!(got.purge_requests[0].assets, ["/blog"]);
        let none = world.client.list(&filter(field, "x")).await.unwrap().value;
        assert_eq!(none.total_count, 0);
    }
}

#[tokio::test]
async fn a_pipeline_tells_its_project() {
    let world = World::new().await;
    let got = world.client.get_pipeline(&PipelineId::new(BLOG)).await;
    let got = got.unwrap().value;
    assert_eq!(
        (
            got.name.as_str(),
            got.project_id.as_str(),
            got.status.as_str()
        ),
        ("blog", "project-of-blog", "ready")
    );
    let unknown = world.client.get_pipeline(&PipelineId::new("nobody")).await;
    assert_eq!(unknown.unwrap_err().class(), "not_found");
}

#[tokio::test]
async fn what_the_api_refuses_is_classed_and_nothing_is_made() {
    let world = World::new().await;
    let refused = world.create(&["no-slash"]).await.unwrap_err();
    assert_eq!(refused.class(), "invalid");
    assert!(
        refused
            .to_string()
            .contains("must begin with a slash: no-slash"),
        "{refused}"
    );
    let many = ["/1", "/2", "/3", "/4", "/5", "/6"];
    assert_eq!(world.create(&many).await.unwrap_err().class(), "invalid");
    let nobody = PipelineId::new("44444444-4444-4444-8444-444444444444");
    let unknown = world.client.create(&nobody, &CreateTarget::All).await;
    assert_eq!(unknown.unwrap_err().class(), "forbidden");
    let gone = world
        .client
        .get("44444444-4444-4444-8444-444444444444")
        .await;
    let gone = gone.unwrap_err();
    assert_eq!(gone.class(), "not_found");
    assert!(gone.to_string().contains("X-Request-Id: "), "{gone}");
    assert!(world.sandbox.requests().is_empty());
    assert_eq!(world.seen.count("create", "invalid"), 2);
    assert_eq!(world.seen.count("create", "forbidden"), 1);
    assert_eq!(world.seen.count("get", "not_found"), 1);
}

#[tokio::test]
async fn an_id_that_would_change_the_path_and_an_empty_purge_are_not_sent() {
    let world = World::new().await;
    for id in ["", "..", "../pipelines/x", "a/b", "a?b", "%2e%2e"] {
        let refused = world.client.get(id).await.unwrap_err();
        assert_eq!(refused.class(), "invalid", "{id}");
    }
    let nothing = CreateTarget::Assets(Vec::new());
    let refused = world.client.create(&PipelineId::new(WWW), &nothing).await;
    assert_eq!(refused.unwrap_err().class(), "invalid");
    assert!(world.sandbox.calls().is_empty());
}

#[tokio::test]
async fn a_new_key_is_used_from_the_next_call_on() {
    let world = World::new().await;
    world.sandbox.set_secret_key("another-secret-key".into());
    let refused = world.create(&["/a"]).await.unwrap_err();
    assert_eq!(refused.class(), "unauthorized");
    assert!(
        refused.to_string().contains("authentication is denied"),
        "{refused}"
    );
    world.client.set_secret_key("not\nsendable".into());
    let refused = world.create(&["/a"]).await.unwrap_err();
    assert_eq!(refused.class(), "unauthorized");
    world.client.set_secret_key("another-secret-key".into());
    world.create(&["/a"]).await.unwrap();
}

#[tokio::test]
async fn the_key_is_in_no_error_and_no_debug_output() {
    let world = World::new().await;
    let key = world.sandbox.secret_key();
    let key = key.expose_secret();
    world.sandbox.script(Fault::Refuse {
        status: 400,
        body: format!(r#"{{"message":"you sent {key}"}}"#),
    });
    let refused = world.create(&["/a"]).await.unwrap_err();
    assert!(
        refused.to_string().contains("you sent [secret]"),
        "{refused}"
    );
    let debug = format!("{:?} {:?} {refused:?}", world.client, world.sandbox);
    assert!(!debug.contains(key));
}

#[tokio::test]
async fn other_clients_get_what_the_recorded_api_gives() {
    let world = World::new().await;
    let body = format!(r#"{{"pipeline_id":"{WWW}","assets":["/a"],"all":false}}"#);
    for content_type in [
        Some("application/json; charset=utf-8"),
        Some("application/x-www-form-urlencoded"),
        None,
    ] {
        let mut request = world.raw(reqwest::Method::POST, "purge-requests");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let response = request.body(body.clone()).send().await.unwrap();
        assert_eq!(response.status(), 200, "{content_type:?}");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert!(response.headers().get("x-total-count").is_none());
        let text = response.text().await.unwrap();
        // Compact, keys in order, nanoseconds.
        assert!(
            text.starts_with(r#"{"assets":["/a"],"created_at":""#),
            "{text}"
        );
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let created = document["created_at"].as_str().unwrap();
        assert_eq!(created.len(), "2026-11-23T12:00:56.825798476Z".len());
        let path = format!("purge-requests/{}", document["id"].as_str().unwrap());
        let later = world
            .raw(reqwest::Method::GET, &path)
            .body("{}")
            .send()
            .await
            .unwrap();
        let later: serde_json::Value = later.json().await.unwrap();
        let same = later["created_at"].as_str().unwrap();
        assert_eq!(same.len(), "2026-11-23T12:00:56.825798Z".len());
        assert!(created.starts_with(same.trim_end_matches('Z')));
    }
}

#[tokio::test]
async fn what_nobody_knows_is_as_the_table_says() {
    let world = World::new().await;
    for (target, status) in [
        (r#""assets":["/a"],"all":true"#, 400),
        (r#""assets":["/a","/a"]"#, 200),
        (r#""all":false"#, 400),
        (r#""assets":[]"#, 400),
        (r#""assets":null,"all":true"#, 200),
        (r#""novel":1"#, 400),
    ] {
        let response = world
            .raw(reqwest::Method::POST, "purge-requests")
            .body(format!(r#"{{"pipeline_id":"{WWW}",{target}}}"#))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status, "{target}");
    }
    for (method, path, status) in [
        (reqwest::Method::POST, "purge-requests", 400),
        (reqwest::Method::DELETE, "purge-requests", 405),
        (reqwest::Method::GET, "nothing", 404),
        (reqwest::Method::GET, "purge-requests?order_by=name", 400),
        (
            reqwest::Method::GET,
            "purge-requests?project_id=&novel=1",
            200,
        ),
    ] {
        let response = world.raw(method, path).send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
    }
}
