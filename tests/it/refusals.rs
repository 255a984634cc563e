//! What the API refuses, in the words that its SDKs know, for some seconds in the middle of a deploy:
//! all is purged afterwards and nobody has to do anything.

use std::time::Duration;

use edgepurge::sandbox::{ErrorType, Fault, Operation, Script};
use futures_util::future::join_all;
use serde_json::Value;

use crate::bench::{Bench, until};

/// How long the API refuses.
const REFUSES: Duration = Duration::from_secs(5);
const FILES: usize = 100;

/// Looked for often enough, and not so often that many tests beside each other have no time.
async fn seen<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    until(what, async || {
        let found = look().await;
        if found.is_none() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        found
    })
    .await
}

/// Deploys a hundred files while the API answers every call with this; tells the alarms of meanwhile.
async fn deploys_in_spite_of(fault: Fault) -> Vec<Value> {
    let always = fault.clone().times(1_000_000);
    let meanwhile = async |bench: &Bench| {
        seen("an alarm", async || {
            let alarms = bench.status().await["alarms"].as_array()?.clone();
            (!alarms.is_empty()).then_some(alarms)
        })
        .await
    };
    deploys(&fault, vec![always], meanwhile).await
}

/// The same for questions only: the requests themselves are taken.
async fn deploys_without_answers(fault: Fault) {
    let questions = [Operation::Get, Operation::List];
    let scripts = questions.map(|of| fault.clone().on(of).times(1_000_000));
    deploys(&fault, scripts.into(), async |_| ()).await;
}

