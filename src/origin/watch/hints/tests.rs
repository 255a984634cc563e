use super::*;
use proptest::prelude::*;

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

const WRITE_WAIT: Duration = Duration::from_secs(30);

fn event(nature: Nature, now: Time) -> Hint {
    Hint::event(nature, now, WRITE_WAIT)
}

fn covered(path: &[u8], out: &[(Vec<u8>, Hint)]) -> bool {
    out.iter().any(|(place, hint)| {
        place == path
            || (hint.subtree
                && (place.is_empty()
                    || path
                        .strip_prefix(place.as_slice())
                        .is_some_and(|rest| rest.starts_with(b"/"))))
    })
}

fn drain(hints: &mut Hints) -> Vec<(Vec<u8>, Hint)> {
    let mut all = Vec::new();
    while let Some(due) = hints.next_due() {
        all.extend(hints.take_due(due, 100));
    }
    all
}

#[test]
fn a_look_waits_for_quiet_but_not_for_ever() {
    let mut hints = Hints::new();
    for millis in (0..3_000).step_by(20) {
        hints.insert(b"a/b", event(Nature::Complete, at(millis)));
        if millis < 1_000 {
            assert!(hints.take_due(at(millis), 10).is_empty(), "at {millis}");
        }
    }
    assert!(hints.next_due().unwrap() <= at(1_000));
}

#[test]
fn a_created_file_waits_for_its_close() {
    let mut hints = Hints::new();
    hints.insert(b"a", event(Nature::Created, at(0)));
    assert!(hints.take_due(at(900), 10).is_empty());
    hints.insert(b"a", event(Nature::Touched, at(910)));
    hints.insert(b"a", event(Nature::Complete, at(920)));
    let out = hints.take_due(at(970), 10);
    assert!(out[0].1.complete && out[0].1.named);
    assert_eq!(hints.count_hints(|_| true), 0);
}

#[test]
fn a_file_that_is_written_waits_for_its_close_or_the_limit_whatever_else_is_told() {
    let mut hints = Hints::new();
    hints.insert(b"a", event(Nature::Created, at(0)));
    for millis in (10..20_000).step_by(500) {
        hints.insert(b"a", event(Nature::Written, at(millis)));
        hints.insert(b"a", event(Nature::Touched, at(millis + 1)));
        hints.insert(b"a", Hint::again(Cause::Recheck, at(millis + 2)));
        assert!(hints.take_due(at(millis + 400), 10).is_empty());
    }
    // It is looked at when it is closed,
    hints.insert(b"a", event(Nature::Complete, at(20_000)));
    assert!(hints.take_due(at(20_050), 10)[0].1.complete);
    // and what stays open, when the time is over.
    hints.insert(b"a", event(Nature::Written, at(30_000)));
    hints.insert(b"a", event(Nature::Written, at(50_000)));
    assert!(hints.take_due(at(59_999), 10).is_empty());
    let out = hints.take_due(at(60_000), 10);
    assert!(!out[0].1.complete && out[0].1.first == at(30_000));
    // One that is written again after a close is not complete.
    hints.insert(b"a", event(Nature::Complete, at(70_000)));
    hints.insert(b"a", event(Nature::Written, at(70_010)));
    assert!(hints.take_due(at(99_000), 10).is_empty());
    assert!(!hints.take_due(at(100_000), 10)[0].1.complete);
}

#[test]
fn what_is_written_is_not_waited_for_when_its_end_may_be_lost() {
    let mut hints = Hints::new();
    hints.insert(b"d/a", event(Nature::Written, at(0)));
    hints.insert(b"e/b", event(Nature::Written, at(0)));
    // Its directory went,
    hints.insert(b"d", event(Nature::Complete, at(500)));
    let out = hints.take_due(at(550), 10);
    assert_eq!(out.len(), 2, "{out:?}");
    // and events were dropped.
    hints.end_writing(at(1_000));
    assert!(hints.take_due(at(1_999), 10).is_empty());
    assert_eq!(hints.take_due(at(2_000), 10).len(), 1);
}

#[test]
fn only_what_the_kernel_told_of_a_path_itself_is_an_event_at_it() {
    let mut hints = Hints::new();
    hints.insert(b"d/a", Hint::again(Cause::Watch, at(0)));
    hints.insert(b"d/b", event(Nature::Touched, at(0)));
    assert!(!hints.event_at(b"d/a") && hints.event_at(b"d/b"));
    assert!(!hints.event_at(b"d") && !hints.event_at(b"d/b/c"));
    hints.since(b"d/b", Time::ZERO);
    assert_eq!(hints.some(1, |hint| hint.event), [(b"d/b".to_vec(), at(0))]);
}

