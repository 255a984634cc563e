//! The rate limit holds, and what the API does wrong is made good.

use std::time::Duration;

use crate::bench::{Bench, until};

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_assets_at_five_calls_a_second_stay_within_the_limit() {
    let mut bench = Bench::new().await;
    bench.scaleway = "requests_per_second = 5\nburst = 5".to_owned();
    for number in 0..200 {
        bench.write(&format!("{number}.css"), "old");
    }
    bench.start().await;
    for number in 0..200 {
        bench.write(&format!("{number}.css"), "new");
    }
    bench.settle().await;
    let names: Vec<String> = (0..200).map(|number| format!("/{number}.css")).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(bench.purges(), names);
    assert!(bench.requests().iter().all(|request| request.done));

    // 40 requests, one for the mark, and lists that ask for many of them at once.
    let calls = bench.sandbox.calls().len();
    assert!((41..=48).contains(&calls), "{calls} calls");
    bench.the_rate_held(5, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_of_a_thousand_assets_costs_few_calls_beyond_its_requests() {
    use edgepurge::sandbox::Operation;
    let mut bench = Bench::new().await;
    bench.scaleway = "requests_per_second = 100\nburst = 20".to_owned();
    bench.pipeline = "all_above = \"never\"".to_owned();
    for number in 0..1_000 {
        bench.write(&format!("{number}.css"), "old");
    }
    bench.start().await;
    bench.sandbox.set_purge_delay(Duration::from_secs(1));
    let before = bench.sandbox.calls().len();
    for number in 0..1_000 {
        bench.write(&format!("{number}.css"), "new");
    }
    bench.rested().await;
    assert_eq!(bench.done().len(), 1_000);
    let calls = bench.sandbox.calls().split_off(before);
    let creates = |call: &&edgepurge::sandbox::ApiCall| call.operation == Some(Operation::Create);
    let creates = calls.iter().filter(creates).count();
    assert!((200..=205).contains(&creates), "{creates} requests");
    let questions = calls.len() - creates;
    assert!(questions <= 30, "{questions} questions");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_refusals_and_lost_replies_are_made_good() {
    use edgepurge::sandbox::{Fault, Operation};
    let mut bench = Bench::new().await;
    // Each with a file of its own: one that changed again and again would be damped.
    for number in 0..8 {
        bench.write(&format!("{number}.css"), "one");
    }
    bench.start().await;
    let kinds = [
        Fault::Error,
        Fault::Refuse {
            status: 503,
            body: String::new(),
        },
        Fault::RateLimit { retry_after: None },
        Fault::DropBeforeAccept,
        Fault::DropAfterAccept,
        Fault::Corrupt,
        Fault::Vanish,
        Fault::UnknownStatus("archived".to_owned()),
    ];
    for (number, kind) in kinds.into_iter().enumerate() {
        let name = format!("{number}.css");
        bench.fetch(&format!("/{name}")).await;
        bench.sandbox.script(kind.clone().on(Operation::Create));
        let body = format!("{kind:?}");
        bench.write(&name, &body);
        until(
            &format!("the edge is fresh in spite of {body}"),
            async || (bench.fetch(&format!("/{name}")).await.2 == body).then_some(()),
        )
        .await;
        bench.settle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_stops_sending_visibly_and_a_new_one_is_picked_up() {
    use secrecy::ExposeSecret as _;
    let mut bench = Bench::new().await;
    bench.write("a.css", "one");
    bench.start().await;
    bench.sandbox.revoke_key();
    bench.write("a.css", "two");
    let alarm = until("an alarm", async || {
        let status = bench.status().await;
        let alarm = status["alarms"][0].clone();
        (alarm["reason"] == "unauthorized").then_some(alarm)
    })
    .await;
    assert!(alarm["text"].as_str().unwrap().contains("secret key"));
    let check = bench.run(&["status", "--check"]).await;
    assert_eq!(check.status.code(), Some(1));
    let quiet = bench.sandbox.calls().len();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(
        bench.sandbox.calls().len() <= quiet + 3,
        "probes are gentle"
    );

    let key: secrecy::SecretString = uuid::Uuid::new_v4().to_string().into();
    bench.sandbox.set_secret_key(key.clone());
    bench.sandbox.restore_key();
    std::fs::write(bench.path("secret_key"), key.expose_secret()).unwrap();
    bench.purged("/a.css").await;
    bench.settle().await;
    let check = bench.run(&["status", "--check"]).await;
    assert_eq!(check.status.code(), Some(0));
    assert!(!bench.log().contains(key.expose_secret()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_api_is_not_flooded_however_much_may_be_in_flight() {
    use edgepurge::sandbox::{Fault, Operation};
    let mut bench = Bench::new().await;
    bench.scaleway = "requests_per_second = 1000\nburst = 1000\nmax_in_flight = 5000".to_owned();
    bench.pipeline = "all_above = \"never\"".to_owned();
    for number in 0..2_000 {
        bench.write(&format!("{number}.css"), "old");
    }
    bench.start().await;
    let slow = Fault::Delay(Duration::from_millis(500));
    bench
        .sandbox
        .script(slow.on(Operation::Create).times(10_000));
    for number in 0..2_000 {
        bench.write(&format!("{number}.css"), "new");
    }
    let mut most = 0;
    until("everything is purged", async || {
        let calls = bench.sandbox.calls();
        most = most.max(calls.iter().filter(|call| call.status.is_none()).count());
        (bench.done().len() == 2_000).then_some(())
    })
    .await;
    assert!(most <= 128, "{most} calls at once");
    assert!(
        most >= 30,
        "{most} calls at once, and it answers all in the same time"
    );
    bench.rested().await;
    let mut purges = bench.purges();
    purges.sort();
    purges.dedup();
    assert_eq!((bench.purges().len(), purges.len()), (2_000, 2_000));
    let at_once = &bench.status().await["api_calls_at_once"];
    assert!(
        at_once.as_u64().is_some_and(|at_once| at_once <= 128),
        "{at_once}"
    );
}
