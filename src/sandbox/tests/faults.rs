//! Faults: what each one does to the client, and what it leaves behind.

use super::*;
use crate::core::purge::RemoteStatus;

#[tokio::test]
async fn an_answer_lost_after_accepting_has_an_unknown_outcome() {
    let world = World::new().await;
    for (fault, made) in [
        (Fault::DropAfterAccept, 1),
        (Fault::Corrupt, 2),
        (Fault::DropBeforeAccept, 2),
    ] {
        world.sandbox.script(fault.clone());
        let refused = world.create(&["/a"]).await.unwrap_err();
        assert_eq!(refused.class(), "unknown_outcome", "{fault:?}: {refused}");
        assert_eq!(world.sandbox.requests().len(), made, "{fault:?}");
    }
    assert_eq!(world.sandbox.calls()[0].status, None);
    world.create(&["/a"]).await.unwrap();
}

#[tokio::test]
async fn a_lost_answer_to_a_question_is_only_trouble() {
    let world = World::new().await;
    let made = world.create(&["/a"]).await.unwrap().value.id;
    for fault in [Fault::DropAfterAccept, Fault::Corrupt] {
        world.sandbox.script(fault.on(Operation::Get));
        assert_eq!(
            world.client.get(&made).await.unwrap_err().class(),
            "transient"
        );
    }
    world.client.get(&made).await.unwrap();
}

#[tokio::test]
async fn a_hang_ends_with_the_time_limit() {
    let world = World::with(|_| {}, Duration::from_millis(300)).await;
    world.sandbox.script(Fault::Hang.times(2));
    let refused = world.create(&["/a"]).await.unwrap_err();
    assert_eq!(refused.class(), "unknown_outcome", "{refused}");
    let refused = world.client.list(&ListQuery::default()).await.unwrap_err();
    assert_eq!(refused.class(), "transient", "{refused}");
    assert!(world.sandbox.requests().is_empty());
}