async fn deploys<T>(
    fault: &Fault,
    scripts: Vec<Script>,
    meanwhile: impl AsyncFnOnce(&Bench) -> T,
) -> T {
    let mut bench = Bench::new().await;
    "info".clone_into(&mut bench.log_level);
    for number in 0..FILES {
        bench.write(&format!("{number}.css"), "old");
    }
    bench.start().await;
    for script in scripts {
        bench.sandbox.script(script);
    }
    let before = bench.sandbox.calls().len();
    let script = format!(
        "for n in $(seq 0 {}); do echo new > $n.css; done",
        FILES - 1
    );
    let deploy = bench
        .command(&[
            "deploy",
            "www",
            "--timeout",
            "50s",
            "--",
            "sh",
            "-c",
            &script,
        ])
        .env("PATH", "/usr/bin:/bin")
        .current_dir(bench.site())
        .output();
    let refused = async {
        seen("the first call", async || {
            (bench.sandbox.calls().len() > before).then_some(())
        })
        .await;
        let ends = tokio::time::sleep(REFUSES);
        // Not a wait for something: for so long the API refuses.
        let (seen, ()) = tokio::join!(meanwhile(&bench), ends);
        bench.sandbox.clear_script();
        seen
    };
    let (deploy, seen) = tokio::join!(deploy, refused);
    let deploy = deploy.unwrap();
    assert!(deploy.status.success(), "{fault:?}: {deploy:?}");
    let mut purged = bench.done();
    purged.sort();
    purged.dedup();
    let mut all: Vec<String> = (0..FILES).map(|number| format!("/{number}.css")).collect();
    all.sort();
    assert_eq!(purged, all, "{fault:?}");
    let status = bench.status().await;
    assert_eq!(status["alarms"], serde_json::json!([]), "{fault:?}");
    let www = &status["pipelines"][0];
    assert_eq!(www["failed_assets"], 0, "{fault:?}: {www}");
    assert_eq!(www["learned_max_assets"], Value::Null, "{fault:?}: {www}");
    let requests = bench
        .json(&["requests", "list", "--page-size", "100"])
        .await;
    let errors = requests["purge_requests"].as_array().unwrap().iter();
    assert!(
        errors.clone().all(|one| one["status"] == "done"),
        "{fault:?}"
    );
    assert_eq!(bench.terminate().await, Some(0));
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn each_error_of_the_vendor_s_may_last_five_seconds_and_all_is_purged_without_a_person() {
    let deploys = ErrorType::ALL.map(async |error| {
        let alarms = deploys_in_spite_of(Fault::Typed(error)).await;
        let body: Value = serde_json::from_str(&error.body()).unwrap();
        let words = match error {
            ErrorType::TooManyRequests => "too many calls (429)",
            _ => body["message"].as_str().unwrap(),
        };
        let told = alarms[0]["text"].as_str().unwrap();
        assert!(told.contains(words), "{error:?}: {alarms:?}");
    });
    join_all(deploys).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_said_of_requests_in_flight_for_five_seconds_each_is_followed_to_its_end() {
    let deploys = ErrorType::ALL.map(async |error| {
        deploys_without_answers(Fault::Typed(error)).await;
    });
    join_all(deploys).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_gateway_answers_for_five_seconds_all_is_purged_without_a_person() {
    let page = "<html><head><title>Sorry</title></head><body>later</body></html>";
    let answers = [
        (301, ""),
        (400, r#"{"message":"no"}"#),
        (403, page),
        (404, page),
        (405, page),
        (410, ""),
        (412, ""),
        (413, page),
        (418, ""),
        (423, ""),
        (425, ""),
        (431, page),
        (500, page),
        (502, page),
        (200, page),
    ];
    let deploys = answers.map(async |(status, body)| {
        let body = body.to_owned();
        deploys_in_spite_of(Fault::Refuse { status, body }).await;
    });
    join_all(deploys).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_good_fails_alone_and_no_deploy_is_well_until_it_is_purged() {
    let mut bench = Bench::new().await;
    bench.start().await;
    let bad = Fault::Typed(ErrorType::BAD_ASSETS);
    bench.sandbox.script(bad.on(Operation::Create));
    bench.write("bad.css", "x");
    let alarm = bench.alarm("failed").await;
    assert!(alarm.contains("edgepurge retry www"), "{alarm}");
    for arguments in [&["wait", "www"][..], &["deploy", "www", "--", "true"]] {
        let output = bench.run(arguments).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("assets constraint is refused"), "{told}");
    }
    bench.run(&["retry", "www"]).await;
    bench.purged("/bad.css").await;
    bench.rested().await;
    let output = bench.run(&["deploy", "www", "--", "true"]).await;
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_purge_is_told_why_and_how_far_it_is_and_may_give_up() {
    const MANY: usize = 1_000;
    let mut bench = Bench::new().await;
    bench.scaleway = "requests_per_second = 200\nburst = 200".to_owned();
    bench.start().await;
    let assets: Vec<String> = (0..MANY).map(|number| format!("/{number}.css")).collect();
    let purge = |timeout: &'static str| {
        let mut arguments = vec!["purge", "www", "--wait", "--timeout", timeout];
        arguments.extend(assets.iter().map(String::as_str));
        arguments
    };
    bench.sandbox.revoke_key();
    let late = bench.run(&purge("3s")).await;
    assert_eq!(late.status.code(), Some(75), "{late:?}");
    let told = String::from_utf8(late.stderr).unwrap();
    for words in [
        "0 of 1000 purged",
        "1000 assets queued",
        "authentication is denied",
        "not settled within 3 s",
        "the purge goes on",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    bench.sandbox.restore_key();
    let done = bench.run(&purge("50s")).await;
    assert!(done.status.success(), "{done:?}");
    assert_eq!(
        String::from_utf8(done.stdout).unwrap(),
        "purged 1000 assets of www\n"
    );
    let usage = bench.run(&["purge", "www", "/a", "--timeout", "3s"]).await;
    assert_eq!(usage.status.code(), Some(2), "{usage:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_refused_again_and_again_is_one_warning_and_one_alarm_in_the_log() {
    let mut bench = Bench::new().await;
    "info".clone_into(&mut bench.log_level);
    bench.start().await;
    let before = bench.sandbox.calls().len();
    bench.sandbox.revoke_key();
    bench.write("a.css", "x");
    seen("the third call", async || {
        (bench.sandbox.calls().len() >= before + 3).then_some(())
    })
    .await;
    bench.sandbox.restore_key();
    bench.purged("/a.css").await;
    bench.no_alarm().await;
    bench.settle().await;
    let log = bench.log();
    let lines = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    assert_eq!(lines(" WARN "), 1, "{log}");
    assert_eq!(lines("the API refused a call"), 1, "{log}");
    assert_eq!(lines("ALARM: "), 1, "{log}");
    assert_eq!(lines("the API takes calls again"), 1, "{log}");
}
