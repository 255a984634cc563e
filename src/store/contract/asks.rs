//! What is asked of the leader: done and answered in one transaction, once, or withdrawn and not done.

use super::*;

contract! {
    what_is_asked_is_told_in_order_until_it_is_answered
    an_ask_is_answered_with_what_is_done_for_it_and_once
    what_takes_steps_is_answered_with_the_last
    what_is_withdrawn_is_not_done_unless_it_is_asked_again
    what_is_answered_is_not_withdrawn
    a_leader_withdraws_everything_that_is_not_answered
    out_of_its_term_nothing_is_answered_and_nothing_is_kept
    so_many_asks_are_kept
}

async fn ask(store: &Desk) -> AskId {
    store.ask("what".to_owned()).await.unwrap()
}

async fn state(store: &Desk, ask: AskId) -> AskState {
    store.ask_state(ask).await.unwrap().unwrap()
}

fn answered(word: &str) -> AskState {
    AskState::Answered(word.to_owned())
}

fn answering(ask: AskId, word: &str) -> Answering {
    Answering {
        ask,
        answer: word.to_owned(),
    }
}

fn pause() -> Pause {
    let reason = "because".to_owned();
    Pause::begin(pipeline(WWW), Holder::Operator, reason, None, at(7))
}

async fn paused(store: &Desk) -> bool {
    !store.unsettled().await.unwrap().pauses.is_empty()
}

async fn what_is_asked_is_told_in_order_until_it_is_answered(store: Arc<Desk>) {
    let first = store.ask("one".to_owned()).await.unwrap();
    let second = store.ask("two".to_owned()).await.unwrap();
    let told = store.asks().await.unwrap();
    let bodies: Vec<_> = told.iter().map(|ask| (ask.id, &*ask.body)).collect();
    assert_eq!(bodies, [(first, "one"), (second, "two")]);
    assert_eq!(told[0].node, store.node());
    assert_eq!(state(&store, first).await, AskState::Open);
    store.answer(answering(first, "no")).await.unwrap();
    assert_eq!(state(&store, first).await, answered("no"));
    assert_eq!(store.asks().await.unwrap(), told[1..]);
}

async fn an_ask_is_answered_with_what_is_done_for_it_and_once(store: Arc<Desk>) {
    let first = ask(&store).await;
    let asked = || Some(answering(first, "held"));
    store.pause(pause(), asked()).await.unwrap();
    assert_eq!(state(&store, first).await, answered("held"));
    let second = ask(&store).await;
    let resume = |asked| store.resume(pipeline(WWW), Holder::Operator, at(8), asked);
    let ended = resume(Some(answering(second, "goes on"))).await;
    assert!(ended.unwrap());
    assert_eq!(state(&store, second).await, answered("goes on"));
    // The next leader may have read it before it was answered.
    let again = store.pause(pause(), asked()).await;
    assert!(matches!(again, Err(StoreError::Withdrawn)), "{again:?}");
    assert!(!paused(&store).await, "nothing of it was kept");
}

async fn what_takes_steps_is_answered_with_the_last(store: Arc<Desk>) {
    fill(&store, &["/a", "/b"]).await;
    let open = open(1, WWW, &[("/a", 1), ("/b", 2)]);
    let failed = vec![open, settled(1, Outcome::Failed)];
    store.decide(failed).await.unwrap();
    let retried = ask(&store).await;
    let what = || Retry::Pipeline(pipeline(WWW));
    let retry = async |word: &str| {
        let step = store.retry(what(), 1, Some(answering(retried, word)));
        step.await.unwrap().len()
    };
    assert_eq!((retry("0").await, retry("1").await), (1, 1));
    assert_eq!(state(&store, retried).await, AskState::Open);
    assert_eq!(retry("2").await, 0);
    assert_eq!(state(&store, retried).await, answered("2"));

    let dropped = ask(&store).await;
    let asked = || Some(answering(dropped, "so many"));
    let step = store.drop_queue(pipeline(WWW), 1, asked()).await;
    assert_eq!(step.unwrap(), 1);
    assert_eq!(state(&store, dropped).await, AskState::Open);
    // Each step asks whether it is still wanted.
    assert!(store.withdraw(dropped).await.unwrap());
    let step = store.drop_queue(pipeline(WWW), 1, asked()).await;
    assert!(matches!(step, Err(StoreError::Withdrawn)), "{step:?}");
    assert_eq!(queued(&store).await.len(), 1);
    store.ask_again(dropped).await.unwrap();
    while store.drop_queue(pipeline(WWW), 1, asked()).await.unwrap() > 0 {}
    assert_eq!(state(&store, dropped).await, answered("so many"));
    assert_eq!(queued(&store).await, Vec::<String>::new());
}