#[tokio::test]
async fn an_api_that_is_not_there_took_nothing() {
    let world = World::new().await;
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", port.local_addr().unwrap());
    drop(port);
    let few = NonZeroU32::new(100).unwrap();
    let client = Client::new(ClientSettings {
        endpoint: Endpoint::parse(&url).unwrap(),
        secret_key: world.sandbox.secret_key(),
        requests_per_second: few,
        burst: few,
        request_timeout: LIMIT,
        clock: Clock::start(),
        observer: None,
    })
    .unwrap();
    let refused = client
        .create(&PipelineId::new(WWW), &CreateTarget::All)
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.class(), "transient");
    assert!(
        refused.to_string().contains("Connection refused"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_delay_only_delays() {
    let world = World::new().await;
    world
        .sandbox
        .script(Fault::Delay(Duration::from_millis(120)));
    let clock = Clock::start();
    let before = clock.now();
    world.create(&["/a"]).await.unwrap();
    assert!(clock.now().since(before) >= Duration::from_millis(120));
}

#[tokio::test]
async fn refusals_come_as_they_are_scripted() {
    let world = World::new().await;
    for (status, class) in [
        (500, "transient"),
        (503, "transient"),
        (504, "unknown_outcome"),
        (403, "forbidden"),
        (400, "unclear"),
        (302, "transient"),
    ] {
        let body = r#"{"message":"because"}"#.to_owned();
        world
            .sandbox
            .script(Fault::Refuse { status, body }.on(Operation::Create));
        let refused = world.create(&["/a"]).await.unwrap_err();
        assert_eq!(refused.class(), class, "{status}");
        assert!(refused.to_string().contains("because"), "{refused}");
    }
    assert!(world.sandbox.requests().is_empty());
}

#[tokio::test]
async fn each_error_of_the_vendor_s_can_be_sent_and_only_bad_assets_are_final() {
    let world = World::new().await;
    for error in ErrorType::ALL {
        world
            .sandbox
            .script(Fault::Typed(error).on(Operation::Create));
        let refused = world.create(&["/a"]).await.unwrap_err();
        assert_ne!(refused.class(), "invalid", "{error:?}: {refused}");
        assert_ne!(refused.class(), "not_found", "{error:?}: {refused}");
        let body: serde_json::Value = serde_json::from_str(&error.body()).unwrap();
        assert_eq!(body["type"], error.as_str());
        if let Refusal::RateLimited { retry_after } = refused {
            assert_eq!(retry_after, Some(Duration::from_secs(1)));
        } else {
            let message = body["message"].as_str().unwrap();
            assert!(refused.to_string().contains(message), "{refused}");
        }
    }
    world.sandbox.script(Fault::Typed(ErrorType::BAD_ASSETS));
    let refused = world.create(&["/a"]).await.unwrap_err();
    assert_eq!(refused.class(), "invalid", "{refused}");
    assert!(world.sandbox.requests().is_empty());
    world.create(&["/a"]).await.unwrap();
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let world = World::new().await;
    for status in [200, 500] {
        world.sandbox.script(Fault::Refuse {
            status,
            body: "[".repeat(5 << 20),
        });
        let refused = world.create(&["/a"]).await.unwrap_err();
        assert!(refused.to_string().len() < 1_300);
        let class = if status == 200 {
            "unknown_outcome"
        } else {
            "transient"
        };
        assert_eq!(refused.class(), class, "{refused}");
    }
}

#[tokio::test]
async fn too_many_calls_get_the_gateway_s_empty_429() {
    let world = World::new().await;
    let one = NonZeroU32::new(1).unwrap();
    world.sandbox.set_rate_limit(Some(RateLimit {
        per_second: one,
        burst: one,
    }));
    world.create(&["/a"]).await.unwrap();
    let refused = world.create(&["/a"]).await.unwrap_err();
    assert_eq!(refused, Refusal::RateLimited { retry_after: None });
    let raw = world.raw(reqwest::Method::GET, "purge-requests");
    let raw = raw.send().await.unwrap();
    assert_eq!(raw.status(), 429);
    assert_eq!(raw.headers()["x-envoy-ratelimited"], "true");
    assert!(raw.headers().get("content-type").is_none());
    assert_eq!(raw.text().await.unwrap(), "");

    world.sandbox.set_rate_limit(None);
    let retry_after = Some(Duration::from_secs(7));
    world.sandbox.script(Fault::RateLimit { retry_after });
    let refused = world.create(&["/a"]).await.unwrap_err();
    assert_eq!(refused, Refusal::RateLimited { retry_after });
    world.create(&["/a"]).await.unwrap();
}

#[tokio::test]
async fn a_request_that_ends_in_error_purges_nothing() {
    let world = World::new().await;
    world.write("a", "old");
    world.visit("/a").await;
    world.sandbox.script(Fault::Error);
    assert_eq!(world.purge(&["/a"]).await, PurgeStatus::Error);
    let id = world.sandbox.requests()[0].id.clone();
    let got = world.client.get(&id).await.unwrap().value;
    assert_eq!(got.status(), RemoteStatus::Error);
    assert_eq!(world.visit("/a").await.cache, "hit-fresh");
}

#[tokio::test]
async fn a_request_can_vanish_at_once_or_later() {
    let world = World::new().await;
    world.sandbox.script(Fault::Vanish.on(Operation::Create));
    let made = world.create(&["/a"]).await.unwrap().value.id;
    assert_eq!(
        world.client.get(&made).await.unwrap_err().class(),
        "not_found"
    );
    let made = world.create(&["/a"]).await.unwrap().value.id;
    world.client.get(&made).await.unwrap();
    world.sandbox.script(Fault::Vanish.on(Operation::Get));
    for _ in 0..2 {
        assert_eq!(
            world.client.get(&made).await.unwrap_err().class(),
            "not_found"
        );
    }
    let list = world.client.list(&ListQuery::default()).await.unwrap();
    assert_eq!(list.value.total_count, 0);
}

#[tokio::test]
async fn a_status_nobody_knows_is_not_done() {
    let world = World::with(|settings| settings.purge_delay = Duration::ZERO, LIMIT).await;
    world
        .sandbox
        .script(Fault::UnknownStatus("flying".to_owned()).times(2));
    let made = world.create(&["/a"]).await.unwrap().value;
    assert_eq!(
        (made.status(), made.status_word.as_str()),
        (RemoteStatus::Unknown, "flying")
    );
    let list = world
        .client
        .list(&ListQuery::default())
        .await
        .unwrap()
        .value;
    assert_eq!(list.purge_requests[0].status(), RemoteStatus::Unknown);
    let got = world.client.get(&made.id).await.unwrap().value;
    assert_eq!(got.status(), RemoteStatus::Done);
}

#[tokio::test]
async fn a_key_that_is_taken_away_is_refused_until_it_is_restored() {
    let world = World::new().await;
    world.sandbox.script(Fault::Unauthorized);
    for _ in 0..2 {
        assert_eq!(
            world.create(&["/a"]).await.unwrap_err().class(),
            "unauthorized"
        );
    }
    world.sandbox.restore_key();
    world.create(&["/a"]).await.unwrap();
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_call_that_hangs() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let (supervisor, _faults) = Supervisor::new();
    let sandbox = Sandbox::start(SandboxSettings::new(Clock::start()), &supervisor)
        .await
        .unwrap();
    sandbox.script(Fault::Hang);
    let few = NonZeroU32::new(100).unwrap();
    let client = Client::new(ClientSettings {
        endpoint: Endpoint::parse(&sandbox.api_url()).unwrap(),
        secret_key: sandbox.secret_key(),
        requests_per_second: few,
        burst: few,
        request_timeout: LIMIT,
        clock: Clock::start(),
        observer: None,
    })
    .unwrap();
    let query = ListQuery::default();
    let stop = async {
        while sandbox.calls().is_empty() {
            tokio::task::yield_now().await;
        }
        supervisor.stop().await;
    };
    let both = async { tokio::join!(client.list(&query), stop) };
    let (refused, ()) = tokio::time::timeout(LIMIT / 2, both).await.unwrap();
    assert_eq!(refused.unwrap_err().class(), "transient");
}
