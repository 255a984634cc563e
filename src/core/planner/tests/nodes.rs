//! In a fleet, a batch closes when every live node has its files.

use super::*;

const WAIT: Duration = Duration::from_secs(30);

fn fleet() -> Bench {
    let settings = PipelineSettings {
        fleet_wait: Some(WAIT),
        ..settings(WWW)
    };
    let (planner, _) =
        Planner::restore(LIMITS, vec![settings], Unsettled::default(), 7, Time::ZERO);
    let mut bench = Bench {
        planner,
        now: Time::ZERO,
        seq: 0,
    };
    bench.wait(10_000);
    bench
}

impl Bench {
    /// The live nodes say this: up to where they have compared, and what they have not got.
    fn agree(&mut self, nodes: &[(&str, u64, &[u64])]) -> Vec<Command> {
        let compared = |agreed, lagging: &[u64]| Compared {
            agreed: Seq(agreed),
            lagging: lagging.iter().copied().map(Seq).collect(),
        };
        let nodes = nodes
            .iter()
            .map(|(name, agreed, lagging)| (Arc::from(*name), compared(*agreed, lagging)));
        self.event(Event::Agreement {
            pipeline: PipelineId::new(WWW),
            nodes: nodes.collect(),
        })
    }

    fn waits(&self) -> Vec<Reason> {
        let view = self.view();
        let waits = view.pipelines[&PipelineId::new(WWW)].waits.iter();
        waits.map(|wait| wait.reason).collect()
    }

    fn awaited(&self) -> Vec<String> {
        let view = self.view();
        let awaited = view.pipelines[&PipelineId::new(WWW)].awaited.iter();
        awaited.map(ToString::to_string).collect()
    }
}

#[test]
fn what_all_nodes_have_when_it_is_calm_waits_for_nothing_more() {
    let mut bench = fleet();
    bench.change(WWW, &["/a"]);
    bench.agree(&[("web-1", 1, &[]), ("web-2", 1, &[])]);
    assert_eq!(bench.waits(), [Reason::Debounce]);
    assert_eq!(submits(&bench.wait(500)), ["1: /a"]);
}

#[test]
fn a_batch_waits_for_the_last_live_node_and_says_for_which() {
    let mut bench = fleet();
    bench.change(WWW, &["/a", "/b"]);
    bench.agree(&[("web-1", 2, &[]), ("web-2", 2, &[1]), ("web-3", 1, &[])]);
    assert!(bench.wait(500).is_empty());
    assert_eq!(bench.waits(), [Reason::Nodes]);
    assert_eq!(bench.awaited(), ["web-2", "web-3"]);
    assert_eq!(
        bench.planner.next_wake(bench.now),
        Some(bench.now.after(Duration::from_millis(29_500))),
        "only a node moves it on, or the end of the wait"
    );
    let web_3_has_it = [("web-1", 2, &[][..]), ("web-2", 2, &[1]), ("web-3", 2, &[])];
    assert!(bench.agree(&web_3_has_it).is_empty());
    assert_eq!(bench.awaited(), ["web-2"]);
    let web_2_is_gone = [("web-1", 2, &[][..]), ("web-3", 2, &[])];
    assert_eq!(submits(&bench.agree(&web_2_is_gone)), ["1: /a /b"]);
    assert_eq!(bench.waits(), []);
}

#[test]
fn a_batch_waits_no_longer_than_fleet_wait_after_its_first_change() {
    let mut bench = fleet();
    bench.change(WWW, &["/a"]);
    bench.agree(&[("web-2", 1, &[1])]);
    bench.wait(20_000);
    bench.change(WWW, &["/b", "/a"]);
    assert!(bench.wait(9_999).is_empty());
    assert_eq!(submits(&bench.wait(1)), ["1: /a /b"]);
    bench.change(WWW, &["/c"]);
    assert!(
        bench.wait(29_999).is_empty(),
        "web-2 has not compared it yet"
    );
    assert_eq!(submits(&bench.wait(1)), ["2: /c"]);
}

#[test]
fn a_leader_that_knows_of_no_node_yet_waits() {
    let mut bench = fleet();
    bench.change(WWW, &["/a"]);
    assert!(bench.wait(2_000).is_empty());
    assert_eq!(bench.waits(), [Reason::Nodes]);
    assert_eq!(submits(&bench.agree(&[])), ["1: /a"], "none lives");
}