async fn what_is_withdrawn_is_not_done_unless_it_is_asked_again(store: Arc<Desk>) {
    let asked = ask(&store).await;
    assert!(store.withdraw(asked).await.unwrap());
    assert_eq!(state(&store, asked).await, AskState::Withdrawn);
    assert_eq!(store.asks().await.unwrap(), []);
    let held = || store.pause(pause(), Some(answering(asked, "held")));
    let refused = held().await;
    assert!(matches!(refused, Err(StoreError::Withdrawn)), "{refused:?}");
    let refused = store.answer(answering(asked, "no")).await;
    assert!(matches!(refused, Err(StoreError::Withdrawn)), "{refused:?}");
    assert!(!paused(&store).await);
    store.ask_again(asked).await.unwrap();
    assert_eq!(store.asks().await.unwrap().len(), 1);
    held().await.unwrap();
    assert!(paused(&store).await);
}

async fn what_is_answered_is_not_withdrawn(store: Arc<Desk>) {
    let asked = ask(&store).await;
    store.answer(answering(asked, "so")).await.unwrap();
    assert!(!store.withdraw(asked).await.unwrap());
    store.ask_again(asked).await.unwrap();
    store.withdraw_asks().await.unwrap();
    assert_eq!(state(&store, asked).await, answered("so"));
    assert_eq!(store.asks().await.unwrap(), []);
}

async fn a_leader_withdraws_everything_that_is_not_answered(store: Arc<Desk>) {
    let (first, second) = (ask(&store).await, ask(&store).await);
    let read = store.lease().await.unwrap();
    let begun = store.store().take_over(read, Term(7), NodeId(2), at(9));
    let leader = begun.await.unwrap().unwrap();
    leader.withdraw_asks().await.unwrap();
    assert_eq!(leader.asks().await.unwrap(), []);
    // Its asker still waits.
    store.ask_again(second).await.unwrap();
    let asks = leader.asks().await.unwrap();
    assert_eq!(asks.iter().map(|ask| ask.id).collect::<Vec<_>>(), [second]);
    assert_eq!(state(&store, first).await, AskState::Withdrawn);
}

async fn out_of_its_term_nothing_is_answered_and_nothing_is_kept(store: Arc<Desk>) {
    fill(&store, &["/a"]).await;
    let asked = ask(&store).await;
    let read = store.lease().await.unwrap();
    let begun = store.store().take_over(read, Term(7), NodeId(2), at(9));
    let leader = begun.await.unwrap().unwrap();
    let so = || Some(answering(asked, "so"));
    let refused = [
        store.pause(pause(), so()).await,
        store.drop_queue(pipeline(WWW), 9, so()).await.map(drop),
        store.answer(answering(asked, "so")).await,
        store.withdraw_asks().await,
    ];
    for refused in refused {
        assert!(
            matches!(refused, Err(StoreError::Superseded)),
            "{refused:?}"
        );
    }
    assert_eq!(state(&store, asked).await, AskState::Open);
    assert!(!paused(&store).await);
    assert_eq!(queued(&leader).await, ["1 /a"]);
    leader.pause(pause(), so()).await.unwrap();
    assert_eq!(state(&store, asked).await, answered("so"));
}

async fn so_many_asks_are_kept(store: Arc<Desk>) {
    let first = ask(&store).await;
    let second = ask(&store).await;
    for _ in 1..ASKS_KEPT {
        ask(&store).await;
    }
    assert_eq!(store.ask_state(first).await.unwrap(), None);
    assert!(!store.withdraw(first).await.unwrap());
    assert_eq!(state(&store, second).await, AskState::Open);
    assert_eq!(store.asks().await.unwrap().len(), ASKS_KEPT);
}
