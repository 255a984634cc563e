//! Which changes of other nodes a node says that it has, and for how long it is waited for.

use super::*;

const WAIT: Duration = Duration::from_secs(30);
const OTHER: NodeId = NodeId(2);
const THIRD: NodeId = NodeId(3);

const A: Content = Content::Hash([1; 32]);
const B: Content = Content::Hash([2; 32]);
const C: Content = Content::Hash([3; 32]);

fn at(seconds: u64) -> Time {
    Time::from_millis(seconds * 1_000)
}

fn file(path: &str) -> File {
    File {
        origin: "site".into(),
        path: path.as_bytes().to_vec(),
    }
}

fn fact(seq: u64, node: NodeId, path: &str, content: Content) -> Fact {
    Fact {
        seq: Seq(seq),
        node,
        file: file(path),
        content,
    }
}

fn fresh() -> Agreement {
    Agreement::new(Seq(0), WAIT)
}

fn lagging(agreement: &Agreement) -> Vec<u64> {
    let compared = agreement.compared();
    compared.lagging.iter().map(|seq| seq.0).collect()
}

#[test]
fn what_is_the_same_here_agrees_at_once() {
    let mut agreement = fresh();
    let same = [
        (A, A),
        (Content::Gone, Content::Gone),
        (Content::Unread, A),
        (A, Content::Unread),
    ];
    for (seq, (other, own)) in (1..).zip(same) {
        assert!(!agreement.fact(at(1), fact(seq, OTHER, "a.html", other), own));
    }
    assert_eq!(
        agreement.compared(),
        Compared {
            agreed: Seq(4),
            lagging: Vec::new()
        }
    );
    assert_eq!(agreement.next_wake(), None, "nothing is kept of it");
}

#[test]
fn a_file_that_differs_is_looked_at_once_and_named_with_all_of_its_changes_until_it_is_here() {
    let mut agreement = fresh();
    assert!(agreement.fact(at(1), fact(1, OTHER, "a/index.html", B), A));
    assert!(!agreement.fact(at(1), fact(2, OTHER, "a/index.html", B), A));
    assert!(agreement.fact(at(1), fact(3, OTHER, "new.html", A), Content::Gone));
    assert!(agreement.fact(at(1), fact(4, OTHER, "old.html", Content::Gone), A));
    assert!(agreement.fact(
        at(1),
        fact(5, OTHER, "big.iso", Content::Unread),
        Content::Gone
    ));
    agreement.through(Seq(9));
    assert_eq!(agreement.compared().agreed, Seq(9));
    assert_eq!(lagging(&agreement), [1, 2, 3, 4, 5]);
    agreement.own(&file("a/index.html"), C);
    assert_eq!(
        lagging(&agreement),
        [1, 2, 3, 4, 5],
        "that is something else"
    );
    agreement.own(&file("a/index.html"), B);
    agreement.own(&file("new.html"), A);
    agreement.own(&file("old.html"), Content::Gone);
    agreement.own(&file("big.iso"), A);
    assert_eq!(lagging(&agreement), Vec::<u64>::new());
}

#[test]
fn only_the_last_of_another_node_counts() {
    let mut agreement = fresh();
    agreement.fact(at(1), fact(1, OTHER, "a.html", B), A);
    assert!(
        agreement.fact(at(2), fact(2, OTHER, "a.html", C), A),
        "it is looked at again"
    );
    assert_eq!(lagging(&agreement), [2]);
    agreement.own(&file("a.html"), B);
    assert_eq!(lagging(&agreement), [2]);
    agreement.fact(at(3), fact(3, OTHER, "a.html", B), B);
    assert_eq!(lagging(&agreement), Vec::<u64>::new());
}

#[test]
fn each_node_is_compared_for_itself() {
    let mut agreement = fresh();
    agreement.fact(at(1), fact(1, OTHER, "a.html", B), A);
    agreement.fact(at(1), fact(2, THIRD, "a.html", C), A);
    agreement.own(&file("a.html"), B);
    assert_eq!(lagging(&agreement), [2]);
}

#[test]
fn what_a_node_committed_that_left_is_waited_for_and_is_diverged_only_when_it_is_back() {
    let mut agreement = fresh();
    let (serving, remembered) = (BTreeSet::from([OTHER]), BTreeSet::from([OTHER]));
    let none = BTreeSet::new();
    agreement.fact(at(1), fact(1, OTHER, "host.html", B), A);
    agreement.wake(at(31));
    agreement.fact(at(40), fact(2, OTHER, "a.html", B), A);
    agreement.nodes(&none, &remembered);
    assert_eq!(agreement.divergence(at(99), 3), None);
    assert_eq!(lagging(&agreement), [2], "it may still come here");
    agreement.wake(at(70));
    assert_eq!(lagging(&agreement), Vec::<u64>::new());
    assert_eq!(agreement.divergence(at(99), 3), None);
    // A restart of the other node is no reason to wait again.
    agreement.nodes(&serving, &remembered);
    assert_eq!(agreement.divergence(at(99), 3).unwrap().files, 2);
    assert!(!agreement.fact(at(80), fact(3, OTHER, "host.html", C), A));
    // One that was forgotten does not come back.
    agreement.nodes(&none, &none);
    assert!(!agreement.differs());
}

