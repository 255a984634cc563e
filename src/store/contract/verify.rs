//! What follows on a purge: looks at the edge, and another purge.

use std::time::Duration;

use super::*;
use crate::core::verify::{
    Check, FollowUp, FollowUps, FollowedUp, Follows, LONGEST_WAIT, Looked, SAMPLE, Then, Verdict,
    WAITING, Word,
};

contract! {
    a_purge_that_is_done_is_looked_at_once_that_is_planned
    what_a_look_found_is_in_the_history_of_the_asset
    a_stale_asset_is_queued_again_and_looked_at_after_its_purge
    what_stays_stale_is_failed_and_a_retry_begins_anew
    a_look_that_a_later_purge_overtook_is_not_kept
    a_later_change_is_waited_for
    what_the_files_held_is_known_also_after_another_purge
    of_an_all_a_sample_is_looked_at
    no_more_looks_wait_than_there_is_room_for
    a_purge_is_repeated_once_and_what_is_dropped_is_not
    an_all_is_repeated_as_one
    what_is_not_configured_any_more_is_forgotten_and_no_time_is_too_far
    a_failed_purge_ends_the_wait_for_it
    a_failed_all_ends_the_wait_for_it_too
    what_the_files_held_is_known_also_after_purges_of_everything
    one_pipeline_takes_no_room_from_another
    that_an_asset_is_absent_is_known_until_its_file_comes_anew
}

fn follow(id: u64) -> Decision {
    Decision::Follow {
        request: RequestId(id),
    }
}

fn plan(verify: bool, repurge: Option<u64>) -> FollowUp {
    FollowUp {
        pipeline: pipeline(WWW),
        verify,
        repurge: repurge.map(at),
        now: at(100),
    }
}

async fn planned(store: &Desk, verify: bool, repurge: Option<u64>) -> FollowedUp {
    store.follow_up(plan(verify, repurge), 100).await.unwrap()
}

async fn next(store: &Desk) -> FollowUps {
    store.follow_ups(vec![pipeline(WWW)], 100).await.unwrap()
}

/// A request of these assets that is done and marked.
async fn purged(store: &Desk, id: u64, assets: &[(&str, u64)]) {
    store
        .decide(vec![
            open(id, WWW, assets),
            accepted(id),
            settled(id, Outcome::Done),
            follow(id),
        ])
        .await
        .unwrap();
}

async fn purged_all(store: &Desk, id: u64, through: u64) {
    purge_all(store, id, WWW, through).await;
    store
        .decide(vec![accepted(id), settled(id, Outcome::Done), follow(id)])
        .await
        .unwrap();
}

async fn one(store: &Desk) -> Check {
    let mut checks = next(store).await.checks;
    assert_eq!(checks.len(), 1, "{checks:?}");
    checks.remove(0)
}

/// A change of a file that held one thing, and holds another.
fn holding(hash: u8, former: u8) -> NewChange {
    let mut row = change(WWW, "/a");
    let file = row.file.as_mut().unwrap();
    (file.hash, file.former) = (Some([hash; 32]), Some([former; 32]));
    row
}

fn stale(check: Check) -> Looked {
    check.looked(&Verdict::Stale, None, at(200))
}

async fn a_purge_that_is_done_is_looked_at_once_that_is_planned(store: Arc<Desk>) {
    fill(&store, &["/a", "/a", "/b"]).await;
    purged(&store, 1, &[("/a", 2), ("/b", 3)]).await;
    let before = next(&store).await;
    assert_eq!(before.unplanned, [pipeline(WWW)]);
    assert_eq!(before.checks, []);
    assert_eq!(planned(&store, true, None).await.requests, 1);
    assert_eq!(planned(&store, true, None).await, FollowedUp::default());
    let mut after = next(&store).await;
    assert_eq!((after.unplanned, after.again), (vec![], None));
    after.checks.sort_by_key(|check| check.seq);
    let [a, b] = after.checks.as_slice() else {
        panic!("{:?}", after.checks);
    };
    assert_eq!((a.seq, a.cause, a.seen), (Seq(2), Some(Seq(2)), at(5)));
    assert_eq!((a.request, a.round, a.tries), (RequestId(1), 0, 0));
    assert_eq!((&b.asset, b.due), (&asset("/b"), at(100)));
    let known = store.known(a.clone()).await.unwrap();
    assert_eq!(known.current, [[9; 32]].into());
    assert_eq!(known.former, [[8; 32]].into());
    assert_eq!((known.files.len(), known.newer), (1, None));
    let others = store.follow_ups(vec![pipeline(SHOP)], 9).await.unwrap();
    assert_eq!(others.checks, [], "of other pipelines");
}