#[test]
fn what_comes_while_a_batch_waits_has_a_debounce_of_its_own() {
    let mut bench = fleet();
    bench.change(WWW, &["/a"]);
    bench.wait(15_000);
    bench.change(WWW, &["/b"]);
    assert!(bench.agree(&[("web-2", 2, &[])]).is_empty());
    assert_eq!(bench.waits(), [Reason::Debounce]);
    assert_eq!(submits(&bench.wait(500)), ["1: /a /b"]);
}

#[test]
fn what_is_asked_for_is_not_held() {
    let mut bench = fleet();
    bench.change(WWW, &["/file"]);
    let asked = |bench: &mut Bench, asset, source| {
        let target = Target::Asset(Asset::from_stored(asset));
        let row = bench.row(WWW, target, source);
        bench.event(Event::Changes(vec![row]))
    };
    let manual = asked(&mut bench, "/by-hand", Source::Manual);
    assert_eq!(submits(&manual), ["1: /by-hand"]);
    asked(&mut bench, "/hook", Source::Webhook);
    assert_eq!(submits(&bench.wait(500)), ["2: /hook"]);
    bench.change(WWW, &["/file"]);
    asked(&mut bench, "/file", Source::Webhook);
    assert_eq!(submits(&bench.wait(500)), ["3: /file"]);
    assert_eq!(bench.waits(), []);
    bench.change(WWW, &["/other"]);
    let all = bench.all(WWW, Source::Manual);
    assert_eq!(submits(&all), ["4: all manual"]);
    assert_eq!(bench.planner.next_wake(bench.now), None, "it took all");
}

#[test]
fn an_all_by_a_rule_is_not_held() {
    let mut bench = fleet();
    bench.change(WWW, &["/a"]);
    bench.all(WWW, Source::Watch);
    assert_eq!(submits(&bench.wait(500)), ["1: all rule"]);
}

#[test]
fn what_came_to_nothing_is_not_held_again() {
    let mut bench = fleet();
    bench.change(WWW, &["/a"]);
    bench.agree(&[("web-2", 1, &[])]);
    bench.wait(500);
    bench.finish(RequestId(1), RemoteStatus::Error);
    bench.agree(&[("web-2", 1, &[1])]);
    assert_eq!(submits(&bench.wait(10_000)), ["2: /a"]);
}

#[test]
fn a_batch_that_waits_begins_anew_after_what_it_held_was_taken() {
    let mut bench = fleet();
    bench.change(WWW, &["/a"]);
    bench.wait(20_000);
    let target = Target::Asset(Asset::from_stored("/a"));
    let by_hand = bench.row(WWW, target, Source::Manual);
    assert_eq!(
        submits(&bench.event(Event::Changes(vec![by_hand]))),
        ["1: /a"]
    );
    bench.change(WWW, &["/b"]);
    assert!(bench.wait(29_999).is_empty());
    assert_eq!(submits(&bench.wait(1)), ["2: /b"]);
}

#[test]
fn how_long_a_batch_waited_for_nodes_is_told_when_it_closes() {
    let mut bench = fleet();
    let pass = |bench: &mut Bench, millis| {
        bench.now = bench.now.after(Duration::from_millis(millis));
        bench.planner.handle(bench.now, Event::Wake).agreed
    };
    let told = |millis| vec![(PipelineId::new(WWW), Duration::from_millis(millis))];
    bench.change(WWW, &["/at-once"]);
    bench.agree(&[("web-2", 1, &[])]);
    assert_eq!(pass(&mut bench, 500), told(0));
    bench.change(WWW, &["/late"]);
    assert_eq!(pass(&mut bench, 500), []);
    bench.change(WWW, &["/more"]);
    assert_eq!(pass(&mut bench, 2_500), []);
    let nodes = BTreeMap::from([(
        Arc::from("web-2"),
        Compared {
            agreed: Seq(3),
            lagging: Vec::new(),
        },
    )]);
    let pipeline = PipelineId::new(WWW);
    let agreement = Event::Agreement { pipeline, nodes };
    let step = bench.planner.handle(bench.now, agreement);
    assert_eq!(step.agreed, told(2_500), "since the first of it was calm");
    bench.change(WWW, &["/never"]);
    pass(&mut bench, 500);
    assert_eq!(pass(&mut bench, 29_500), told(29_500));
}
