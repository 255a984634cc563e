//! What an answer says, and what follows.

use proptest::prelude::*;

use super::*;

const OLD: ContentHash = [1; 32];
const NEW: ContentHash = [2; 32];
const OTHER: ContentHash = [3; 32];
const EMPTY: ContentHash = [4; 32];

fn past(path: &str, kind: Kind, hash: Option<ContentHash>, former: Option<ContentHash>) -> Past {
    Past {
        node: None,
        origin: "site".into(),
        path: path.into(),
        kind,
        hash,
        former,
    }
}

fn body(status: u16, hash: ContentHash) -> Answer {
    Answer::Body {
        status,
        hash,
        objects: Vec::new(),
        bytes: 3,
    }
}

/// No bytes at all, as redirects have.
fn nothing(status: u16) -> Answer {
    Answer::Body {
        status,
        hash: EMPTY,
        objects: Vec::new(),
        bytes: 0,
    }
}

/// What is told of an asset that is no file's own.
fn judge(known: &Known, answer: &Answer) -> Verdict {
    known.judge(answer, Url::Other)
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

#[test]
fn an_object_is_known_by_its_bytes_or_by_the_etag_that_the_edge_passes_on() {
    let known = Known::new([past("a", Kind::Changed, Some(NEW), Some(OLD))], None);
    let verdict = |objects: &[ContentHash]| {
        let answer = Answer::Body {
            status: 200,
            hash: OTHER,
            objects: objects.to_vec(),
            bytes: 3,
        };
        judge(&known, &answer)
    };
    assert_eq!(verdict(&[NEW]), Verdict::Fresh);
    assert_eq!(verdict(&[OTHER, NEW]), Verdict::Fresh);
    assert_eq!(verdict(&[OTHER, OLD]), Verdict::Stale);
    assert!(matches!(verdict(&[OTHER]), Verdict::Unverified { .. }));
}

const NOW: Time = Time::from_millis(1_000_000);

#[test]
fn what_the_file_holds_is_fresh_and_what_it_held_is_stale() {
    let known = Known::new([past("a", Kind::Changed, Some(NEW), Some(OLD))], None);
    assert_eq!(judge(&known, &body(200, NEW)), Verdict::Fresh);
    assert_eq!(judge(&known, &body(200, OLD)), Verdict::Stale);
    let unseen = judge(&known, &body(200, OTHER));
    assert!(
        matches!(unseen, Verdict::Unverified { look: true, .. }),
        "the file is looked at again: {unseen:?}"
    );
    let redirect = judge(&known, &body(301, OTHER));
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
    assert_eq!(judge(&known, &body(200, OLD)), Verdict::Fresh);
    assert_eq!(judge(&known, &body(200, NEW)), Verdict::Stale);
}

#[test]
fn a_gone_file_is_fresh_unless_its_bytes_are_there() {
    let known = Known::new([past("a", Kind::Gone, None, Some(OLD))], None);
    for fresh in [
        body(404, OTHER),
        body(410, OTHER),
        nothing(302),
        body(403, OTHER),
    ] {
        assert_eq!(judge(&known, &fresh), Verdict::Fresh);
    }
    assert_eq!(judge(&known, &body(200, OLD)), Verdict::Stale);
    // A page for what is missing, or what it held before the file was known.
    let unseen = judge(&known, &body(200, OTHER));
    assert!(
        matches!(unseen, Verdict::Unverified { look: true, .. }),
        "{unseen:?}"
    );
}

#[test]
fn a_base_file_that_is_gone_is_fresh_though_its_compressed_copy_is_there() {
    let known = Known::new(
        [
            past("list", Kind::Gone, None, Some(OLD)),
            past("list.gz", Kind::New, Some(NEW), None),
        ],
        None,
    );
    for status in [404, 410] {
        let missing = body(status, OTHER);
        assert_eq!(known.judge(&missing, Url::Gone), Verdict::Fresh);
    }
    for fine in [body(200, NEW), body(404, NEW)] {
        assert_eq!(known.judge(&fine, Url::Gone), Verdict::Fresh);
    }
    assert_eq!(known.judge(&body(200, OLD), Url::Gone), Verdict::Stale);
    let refused = known.judge(&body(403, OTHER), Url::Gone);
    assert!(matches!(refused, Verdict::Unverified { .. }), "{refused:?}");
}

#[test]
fn a_gone_file_that_was_a_copy_of_the_page_for_missing_ones_is_not_stale() {
    let known = Known::new([past("a", Kind::Gone, None, Some(OLD))], None);
    assert_eq!(judge(&known, &body(404, OLD)), Verdict::Fresh);
    assert_eq!(judge(&known, &body(410, OLD)), Verdict::Fresh);
}

#[test]
fn an_answer_without_a_body_is_no_empty_file() {
    let emptied = Known::new([past("a", Kind::Changed, Some(EMPTY), Some(OLD))], None);
    let filled = Known::new([past("a", Kind::Changed, Some(NEW), Some(EMPTY))], None);
    for known in [&emptied, &filled] {
        for status in [204, 301, 304, 401, 403, 404] {
            let verdict = judge(known, &nothing(status));
            assert!(
                matches!(verdict, Verdict::Unverified { look: false, .. }),
                "{status}: {verdict:?}"
            );
        }
    }
    assert_eq!(judge(&emptied, &nothing(200)), Verdict::Fresh);
    assert_eq!(judge(&filled, &nothing(200)), Verdict::Stale);
}

#[test]
fn a_file_whose_own_url_is_missing_at_the_edge_is_purged_again_and_never_failed() {
    let new = Known::new([past("a", Kind::New, Some(NEW), None)], None);
    let changed = Known::new([past("a", Kind::Changed, Some(NEW), Some(OLD))], None);
    let opened = Known::new([past("a", Kind::Changed, Some(NEW), Some(NEW))], None);
    let is_missing = |known: &Known, status| {
        let answer = body(status, OTHER);
        let other = judge(known, &answer);
        assert!(matches!(other, Verdict::Unverified { .. }), "{other:?}");
        matches!(known.judge(&answer, Url::Own), Verdict::Missing { .. })
    };
    for known in [&new, &changed, &opened] {
        assert!(is_missing(known, 404) && is_missing(known, 410));
        assert!(!is_missing(known, 401) && !is_missing(known, 302));
    }
    // An edge that is closed says so of every file, changed or not.
    assert!(is_missing(&new, 403) && is_missing(&opened, 403));
    assert!(!is_missing(&changed, 403));

    let missing = new.judge(&body(404, OTHER), Url::Own);
    for round in 0..3 {
        let looked = check(round, 0).looked(&missing, None, NOW);
        assert_eq!((looked.word, looked.absent), (Word::Stale, false));
        assert!(matches!(looked.then, Then::Again(_)), "{looked:?}");
    }
    let looked = check(3, 0).looked(&missing, None, NOW);
    assert_eq!((looked.word, looked.absent), (Word::Unverified, true));
    assert_eq!(looked.then, Then::Over);
}

#[test]
fn a_url_that_is_never_served_is_purged_again_only_the_first_time() {
    let mut known = Known::new([past("a", Kind::Changed, Some(NEW), Some(OLD))], None);
    known.absent = true;
    let missing = known.judge(&body(404, OTHER), Url::Own);
    let looked = check(0, 0).looked(&missing, None, NOW);
    assert_eq!((looked.word, looked.then), (Word::Unverified, Then::Over));
    assert!(looked.absent, "and so it stays");
    assert_eq!(known.judge(&body(200, OLD), Url::Own), Verdict::Stale);
}

#[test]
fn each_file_behind_an_asset_counts() {
    let history = [
        past("a.css", Kind::Changed, Some(NEW), Some(OLD)),
        past("a.css.gz", Kind::Changed, Some(OTHER), None),
    ];
    let known = Known::new(history, None);
    assert_eq!(judge(&known, &body(200, NEW)), Verdict::Fresh);
    assert_eq!(judge(&known, &body(200, OTHER)), Verdict::Fresh);
    assert_eq!(judge(&known, &body(200, OLD)), Verdict::Stale);
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

#[test]
fn old_bytes_are_no_verdict_while_a_node_lacks_the_change_nor_where_one_has_them_for_good() {
    let [first, second] = [NodeId(1), NodeId(2)];
    let of = |node, hash, former| Past {
        node: Some(node),
        ..past("a", Kind::Changed, Some(hash), Some(former))
    };
    let (one, other) = ([11; 32], [12; 32]);
    // Each makes it for itself; what both had before is old.
    let known = Known::new([of(first, one, OLD), of(second, other, OLD)], None);
    let serving = |nodes: &[NodeId], lacking: &[&str]| Serving {
        nodes: nodes.iter().copied().collect(),
        lacking: lacking.iter().map(|name| (*name).into()).collect(),
    };
    let judge = |hash, serving| known.judge_among(&body(200, hash), Url::Own, &serving);
    let both = || serving(&[first, second], &[]);
    let of_one = judge(one, both());
    assert!(
        matches!(of_one, Verdict::Unverified { look: false, .. }),
        "{of_one:?}"
    );
    assert_eq!(judge(other, both()), Verdict::Fresh);
    assert_eq!(judge(OLD, both()), Verdict::Stale);
    assert_eq!(
        judge(one, serving(&[second], &[])),
        Verdict::Stale,
        "web-1 serves nothing"
    );
    assert_eq!(
        judge(one, Serving::default()),
        Verdict::Stale,
        "there is one node alone"
    );
    let lacks = || serving(&[first, second], &["web-1", "web-3"]);
    let silent = Verdict::Silent("not yet on web-1, web-3".to_owned());
    assert_eq!(judge(OLD, lacks()), silent);
    assert_eq!(judge(one, lacks()), silent);
    assert_eq!(judge(other, lacks()), Verdict::Fresh, "it has what is new");
    let missing = body(404, OTHER);
    assert_eq!(known.judge_among(&missing, Url::Own, &lacks()), silent);
    let missing = known.judge_among(&missing, Url::Own, &both());
    assert!(matches!(missing, Verdict::Missing { .. }));
}
