//! When a batch closes: `debounce` counts from what happened, not from when it came to the queue.

use super::*;

impl Bench {
    /// An asset that changed so many milliseconds ago.
    fn changed(&mut self, asset: &str, ago: u64) -> Vec<Command> {
        let target = Target::Asset(Asset::from_stored(asset));
        let mut row = self.row(WWW, target, Source::Watch);
        row.seen = at(self.now.millis() - ago);
        self.event(Event::Changes(vec![row]))
    }
}

#[test]
fn debounce_counts_from_the_change_and_max_wait_from_the_first_one() {
    let mut bench = Bench::new(&[WWW]);
    assert!(bench.changed("/a", 60).is_empty());
    assert!(bench.wait(439).is_empty());
    assert_eq!(submits(&bench.wait(1)), ["1: /a"]);
    assert_eq!(submits(&bench.changed("/b", 700)), ["2: /b"]);
    let began = bench.now.millis() - 60;
    let mut sent = Vec::new();
    while sent.is_empty() {
        sent.extend(bench.changed("/c", 60));
        sent.extend(bench.wait(300));
    }
    let waited = bench.now.millis() - began;
    assert!((10_000..10_400).contains(&waited), "{waited}");
}

#[test]
fn a_batch_stays_open_for_what_is_still_looked_at_but_not_longer_than_max_wait() {
    let www = PipelineId::new(WWW);
    let mut bench = Bench::new(&[WWW]);
    bench.changed("/a", 60);
    bench.now = at(bench.now.millis() + 440);
    let closes = bench.now;
    assert_eq!(bench.planner.closing(bench.now), [(www.clone(), closes)]);
    bench.planner.hold(&www, at(closes.millis() + 5));
    assert!(bench.wait(0).is_empty());
    assert_eq!(
        bench.planner.next_wake(bench.now),
        Some(at(closes.millis() + 5))
    );
    assert!(
        bench.planner.closing(bench.now).is_empty(),
        "it is asked once"
    );
    // What was looked at belongs to the batch, and has a debounce of its own.
    bench.now = at(closes.millis() + 4);
    assert!(bench.changed("/b", 34).is_empty());
    bench.now = at(closes.millis() + 470);
    assert_eq!(bench.planner.closing(bench.now), [(www.clone(), bench.now)]);
    assert_eq!(submits(&bench.wait(0)), ["1: /a /b"]);

    bench.changed("/c", 0);
    let first = bench.now;
    let mut sent = Vec::new();
    while sent.is_empty() {
        bench.now = at(bench.now.millis() + 2);
        if !bench.planner.closing(bench.now).is_empty() {
            bench.planner.hold(&www, at(bench.now.millis() + 2));
        }
        sent = bench.event(Event::Wake);
    }
    assert_eq!(bench.now, first.after(Duration::from_secs(10)));
}