async fn what_a_look_found_is_in_the_history_of_the_asset(store: Arc<Desk>) {
    fill(&store, &["/a"]).await;
    purged(&store, 1, &[("/a", 1)]).await;
    planned(&store, true, None).await;
    let silent = Verdict::Silent("timeout".to_owned());
    let looked = one(&store).await.looked(&silent, None, at(150));
    assert!(store.looked(looked).await.unwrap());
    let check = one(&store).await;
    assert_eq!((check.tries, check.due), (1, at(2_150)));
    let history = async || {
        let history = store.purges_of(pipeline(WWW), asset("/a"), 9).await;
        history.unwrap().purges[0].verified.clone().unwrap()
    };
    let seen = history().await;
    assert_eq!((seen.verdict, &*seen.why), (Word::Unverified, "timeout"));
    let looked = check.looked(&Verdict::Fresh, None, at(3_000));
    assert!(store.looked(looked).await.unwrap());
    let seen = history().await;
    assert_eq!((seen.verdict, seen.at), (Word::Fresh, at(3_000)));
    assert_eq!(next(&store).await, FollowUps::default());
    store.prune(at(99), 100).await.unwrap();
    let history = store.purges_of(pipeline(WWW), asset("/a"), 9).await;
    assert_eq!(history.unwrap(), AssetHistory::default());
}

async fn a_stale_asset_is_queued_again_and_looked_at_after_its_purge(store: Arc<Desk>) {
    fill(&store, &["/a"]).await;
    purged(&store, 1, &[("/a", 1)]).await;
    planned(&store, true, None).await;
    let mut heard = store.subscribe();
    assert!(store.looked(stale(one(&store).await)).await.unwrap());
    let due = next(&store).await;
    assert_eq!((due.checks, due.again), (vec![], Some(at(2_200))));
    assert_eq!(store.purge_again(at(2_199), 9).await.unwrap(), 0);
    assert_eq!(store.purge_again(at(2_200), 9).await.unwrap(), 1);
    assert_eq!(store.purge_again(at(2_200), 9).await.unwrap(), 0);
    assert_eq!(*heard.borrow_and_update(), Seq(2));
    let rows = store.queued_after(Seq(0), 9).await.unwrap();
    assert_eq!((rows[0].kind, rows[0].source), (Kind::Asked, Source::Watch));
    assert_eq!(
        (&*rows[0].detail, rows[0].again),
        ("stale at the edge", true)
    );
    assert_eq!(rows[0].seen, at(2_200));
    purged(&store, 2, &[("/a", 2)]).await;
    planned(&store, true, None).await;
    let check = one(&store).await;
    assert_eq!((check.round, check.request), (1, RequestId(2)));
    assert_eq!((check.seen, check.cause), (at(5), Some(Seq(1))));
}

async fn what_stays_stale_is_failed_and_a_retry_begins_anew(store: Arc<Desk>) {
    fill(&store, &["/a"]).await;
    purged(&store, 1, &[("/a", 1)]).await;
    for round in 0..3 {
        planned(&store, true, None).await;
        assert!(store.looked(stale(one(&store).await)).await.unwrap());
        store.purge_again(at(99_999), 9).await.unwrap();
        purged(&store, round + 2, &[("/a", round + 2)]).await;
    }
    planned(&store, true, None).await;
    let last = stale(one(&store).await);
    assert_eq!(last.then, Then::Failed);
    assert!(store.looked(last).await.unwrap());
    assert_eq!(next(&store).await, FollowUps::default());
    let failed = store.failed_assets().await.unwrap();
    assert_eq!(failed, BTreeMap::from([(pipeline(WWW), 1)]));

    let retried = store.retry(Retry::Pipeline(pipeline(WWW)), 9, None).await;
    assert_eq!(retried.unwrap().len(), 1);
    purged(&store, 5, &[("/a", 4)]).await;
    assert_eq!(store.failed_assets().await.unwrap(), BTreeMap::new());
    planned(&store, true, None).await;
    let check = one(&store).await;
    assert_eq!(check.round, 0);
    let known = store.known(check).await.unwrap();
    assert_eq!(known.former, [[8; 32]].into());
}

