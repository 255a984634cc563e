//! What an answer says, and what follows.

use proptest::prelude::*;

use super::*;

const OLD: ContentHash = [1; 32];
const NEW: ContentHash = [2; 32];
const OTHER: ContentHash = [3; 32];

fn past(path: &str, kind: Kind, hash: Option<ContentHash>, former: Option<ContentHash>) -> Past {
    Past {
        origin: "site".into(),
        path: path.into(),
        kind,
        hash,
        former,
    }
}

fn body(status: u16, hash: ContentHash) -> Answer {
    Answer::Body { status, hash }
}

fn check(round: u32, tries: u32) -> Check {
    Check {
        pipeline: PipelineId::new("www"),
        asset: Asset::from_stored("/a"),
        seq: Seq(7),
        cause: Some(Seq(7)),
        request: RequestId(1),
        seen: Time::from_millis(5),
        round,
        tries,
        due: Time::ZERO,
    }
}

const NOW: Time = Time::from_millis(1_000_000);

#[test]
fn what_the_file_holds_is_fresh_and_what_it_held_is_stale() {
    let known = Known::new([past("a", Kind::Changed, Some(NEW), Some(OLD))], None);
    assert_eq!(known.judge(&body(200, NEW)), Verdict::Fresh);
    assert_eq!(known.judge(&body(200, OLD)), Verdict::Stale);
    let unseen = known.judge(&body(200, OTHER));
    assert!(
        matches!(unseen, Verdict::Unverified { look: true, .. }),
        "the file is looked at again: {unseen:?}"
    );
    let redirect = known.judge(&body(301, OTHER));
    assert!(matches!(redirect, Verdict::Unverified { look: false, .. }));
    assert_eq!(known.useless(), None);
}

#[test]
fn bytes_that_came_back_are_fresh() {
    let history = [
        past("a", Kind::Changed, Some(NEW), Some(OLD)),
        past("a", Kind::Changed, Some(OLD), Some(NEW)),
    ];
    let known = Known::new(history, None);
    assert_eq!(known.judge(&body(200, OLD)), Verdict::Fresh);
    assert_eq!(known.judge(&body(200, NEW)), Verdict::Stale);
}

#[test]
fn a_gone_file_is_fresh_unless_its_bytes_are_there() {
    let known = Known::new([past("a", Kind::Gone, None, Some(OLD))], None);
    for fresh in [body(404, OTHER), body(410, OTHER), body(200, OTHER)] {
        assert_eq!(known.judge(&fresh), Verdict::Fresh);
    }
    assert_eq!(known.judge(&body(200, OLD)), Verdict::Stale);
}

#[test]
fn each_file_behind_an_asset_counts() {
    let history = [
        past("a.css", Kind::Changed, Some(NEW), Some(OLD)),
        past("a.css.gz", Kind::Changed, Some(OTHER), None),
    ];
    let known = Known::new(history, None);
    assert_eq!(known.judge(&body(200, NEW)), Verdict::Fresh);
    assert_eq!(known.judge(&body(200, OTHER)), Verdict::Fresh);
    assert_eq!(known.judge(&body(200, OLD)), Verdict::Stale);
}

#[test]
fn where_nothing_can_be_told_the_edge_is_not_asked() {
    assert!(Known::new([], None).useless().is_some());
    let unread = Known::new([past("a", Kind::Changed, None, Some(OLD))], None);
    assert!(unread.useless().is_some());
    let unknown = Known::new([past("a", Kind::Gone, None, None)], None);
    assert!(unknown.useless().is_some());
}

#[test]
fn a_stale_asset_is_purged_again_three_times_spaced_out_and_then_failed() {
    let mut waits = Vec::new();
    for round in 0..3 {
        let looked = check(round, 0).looked(&Verdict::Stale, None, NOW);
        assert_eq!(looked.word, Word::Stale);
        let Then::Again(due) = looked.then else {
            panic!("{looked:?}");
        };
        waits.push(due.since(NOW).as_secs());
    }
    assert_eq!(waits, [2, 8, 20]);
    let looked = check(3, 0).looked(&Verdict::Stale, None, NOW);
    assert_eq!(looked.then, Then::Failed);
}

#[test]
fn a_later_change_is_waited_for_whatever_the_edge_said() {
    for verdict in [Verdict::Fresh, Verdict::Stale, Verdict::Silent("x".into())] {
        let looked = check(3, 3).looked(&verdict, Some(Seq(9)), NOW);
        assert_eq!(looked.then, Then::Wait(Seq(9)));
    }
}

proptest! {
    #[test]
    fn an_edge_that_does_not_answer_is_asked_again_a_few_times_and_never_fails_anything(
        round in 0_u32..10,
        tries in 0_u32..10,
    ) {
        let looked = check(round, tries).looked(&Verdict::Silent("timeout".into()), None, NOW);
        prop_assert_eq!(looked.word, Word::Unverified);
        match looked.then {
            Then::Retry(due) => {
                prop_assert!(tries < 3);
                prop_assert!(due > NOW && due <= NOW.after(LONGEST_WAIT));
            }
            then => {
                prop_assert!(tries >= 3);
                prop_assert_eq!(then, Then::Over);
            }
        }
    }

    #[test]
    fn no_bytes_are_fresh_and_stale_at_once(
        hashes in proptest::collection::vec((0_u8..4, 0_u8..4, 0_usize..4, 0_usize..2), 0..12),
    ) {
        let history = hashes.iter().map(|(hash, former, kind, file)| {
            let kind = Kind::ALL[*kind];
            let hash = (kind != Kind::Gone).then_some([*hash; 32]);
            past(["a", "b"][*file], kind, hash, Some([*former; 32]))
        });
        let known = Known::new(history, None);
        prop_assert!(known.current.is_disjoint(&known.former));
    }
}