#[test]
fn many_children_become_their_directory_and_very_many_the_root() {
    let mut hints = Hints::new();
    for n in 0..2_000 {
        hints.insert(format!("d/{n}").as_bytes(), event(Nature::Complete, at(0)));
    }
    let out = drain(&mut hints);
    assert_eq!(out.len(), 1);
    assert_eq!((out[0].0.as_slice(), out[0].1.subtree), (&b"d"[..], true));

    for n in 0..200_000 {
        hints.insert(
            format!("{}/{n}", n / 1_000).as_bytes(),
            event(Nature::Complete, at(0)),
        );
    }
    assert!(hints.root.count() <= NODES);
    let out = drain(&mut hints);
    assert!(
        out.iter()
            .any(|(path, hint)| path.is_empty() && hint.subtree)
    );
}

#[test]
fn a_flood_is_looked_at_once_it_has_ended_but_not_never() {
    let mut hints = Hints::new();
    for n in 0..2_000 {
        hints.insert(
            format!("d/{n}").as_bytes(),
            event(Nature::Complete, at(n / 4)),
        );
    }
    assert!(hints.take_due(at(1_400), 10).is_empty() && hints.flooded(at(1_400)));
    let out = hints.take_due(at(1_500), 10);
    assert_eq!((out[0].0.as_slice(), out[0].1.subtree), (&b"d"[..], true));
    assert!(!hints.flooded(at(1_500)) && hints.next_due().is_none());

    let endless = (0..300_000).map(|n| (n, at(2_000 + n / 40)));
    let mut taken = endless.map(|(n, now)| {
        let path = format!("d/{n}");
        hints.insert(path.as_bytes(), event(Nature::Complete, now));
        let out = hints.take_due(now, usize::MAX);
        (now, out.iter().any(|(_, hint)| hint.flood.is_some()))
    });
    let (looked, _) = taken.find(|(_, flood)| *flood).unwrap();
    assert!(
        looked <= at(2_000 + 1_000).after(SETTLED).after(FLOOD),
        "{looked:?}"
    );
}

#[test]
fn a_look_put_off_does_not_put_off_an_event() {
    let mut hints = Hints::new();
    let hint = event(Nature::Complete, at(0));
    let due = at(5_000);
    hints.insert(b"a", Hint { due, ..hint });
    hints.insert(b"a", event(Nature::Complete, at(100)));
    assert_eq!(hints.take_due(at(150), 10).len(), 1);
}

#[test]
fn an_event_wins_over_a_scan_when_a_change_is_named() {
    let mut hints = Hints::new();
    let scan = Hint {
        cause: Cause::Scan(ScanReason::Rescan),
        ..event(Nature::Touched, at(0))
    };
    hints.insert(b"a", scan);
    assert!(!hints.heard_of(b"a"));
    hints.insert(b"a", event(Nature::Complete, at(1)));
    assert!(hints.heard_of(b"a"));
    assert_eq!(drain(&mut hints)[0].1.cause, Cause::Watch);
}

fn place() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(0_u8..4, 0..5),
        1 => prop::collection::vec(0_u8..2, 60..80),
    ]
    .prop_map(|names| {
        names
            .iter()
            .map(|name| format!("n{name}").into_bytes())
            .collect::<Vec<_>>()
            .join(&b'/')
    })
}

fn nature() -> impl Strategy<Value = Nature> {
    prop_oneof![
        Just(Nature::Created),
        Just(Nature::Complete),
        Just(Nature::Touched),
        Just(Nature::Subtree),
    ]
}

proptest! {
    #[test]
    fn no_hint_is_ever_lost(
        steps in prop::collection::vec((place(), nature(), 0_u64..500, any::<bool>()), 1..80)
    ) {
        let mut hints = Hints::new();
        let mut waiting: Vec<Vec<u8>> = Vec::new();
        let mut now = 0;
        for (path, nature, wait, take) in steps {
            now += wait;
            hints.insert(&path, event(nature, at(now)));
            waiting.push(path);
            if take {
                let out = hints.take_due(at(now), 3);
                waiting.retain(|path| !covered(path, &out));
            }
        }
        let limit = at(now).after(Duration::from_secs(5));
        prop_assert!(hints.next_due().is_none_or(|due| due <= limit));
        let out = drain(&mut hints);
        for path in &waiting {
            prop_assert!(covered(path, &out), "{:?}", String::from_utf8_lossy(path));
        }
        prop_assert_eq!(hints.count_hints(|_| true), 0);
        prop_assert_eq!(hints.next_due(), None);
    }
}