async fn a_look_that_a_later_purge_overtook_is_not_kept(store: Arc<Desk>) {
    fill(&store, &["/a"]).await;
    purged(&store, 1, &[("/a", 1)]).await;
    planned(&store, true, None).await;
    let early = one(&store).await;
    fill(&store, &["/a"]).await;
    purged(&store, 2, &[("/a", 2)]).await;
    planned(&store, true, None).await;
    assert!(!store.looked(stale(early)).await.unwrap());
    let check = one(&store).await;
    assert_eq!((check.request, check.seq), (RequestId(2), Seq(2)));
    let history = store.purges_of(pipeline(WWW), asset("/a"), 9).await;
    assert!(
        history
            .unwrap()
            .purges
            .iter()
            .all(|one| one.verified.is_none())
    );
}

async fn a_later_change_is_waited_for(store: Arc<Desk>) {
    fill(&store, &["/a"]).await;
    purged(&store, 1, &[("/a", 1)]).await;
    planned(&store, true, None).await;
    let check = one(&store).await;
    fill(&store, &["/a"]).await;
    let newer = async || store.known(check.clone()).await.unwrap().newer;
    assert_eq!(newer().await, Some(Seq(2)), "it is queued");
    store
        .decide(vec![open(2, WWW, &[("/a", 2)])])
        .await
        .unwrap();
    assert_eq!(newer().await, Some(Seq(2)), "it is on its way");
    let looked = check
        .clone()
        .looked(&Verdict::Stale, newer().await, at(150));
    assert!(store.looked(looked).await.unwrap());
    assert_eq!(next(&store).await, FollowUps::default());
    store
        .decide(vec![accepted(2), settled(2, Outcome::Done), follow(2)])
        .await
        .unwrap();
    assert_eq!(newer().await, None);
    planned(&store, true, None).await;
    let check = one(&store).await;
    assert_eq!((check.request, check.round), (RequestId(2), 0));

    let late = fill(&store, &["/a"]).await.last;
    purge_all(&store, 3, WWW, late.0).await;
    assert_eq!(store.known(check).await.unwrap().newer, Some(late));
}

async fn what_the_files_held_is_known_also_after_another_purge(store: Arc<Desk>) {
    store.append(vec![holding(2, 1)]).await.unwrap();
    purged(&store, 1, &[("/a", 1)]).await;
    store.append(vec![holding(3, 2)]).await.unwrap();
    purged(&store, 2, &[("/a", 2)]).await;
    // It is purged by hand; there is no fact of a file.
    let mut asked = change(WWW, "/a");
    (asked.file, asked.kind) = (None, Kind::Asked);
    store.append(vec![asked]).await.unwrap();
    purged(&store, 3, &[("/a", 3)]).await;
    planned(&store, true, None).await;
    let known = store.known(one(&store).await).await.unwrap();
    assert_eq!(known.current, [[3; 32]].into());
    assert_eq!(known.former, [[1; 32], [2; 32]].into());
}

