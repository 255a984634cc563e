//! Several nodes on one schema: each with its own past, and no two processes as one of them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::core::change::{NewChange, PipelineId};
use crate::core::delivery::{DeliveryState, Taken, Work};
use crate::core::lease::NodeId;
use crate::core::time::Time;
use crate::store::contract::deliveries::delivery;

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// The settings of a node with a state directory of its own.
fn node(server: &Server, name: &str) -> StoreSettings {
    let settings = server.settings("edgepurge");
    let database = settings.database.unwrap();
    StoreSettings {
        directory: server.state.path().join(name),
        database: Some(Database {
            node: name.to_owned(),
            ..database
        }),
        ..settings
    }
}

/// A process of a node, with the tasks that end with it.
struct Process {
    store: Store,
    supervisor: Supervisor,
}

impl Process {
    fn start(settings: &StoreSettings) -> Self {
        let (supervisor, _faults) = Supervisor::new();
        let store = loop {
            match Store::open(settings, &supervisor) {
                Ok(store) => break store,
                Err(StoreError::Away(why)) if is_starting(&why.to_string()) => {
                    std::thread::yield_now();
                }
                Err(error) => panic!("{error}"),
            }
        };
        Self { store, supervisor }
    }

    async fn end(self) {
        close(self.store, &self.supervisor).await;
    }

    fn beginning(&self) -> &Beginning {
        &self.store.lineage().beginning
    }

    /// Appends a change of a file. Returns its number.
    async fn notice(&self, asset: &str) -> Seq {
        let appended = self.store.append(vec![change("www", asset)]).await;
        appended.unwrap().last
    }

    async fn facts(&self) -> Vec<Seq> {
        let of = (PipelineId::new("www"), "site".to_owned());
        let facts = self.store.facts_after(of.0, of.1, Seq(0), 99).await;
        facts.unwrap().into_iter().map(|(seq, _)| seq).collect()
    }
}

#[tokio::test]
async fn each_node_appends_to_one_queue_and_brings_its_index_up_to_date_from_its_own_files() {
    let Some(server) = Server::start() else {
        return;
    };
    let [one, two] = ["web-1", "web-2"].map(|name| Process::start(&node(&server, name)));
    assert_eq!((one.store.node(), two.store.node()), (NodeId(1), NodeId(2)));
    assert_eq!(one.notice("/a").await, Seq(1));
    assert_eq!(two.notice("/a").await, Seq(2));
    assert_eq!(one.notice("/b").await, Seq(3));
    assert_eq!(one.facts().await, [Seq(1), Seq(3)]);
    assert_eq!(two.facts().await, [Seq(2)]);
    // After a restart, too: a node is who it was.
    two.end().await;
    let two = Process::start(&node(&server, "web-2"));
    assert_eq!(two.store.node(), NodeId(2));
    assert_eq!(two.facts().await, [Seq(2)]);
    assert_eq!(two.notice("/c").await, Seq(4));
}

#[tokio::test]
async fn a_node_that_joins_others_has_nothing_to_purge_and_one_that_comes_back_goes_on() {
    let Some(server) = Server::start() else {
        return;
    };
    let one = Process::start(&node(&server, "web-1"));
    one.notice("/a").await;
    let two = Process::start(&node(&server, "web-2"));
    assert_eq!(two.beginning(), &Beginning::New);
    assert_eq!(two.store.lineage().last, Seq(1));
    assert_eq!(two.store.lineage().epoch, one.store.lineage().epoch);
    two.end().await;
    let two = Process::start(&node(&server, "web-2"));
    assert_eq!(two.beginning(), &Beginning::Continued);
    // One that has lost its state directory may have missed a change of its files.
    two.end().await;
    std::fs::remove_dir_all(server.state.path().join("web-2")).unwrap();
    let two = Process::start(&node(&server, "web-2"));
    assert_eq!(two.store.node(), NodeId(2));
    assert!(matches!(two.beginning(), Beginning::Anew(_)));
    // So may a new one, where no other has looked meanwhile.
    one.end().await;
    two.end().await;
    let three = Process::start(&node(&server, "web-3"));
    assert!(matches!(three.beginning(), Beginning::Anew(why) if why.contains("web-3")));
}

