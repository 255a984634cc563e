//! How soon a change is sent: `debounce` after it happened, and not later because it has to be looked
//! at first.

use std::time::{Duration, Instant};

use edgepurge::clock::Clock;
use edgepurge::core::time::Time;
use edgepurge::sandbox::Operation;

use crate::bench::{Bench, until};

/// When the API was asked for the last purge.
fn last_create(bench: &Bench) -> Time {
    let calls = bench.sandbox.calls();
    let mut creates = calls
        .iter()
        .filter(|call| call.operation == Some(Operation::Create));
    creates.next_back().unwrap().at
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_sent_when_debounce_is_over_and_not_when_it_was_looked_at() {
    const DEBOUNCE: Duration = Duration::from_millis(200);
    let mut bench = Bench::new().await;
    bench.pipeline = "debounce = \"200ms\"".to_owned();
    bench.log_level = "info".to_owned();
    for number in 0..40 {
        bench.write(&format!("{number}.css"), "old");
    }
    bench.start().await;
    let clock = Clock::start();
    let mut beyond = Vec::new();
    for number in 0..40 {
        let name = format!("{number}.css");
        let changed = clock.now();
        bench.write(&name, "new");
        bench.purged(&format!("/{name}")).await;
        let sent = last_create(&bench);
        // The two clocks may differ by a millisecond.
        let early = changed.after(DEBOUNCE).since(sent);
        assert!(early <= Duration::from_millis(2), "{early:?} too early");
        beyond.push(sent.since(changed.after(DEBOUNCE)));
    }
    beyond.sort();
    println!("beyond debounce: {beyond:?}");
    // A machine with other work makes many of them late. Counted from the look, each would be 50 ms late.
    let quarter = beyond[beyond.len() / 4];
    assert!(quarter <= Duration::from_millis(25), "{beyond:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_come_just_before_a_batch_closes_belong_to_it() {
    const DEBOUNCE: Duration = Duration::from_millis(400);
    let mut bench = Bench::new().await;
    bench.pipeline = "debounce = \"400ms\"".to_owned();
    let mut changed: Vec<Instant> = Vec::new();
    for number in 0..5 {
        bench.write(&format!("{number}.css"), "old");
    }
    bench.start().await;
    for number in 0..5 {
        // It is looked at 50 ms later, when the batch would have closed without it.
        tokio::time::sleep(Duration::from_millis(375)).await;
        bench.write(&format!("{number}.css"), "new");
        changed.push(Instant::now());
    }
    until("everything is purged", async || {
        (bench.done().len() == 5).then_some(())
    })
    .await;
    // A busy machine may let more time pass.
    let ends = |slack: Duration| {
        let gaps = changed.windows(2).map(|two| two[1] - two[0]);
        gaps.filter(|gap| *gap + slack > DEBOUNCE).count()
    };
    let requests = bench.requests().len();
    let most = 1 + ends(Duration::from_millis(10));
    assert!(
        requests <= most,
        "{requests} requests, {most} batches at most"
    );
}