async fn of_an_all_a_sample_is_looked_at(store: Arc<Desk>) {
    let names: Vec<String> = (0..SAMPLE + 10).map(|n| format!("/{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let last = fill(&store, &names).await.last;
    purged_all(&store, 1, last.0).await;
    planned(&store, true, None).await;
    let checks = next(&store).await.checks;
    assert_eq!(checks.len(), SAMPLE);
    assert!(checks.iter().all(|check| check.seq.0 > 10), "the last ones");
    let known = store.known(checks[0].clone()).await.unwrap();
    assert_eq!(known.former, [[8; 32]].into());
}

async fn no_more_looks_wait_than_there_is_room_for(store: Arc<Desk>) {
    let names: Vec<String> = (0..WAITING + 7).map(|n| format!("/{n}")).collect();
    let rows = names.iter().map(|name| change(WWW, name)).collect();
    store.append(rows).await.unwrap();
    let assets: Vec<(&str, u64)> = names.iter().map(String::as_str).zip(1..).collect();
    purged(&store, 1, &assets).await;
    assert_eq!(planned(&store, true, None).await.left_out, 7);
    let fresh = next(&store).await.checks.remove(0);
    let looked = fresh.looked(&Verdict::Fresh, None, at(150));
    assert!(store.looked(looked).await.unwrap());
    fill(&store, &["/late", "/later"]).await;
    let seq = WAITING as u64 + 8;
    purged(&store, 2, &[("/late", seq), ("/later", seq + 1)]).await;
    assert_eq!(planned(&store, true, None).await.left_out, 1);
}

async fn a_purge_is_repeated_once_and_what_is_dropped_is_not(store: Arc<Desk>) {
    fill(&store, &["/a", "/b"]).await;
    purged(&store, 1, &[("/a", 1), ("/b", 2)]).await;
    planned(&store, false, Some(500)).await;
    assert_eq!(next(&store).await.again, Some(at(500)));
    assert_eq!(queued(&store).await, Vec::<String>::new());
    // Changed and purged meanwhile: once more after that.
    fill(&store, &["/b"]).await;
    purged(&store, 2, &[("/b", 3)]).await;
    planned(&store, false, Some(900)).await;
    assert_eq!(store.purge_again(at(500), 9).await.unwrap(), 1);
    assert_eq!(queued(&store).await, ["4 /a"]);
    assert_eq!(store.purge_again(at(900), 9).await.unwrap(), 1);
    let rows = store.queued_after(Seq(4), 9).await.unwrap();
    assert_eq!((&*rows[0].detail, rows[0].again), ("repurge_after", true));
    purged(&store, 3, &[("/a", 4), ("/b", 5)]).await;
    planned(&store, false, Some(1_500)).await;
    assert_eq!(next(&store).await, FollowUps::default(), "not a third time");

    fill(&store, &["/c"]).await;
    purged(&store, 4, &[("/c", 6)]).await;
    planned(&store, true, Some(2_000)).await;
    while store.drop_queue(pipeline(WWW), 9, None).await.unwrap() > 0 {}
    assert_eq!(next(&store).await, FollowUps::default());
}

async fn an_all_is_repeated_as_one(store: Arc<Desk>) {
    fill(&store, &["/a", "*"]).await;
    purged_all(&store, 1, 2).await;
    planned(&store, false, Some(500)).await;
    assert_eq!(store.purge_again(at(500), 9).await.unwrap(), 1);
    assert_eq!(queued(&store).await, ["3 *"]);
    assert!(store.queued_after(Seq(0), 9).await.unwrap()[0].again);
    purged_all(&store, 2, 3).await;
    planned(&store, false, Some(900)).await;
    assert_eq!(next(&store).await.again, None);
    // One that no change asked for, such as an escalation.
    purged_all(&store, 3, 3).await;
    planned(&store, false, Some(900)).await;
    assert_eq!(next(&store).await.again, Some(at(900)));
}

async fn what_is_not_configured_any_more_is_forgotten_and_no_time_is_too_far(store: Arc<Desk>) {
    fill(&store, &["/a", "/b"]).await;
    purged(&store, 1, &[("/a", 1)]).await;
    planned(&store, true, Some(99_000_000)).await;
    assert!(store.looked(stale(one(&store).await)).await.unwrap());
    purged(&store, 2, &[("/b", 2)]).await;
    let follows = |verify, repurge_after| {
        vec![Follows {
            pipeline: pipeline(WWW),
            verify,
            repurge_after,
        }]
    };
    let minute = Some(Duration::from_mins(1));
    // The clock was set back.
    let begin = store.begin_follow_ups(follows(true, minute), at(10));
    begin.await.unwrap();
    let due = next(&store).await;
    assert_eq!(due.again, Some(at(2_200).min(at(10).after(LONGEST_WAIT))));
    assert_eq!(due.unplanned, [pipeline(WWW)]);
    // A leader that does not know the pipeline yet leaves to it what is to be looked at.
    store.begin_follow_ups(Vec::new(), at(10)).await.unwrap();
    assert_eq!(next(&store).await, due);
    let begin = store.begin_follow_ups(follows(false, minute), at(10));
    begin.await.unwrap();
    assert_eq!(next(&store).await.again, Some(at(60_010)));
    let begin = store.begin_follow_ups(follows(false, None), at(10));
    begin.await.unwrap();
    assert_eq!(next(&store).await, FollowUps::default());
}

async fn a_failed_purge_ends_the_wait_for_it(store: Arc<Desk>) {
    fill(&store, &["/a"]).await;
    purged(&store, 1, &[("/a", 1)]).await;
    planned(&store, true, None).await;
    store.looked(stale(one(&store).await)).await.unwrap();
    store.purge_again(at(9_999), 9).await.unwrap();
    store
        .decide(vec![
            open(2, WWW, &[("/a", 2)]),
            settled(2, Outcome::Failed),
            follow(2),
        ])
        .await
        .unwrap();
    planned(&store, true, None).await;
    // Nothing of it is left: a purge by hand begins anew.
    store.append(vec![change(WWW, "/a")]).await.unwrap();
    purged(&store, 3, &[("/a", 3)]).await;
    planned(&store, true, None).await;
    assert_eq!(one(&store).await.round, 0);
}

async fn a_failed_all_ends_the_wait_for_it_too(store: Arc<Desk>) {
    fill(&store, &["/a"]).await;
    purged(&store, 1, &[("/a", 1)]).await;
    planned(&store, true, None).await;
    store.looked(stale(one(&store).await)).await.unwrap();
    store.purge_again(at(9_999), 9).await.unwrap();
    purge_all(&store, 2, WWW, 2).await;
    store
        .decide(vec![settled(2, Outcome::Failed), follow(2)])
        .await
        .unwrap();
    planned(&store, true, None).await;
    // Nothing of it is left.
    store.append(vec![change(WWW, "/a")]).await.unwrap();
    purged(&store, 3, &[("/a", 3)]).await;
    planned(&store, true, None).await;
    assert_eq!(one(&store).await.round, 0);
}

async fn what_the_files_held_is_known_also_after_purges_of_everything(store: Arc<Desk>) {
    store.append(vec![holding(2, 1)]).await.unwrap();
    purged_all(&store, 1, 1).await;
    store.append(vec![holding(3, 2)]).await.unwrap();
    purged(&store, 2, &[("/a", 2)]).await;
    planned(&store, true, None).await;
    let known = store.known(one(&store).await).await.unwrap();
    assert_eq!(known.current, [[3; 32]].into());
    assert_eq!(known.former, [[1; 32], [2; 32]].into());
}

async fn one_pipeline_takes_no_room_from_another(store: Arc<Desk>) {
    let names: Vec<String> = (0..WAITING).map(|n| format!("/{n}")).collect();
    let rows = names.iter().map(|name| change(WWW, name)).collect();
    store.append(rows).await.unwrap();
    let assets: Vec<(&str, u64)> = names.iter().map(String::as_str).zip(1..).collect();
    purged(&store, 1, &assets).await;
    assert_eq!(planned(&store, true, None).await.left_out, 0);
    let last = store.append(vec![change(SHOP, "/a")]).await.unwrap().last;
    store
        .decide(vec![
            open(2, SHOP, &[("/a", last.0)]),
            accepted(2),
            settled(2, Outcome::Done),
            follow(2),
        ])
        .await
        .unwrap();
    let plan = FollowUp {
        pipeline: pipeline(SHOP),
        now: at(200),
        ..plan(true, None)
    };
    assert_eq!(store.follow_up(plan, 9).await.unwrap().left_out, 0);
    let both = vec![pipeline(WWW), pipeline(SHOP)];
    let next = store.follow_ups(both, 3).await.unwrap().checks;
    let of = |id: &str| {
        next.iter()
            .filter(|one| one.pipeline == pipeline(id))
            .count()
    };
    assert_eq!((of(WWW), of(SHOP)), (3, 1), "the next of each");
}

async fn that_an_asset_is_absent_is_known_until_its_file_comes_anew(store: Arc<Desk>) {
    let with = |kind| {
        let mut row = change(WWW, "/a");
        row.kind = kind;
        row
    };
    let absent = async |check: &Check| store.known(check.clone()).await.unwrap().absent;
    let missing = Verdict::Missing {
        status: 404,
        usual: true,
    };
    store.append(vec![with(Kind::New)]).await.unwrap();
    purged(&store, 1, &[("/a", 1)]).await;
    planned(&store, true, None).await;
    let first = one(&store).await;
    assert!(!absent(&first).await);
    assert!(
        store
            .looked(first.looked(&missing, None, at(150)))
            .await
            .unwrap()
    );

    store.append(vec![with(Kind::Changed)]).await.unwrap();
    purged(&store, 2, &[("/a", 2)]).await;
    planned(&store, true, None).await;
    let second = one(&store).await;
    assert!(absent(&second).await);
    assert!(
        store
            .looked(second.looked(&missing, None, at(150)))
            .await
            .unwrap()
    );

    store.append(vec![with(Kind::New)]).await.unwrap();
    purged_all(&store, 3, 3).await;
    planned(&store, true, None).await;
    let third = one(&store).await;
    assert!(!absent(&third).await, "it came anew");
    assert!(
        store
            .looked(third.looked(&Verdict::Fresh, None, at(150)))
            .await
            .unwrap()
    );

    store.append(vec![with(Kind::Changed)]).await.unwrap();
    purged(&store, 4, &[("/a", 4)]).await;
    planned(&store, true, None).await;
    assert!(!absent(&one(&store).await).await, "it was served");
}