#[tokio::test]
async fn two_processes_as_one_node_the_second_is_refused_and_the_first_goes_on() {
    let Some(server) = Server::start() else {
        return;
    };
    let one = Process::start(&node(&server, "web-1"));
    assert_eq!(one.notice("/a").await, Seq(1));
    let copied = server.state.path().join("copy");
    std::fs::create_dir(&copied).unwrap();
    let key = server.state.path().join("web-1/node");
    std::fs::copy(key, copied.join("node")).unwrap();
    let copy = StoreSettings {
        directory: copied,
        ..node(&server, "web-9")
    };
    let namesake = StoreSettings {
        directory: server.state.path().join("namesake"),
        ..node(&server, "web-1")
    };
    let (supervisor, _faults) = Supervisor::new();
    let runtime = tokio::runtime::Handle::current();
    let open = &|second: &StoreSettings| {
        let _entered = runtime.enter();
        Store::open(second, &supervisor).unwrap_err()
    };
    let refused = std::thread::scope(|scope| {
        let opening = [&copy, &namesake].map(|second| scope.spawn(move || open(second)));
        opening.map(|opening| opening.join().unwrap())
    });
    // It does not beat: perhaps its process is dead, and the session is still to end.
    for refused in refused {
        let said = refused.to_string();
        assert!(matches!(refused, StoreError::Away(_)), "{said}");
        assert!(said.contains("a session of the node"), "{said}");
    }
    assert_eq!(one.notice("/b").await, Seq(2));
}

#[tokio::test]
async fn a_delivery_that_comes_again_at_another_node_is_recognised() {
    let Some(server) = Server::start() else {
        return;
    };
    let [one, two] = ["web-1", "web-2"].map(|name| Process::start(&node(&server, name)));
    let done = || delivery("a", Work::Changes(Vec::new()));
    assert_eq!(
        one.store.take_delivery(done()).await.unwrap(),
        Taken::New(0)
    );
    let repeated = two.store.take_delivery(done()).await.unwrap();
    assert_eq!(repeated, Taken::Duplicate);
    let of = ("/hooks/www".to_owned(), "a".to_owned());
    let found = two.store.delivery(of.0, of.1).await.unwrap();
    assert_eq!(found.unwrap().state, DeliveryState::Done);
}