#[test]
fn what_is_diverged_is_given_to_be_kept_when_it_is_new_and_not_waited_for_by_who_takes_it_up() {
    let mut agreement = fresh();
    assert_eq!(agreement.take_diverged(), None);
    agreement.fact(at(1), fact(1, OTHER, "host.html", B), A);
    agreement.fact(at(1), fact(2, OTHER, "late.html", B), A);
    agreement.wake(at(31));
    let kept = agreement.take_diverged().unwrap();
    assert_eq!((kept.len(), agreement.take_diverged()), (2, None));
    let mut next = Agreement::new(Seq(2), WAIT).with(kept.clone());
    // Each was found different at the same time as before.
    let found = |of: &Agreement| {
        let divergence = of.divergence(at(31), 3).unwrap();
        let named = divergence.named.into_iter().map(|one| (one.file, one.node));
        (
            divergence.files,
            divergence.since,
            named.collect::<Vec<_>>(),
        )
    };
    assert_eq!(found(&next), found(&agreement));
    // What it has itself is compared again later.
    let unknown = next.diverged_from(&kept[0].file).next().unwrap();
    assert_eq!(unknown.said("web-2"), "not as on web-2");
    assert!(!next.fact(at(50), fact(3, OTHER, "host.html", C), A));
    assert!(lagging(&next).is_empty());
    assert_eq!(next.take_diverged().unwrap()[0].content, C);
    next.own(&file("late.html"), B);
    let left = next.take_diverged().unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!((&left[0].file, left[0].since), (&kept[0].file, at(31)));
}

#[test]
fn a_batch_may_close_when_the_node_has_compared_all_of_it_and_lacks_nothing_of_it() {
    let compared = Compared {
        agreed: Seq(20),
        lagging: vec![Seq(7), Seq(15)],
    };
    assert!(compared.has(Seq(8), Seq(14)));
    assert!(compared.has(Seq(16), Seq(20)));
    assert!(!compared.has(Seq(16), Seq(21)), "21 is not compared yet");
    assert!(!compared.has(Seq(7), Seq(7)));
    assert!(!compared.has(Seq(10), Seq(15)));
}

#[test]
fn what_differs_for_ever_is_waited_for_once() {
    let mut agreement = fresh();
    agreement.fact(at(1), fact(1, OTHER, "host.html", B), A);
    agreement.fact(at(20), fact(2, OTHER, "host.html", C), A);
    assert_eq!(
        agreement.next_wake(),
        Some(at(31)),
        "it is no longer waited for because it changes meanwhile"
    );
    agreement.wake(at(30));
    assert_eq!(lagging(&agreement), [2]);
    agreement.wake(at(31));
    assert_eq!(lagging(&agreement), Vec::<u64>::new());
    assert_eq!(agreement.next_wake(), None);
    assert!(!agreement.fact(at(40), fact(3, OTHER, "host.html", B), A));
    assert_eq!(
        agreement.compared(),
        Compared {
            agreed: Seq(3),
            lagging: Vec::new()
        }
    );
}

#[test]
fn what_is_diverged_is_waited_for_again_after_it_agreed() {
    let mut agreement = fresh();
    agreement.fact(at(1), fact(1, OTHER, "a.html", B), A);
    agreement.wake(at(31));
    assert!(agreement.divergence(at(31), 3).is_some());
    agreement.own(&file("a.html"), B);
    assert_eq!(agreement.divergence(at(99), 3), None);
    agreement.fact(at(40), fact(2, OTHER, "a.html", C), B);
    assert_eq!(lagging(&agreement), [2]);
    agreement.wake(at(70));
    agreement.fact(at(71), fact(3, OTHER, "a.html", B), B);
    agreement.fact(at(72), fact(4, OTHER, "a.html", C), B);
    assert_eq!(lagging(&agreement), [4], "the other came back to it");
}