/// What one node takes while the other's planner has what it would be joined to.
#[tokio::test]
async fn what_a_delivery_asks_for_is_queued_after_all_that_another_node_may_have_pulled() {
    let Some(server) = Server::start() else {
        return;
    };
    let [one, two] = ["web-1", "web-2"].map(|name| Process::start(&node(&server, name)));
    let leader = leading(one.store).await;
    let asked = |event: &str| {
        let change = NewChange {
            file: None,
            ..change("www", "/a")
        };
        delivery(event, Work::Changes(vec![change]))
    };
    leader.take_delivery(asked("a")).await.unwrap();
    assert_eq!(leader.queued_after(Seq(0), 9).await.unwrap().len(), 1);
    two.store.take_delivery(asked("b")).await.unwrap();
    assert_eq!(leader.queued_after(Seq(1), 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_another_node_commits_is_announced_as_what_this_one_does() {
    let Some(server) = Server::start() else {
        return;
    };
    let [one, two] = ["web-1", "web-2"].map(|name| Process::start(&node(&server, name)));
    let (mut last, mut waiting) = (one.store.subscribe(), one.store.subscribe_waiting());
    let appended = two.notice("/a").await;
    last.wait_for(|last| *last == appended).await.unwrap();
    waiting.mark_unchanged();
    let scan = two.store.take_delivery(delivery("a", Work::Scan)).await;
    assert_eq!(scan.unwrap(), Taken::New(0));
    waiting.changed().await.unwrap();
    // A connection that was lost is made again.
    beside(&server, CUT);
    let appended = insist(async || two.store.append(vec![change("www", "/b")]).await).await;
    last.wait_for(|last| *last == appended.last).await.unwrap();
    assert!(!one.store.subscribe_others().borrow().is_deaf);
}

/// As where something in between keeps the announcements back.
#[tokio::test]
async fn commits_that_are_not_announced_are_found_all_the_same_and_that_is_said() {
    let Some(server) = Server::start() else {
        return;
    };
    let [one, _two] = ["web-1", "web-2"].map(|name| Process::start(&node(&server, name)));
    let mut others = one.store.subscribe_others();
    others.changed().await.unwrap();
    while !others.borrow_and_update().is_deaf {
        beside(
            &server,
            "INSERT INTO edgepurge.batch SELECT 2, max(n) + 1, 0 FROM edgepurge.batch WHERE node = 2",
        );
        others.changed().await.unwrap();
    }
    one.notice("/a").await;
    others.wait_for(|others| !others.is_deaf).await.unwrap();
}

#[tokio::test]
async fn a_node_says_that_it_runs_and_renews_and_resigns_while_another_writes_for_long() {
    let Some(server) = Server::start() else {
        return;
    };
    let [one, two] = ["web-1", "web-2"].map(|name| Process::start(&node(&server, name)));
    let leader = leading(one.store).await;
    let url = server.settings("edgepurge").database.unwrap().url;
    let (writes, connection) = url().unwrap().connect("test").await.unwrap();
    let busy = async {
        let long = "BEGIN; SELECT pg_advisory_xact_lock(1162891569, hashtext('edgepurge'))";
        writes.batch_execute(long).await.unwrap();
        let marks = async || {
            let count = "SELECT count(*) FROM edgepurge.batch";
            let row = writes.query_one(count, &[]).await.unwrap();
            row.get::<_, i64>(0)
        };
        let before = marks().await;
        let mut append = std::pin::pin!(two.store.append(vec![change("www", "/a")]));
        assert!(append.as_mut().now_or_never().is_none());
        for beat in 0..3 {
            let nodes = two.store.beat(at(beat)).await.unwrap();
            assert_eq!(nodes[1].since, at(beat));
            assert!(leader.renew(leader.term()).await.unwrap());
        }
        let mut others = two.store.subscribe_others();
        leader.resign(leader.term()).await.unwrap();
        // It is announced: a look of two seconds later is not waited for.
        let vacant = others.wait_for(|others| others.is_vacant);
        let vacant = tokio::time::timeout(Duration::from_secs(1), vacant).await;
        vacant.unwrap().unwrap();
        two.store.leave().await.unwrap();
        assert!(append.as_mut().now_or_never().is_none(), "it waits");
        assert_eq!(marks().await, before);
        writes.batch_execute("ROLLBACK").await.unwrap();
        append.await.unwrap();
    };
    tokio::select! {
        () = async { drop(connection.await) } => panic!("closed"),
        () = busy => {}
    }
}

#[tokio::test]
async fn a_node_whose_connection_was_lost_resigns_all_the_same() {
    let Some(server) = Server::start() else {
        return;
    };
    let [one, two] = ["web-1", "web-2"].map(|name| Process::start(&node(&server, name)));
    let leader = leading(one.store).await;
    leader.renew(leader.term()).await.unwrap();
    beside(&server, CUT);
    leader.resign(leader.term()).await.unwrap();
    let lease = insist(async || two.store.lease().await).await;
    assert_eq!(lease.leader, None);
}

#[tokio::test]
async fn which_queues_are_full_is_said_to_the_other_nodes() {
    let Some(server) = Server::start() else {
        return;
    };
    let [one, two] = ["web-1", "web-2"].map(|name| Process::start(&node(&server, name)));
    let leader = leading(one.store).await;
    let mut full = two.store.subscribe_full();
    let both = BTreeSet::from(["www", "shop"].map(PipelineId::new));
    leader.set_full(both.clone()).await.unwrap();
    full.wait_for(|full| *full == both).await.unwrap();
    leader.set_full(BTreeSet::new()).await.unwrap();
    full.wait_for(BTreeSet::is_empty).await.unwrap();
}

#[tokio::test]
async fn a_process_that_another_one_has_replaced_says_no_more_that_its_node_runs() {
    let Some(server) = Server::start() else {
        return;
    };
    let one = Process::start(&node(&server, "web-1"));
    one.store.beat(at(1)).await.unwrap();
    beside(&server, "UPDATE edgepurge.node SET instance = instance + 1");
    let refused = one.store.beat(at(2)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unusable(_)), "{refused}");
}