#[test]
fn diverged_files_are_counted_and_the_first_are_named() {
    let mut agreement = fresh();
    for (seq, path) in (1..).zip(["a", "b", "c", "d"]) {
        agreement.fact(at(1), fact(seq, OTHER, path, B), A);
    }
    agreement.fact(at(1), fact(5, THIRD, "a", C), A);
    agreement.wake(at(31));
    agreement.fact(at(40), fact(6, OTHER, "e", B), A);
    agreement.wake(at(70));
    assert_eq!(agreement.divergence(at(30), 3), None, "not for so long yet");
    let diverged = agreement.divergence(at(31), 2).unwrap();
    assert_eq!((diverged.files, diverged.since), (4, at(31)));
    let named = diverged
        .named
        .iter()
        .map(|one| (one.file.clone(), one.node));
    let named: Vec<_> = named.collect();
    assert_eq!(named, [(file("a"), OTHER), (file("b"), OTHER)]);
    let from = |path: &str| {
        let file = file(path);
        let from = agreement.diverged_from(&file);
        from.map(|one| one.said("web-9")).collect::<Vec<_>>()
    };
    assert_eq!(from("a"), ["other bytes on web-9", "other bytes on web-9"]);
    assert_eq!(from("no.html"), [""; 0]);
    assert_eq!(agreement.divergence(at(70), 3).unwrap().files, 5);
}

#[test]
fn a_diverged_file_that_is_gone_on_one_node_is_said_to_be() {
    let mut agreement = fresh();
    agreement.fact(at(1), fact(1, OTHER, "there", Content::Gone), A);
    agreement.fact(at(1), fact(2, OTHER, "here", A), Content::Gone);
    agreement.wake(at(31));
    let said = |path: &str| {
        let file = file(path);
        let mut from = agreement.diverged_from(&file);
        from.next().map(|one| one.said("web-2"))
    };
    assert_eq!(said("there").as_deref(), Some("gone on web-2"));
    assert_eq!(said("here").as_deref(), Some("gone here, there on web-2"));
}

#[test]
fn more_than_can_be_named_count_as_not_compared() {
    let mut agreement = fresh();
    let most = NAMED as u64;
    for seq in 1..=most + 3 {
        agreement.fact(at(1), fact(seq, OTHER, &seq.to_string(), B), A);
    }
    agreement.through(Seq(1_000));
    let compared = agreement.compared();
    assert_eq!(compared.agreed, Seq(most));
    assert_eq!(compared.lagging.len(), NAMED);
    for seq in 1..=3 {
        agreement.own(&file(&seq.to_string()), B);
    }
    assert_eq!(agreement.compared().agreed, Seq(1_000));
}

#[test]
fn memory_is_bounded_and_what_is_given_up_makes_room() {
    let mut agreement = fresh();
    let most = AWAITED as u64;
    for seq in 1..=most {
        assert!(agreement.room() > 0);
        agreement.fact(at(1), fact(seq, OTHER, &seq.to_string(), B), A);
    }
    assert_eq!(agreement.room(), 0);
    agreement.wake(at(31));
    assert_eq!(agreement.room(), AWAITED);
    agreement.fact(at(40), fact(most + 1, OTHER, "one more", B), A);
    agreement.wake(at(70));
    let diverged = agreement.divergence(at(70), 0).unwrap();
    assert_eq!(diverged.files, DIVERGED);
}

#[test]
fn with_the_diverged_files_of_another_node_this_ones_sum_is_that_ones() {
    let mut agreement = fresh();
    let sum = |files: &[(&str, Content)]| {
        let each = files.iter();
        each.fold(Sum::default(), |sum, (path, content)| match content {
            Content::Gone => sum,
            Content::Hash(hash) => sum.with(path.as_bytes(), Some(hash)),
            Content::Unread => sum.with(path.as_bytes(), None),
        })
    };
    let facts = [("host.html", B), ("gone", Content::Gone), ("new", C)];
    let owns = [A, A, Content::Gone];
    for (seq, ((path, other), own)) in (1..).zip(facts.into_iter().zip(owns)) {
        agreement.fact(at(1), fact(seq, OTHER, path, other), own);
    }
    agreement.fact(at(1), fact(4, THIRD, "host.html", C), A);
    let here = sum(&[("host.html", A), ("gone", A), ("same", B)]);
    assert!(agreement.waits() && agreement.apart("site", here).is_empty());
    agreement.wake(at(1).after(WAIT));
    assert!(!agreement.waits());
    // It is made anew here, and still not the other's.
    agreement.own(&file("host.html"), Content::Hash([9; 32]));
    let here = sum(&[
        ("host.html", Content::Hash([9; 32])),
        ("gone", A),
        ("same", B),
    ]);
    let second = sum(&[("host.html", B), ("new", C), ("same", B)]);
    let third = sum(&[("host.html", C), ("gone", A), ("same", B)]);
    let expected = BTreeMap::from([(OTHER, (3, second)), (THIRD, (1, third))]);
    assert_eq!(agreement.apart("site", here), expected);
    assert!(agreement.apart("media", here).is_empty());
}
