//! What a server has forgotten, as after a failover to a standby that was behind, is committed again, or known
//! to be lost.

use super::*;
use crate::core::change::Target;
use crate::core::delivery::Work;
use crate::store::contract::deliveries::delivery;

/// Takes these tables back to an earlier state, as a standby has it that was behind.
struct Earlier([&'static str; 5]);

impl Earlier {
    /// Remembers how the tables are.
    fn keep(server: &Server) -> Self {
        let tables = ["change", "delivery", "batch", "node", "fleet"];
        let mut script = "DROP SCHEMA IF EXISTS earlier CASCADE; CREATE SCHEMA earlier;".to_owned();
        for table in tables {
            write!(
                script,
                "CREATE TABLE earlier.{table} AS TABLE edgepurge.{table};"
            )
            .unwrap();
        }
        beside(server, &script);
        Self(tables)
    }

    /// Cuts all sessions, and gives the tables back as they were.
    fn put_back(&self, server: &Server) {
        let mut script = format!("BEGIN; LOCK TABLE edgepurge.batch; {CUT};");
        for table in self.0 {
            write!(
                script,
                "DELETE FROM edgepurge.{table}; INSERT INTO edgepurge.{table} SELECT * FROM earlier.{table};"
            )
            .unwrap();
        }
        script.push_str("COMMIT");
        beside(server, &script);
    }
}

async fn queued(store: &Desk) -> Vec<String> {
    let queued = insist(async || store.queued_after(Seq(0), 1_000).await).await;
    let assets = queued.iter().map(|change| match &change.target {
        Target::Asset(asset) => asset.to_string(),
        Target::All => "*".to_owned(),
    });
    assets.collect()
}

#[tokio::test]
async fn what_was_answered_and_forgotten_is_committed_again_in_order_with_new_numbers() {
    let Some(server) = Server::start() else {
        return;
    };
    let (supervisor, _faults) = Supervisor::new();
    let mut store = leading(server.open("edgepurge", &supervisor)).await;
    store.append(vec![change("www", "/a")]).await.unwrap();
    let earlier = Earlier::keep(&server);
    store.append(vec![change("www", "/b")]).await.unwrap();
    let asked = delivery("c", Work::Changes(vec![change("www", "/c")]));
    store.take_delivery(asked).await.unwrap();
    let last = store.append(vec![change("www", "/d")]).await.unwrap().last;
    earlier.put_back(&server);
    let next = insist(async || store.append(vec![change("www", "/e")]).await).await;
    assert!(
        next.first > Seq(last.0 + 3),
        "no number is given twice: {next:?}"
    );
    // Its term rests on what is gone.
    loop {
        match store.queued_after(Seq(0), 9).await {
            Err(StoreError::Superseded) => break,
            Err(StoreError::Away(_)) => tokio::task::yield_now().await,
            answered => panic!("{answered:?}"),
        }
    }
    store = lead_again(&store).await.into();
    assert_eq!(queued(&store).await, ["/a", "/b", "/c", "/d", "/e"]);
    let found = store.delivery("/hooks/www".to_owned(), "c".to_owned());
    assert!(found.await.unwrap().is_some());
    let history = *store.subscribe_history().borrow();
    assert_eq!(history.replayed, 3);
    // And once more, of what was committed again.
    earlier.put_back(&server);
    store = lead_again(&store).await.into();
    assert_eq!(queued(&store).await, ["/a", "/b", "/c", "/d", "/e"]);
    // The next start goes on.
    drop(store);
    supervisor.stop().await;
    let (supervisor, _faults) = Supervisor::new();
    let store = server.open("edgepurge", &supervisor);
    assert_eq!(store.lineage().beginning, Beginning::Continued);
}

#[tokio::test]
async fn what_is_forgotten_while_its_node_does_not_run_is_a_loss_at_its_next_start() {
    let Some(server) = Server::start() else {
        return;
    };
    let (supervisor, _faults) = Supervisor::new();
    let store = server.open("edgepurge", &supervisor);
    let epoch = store.lineage().epoch.clone();
    let earlier = Earlier::keep(&server);
    store.append(vec![change("www", "/a")]).await.unwrap();
    close(store, &supervisor).await;
    earlier.put_back(&server);
    let (supervisor, _faults) = Supervisor::new();
    let store = server.open("edgepurge", &supervisor);
    let beginning = &store.lineage().beginning;
    assert!(
        matches!(beginning, Beginning::Anew(why) if why.contains("forgotten")),
        "{beginning:?}"
    );
    assert_ne!(store.lineage().epoch, epoch);
    close(store, &supervisor).await;
    // It is told once.
    let (supervisor, _faults) = Supervisor::new();
    let store = server.open("edgepurge", &supervisor);
    assert_eq!(store.lineage().beginning, Beginning::Continued);
}

#[tokio::test]
async fn a_state_directory_from_a_backup_goes_on_where_the_database_still_knows_its_commits() {
    let Some(server) = Server::start() else {
        return;
    };
    let (supervisor, _faults) = Supervisor::new();
    let store = server.open("edgepurge", &supervisor);
    let mark = server.state.path().join("edgepurge/node.mark");
    let backup = std::fs::read(&mark).unwrap();
    store.append(vec![change("www", "/a")]).await.unwrap();
    assert_ne!(std::fs::read(&mark).unwrap(), backup);
    close(store, &supervisor).await;
    for forget in ["", "DELETE FROM edgepurge.batch WHERE n < 2"] {
        std::fs::write(&mark, &backup).unwrap();
        beside(&server, forget);
        let (supervisor, _faults) = Supervisor::new();
        let store = server.open("edgepurge", &supervisor);
        assert_eq!(store.lineage().beginning, Beginning::Continued);
        close(store, &supervisor).await;
    }
}

#[tokio::test]
async fn commits_that_are_in_no_ring_are_noticed_and_the_next_start_knows_why() {
    let Some(server) = Server::start() else {
        return;
    };
    let (supervisor, mut faults) = Supervisor::new();
    let store = server.open("edgepurge", &supervisor);
    let epoch = store.lineage().epoch.clone();
    store.append(vec![change("www", "/a")]).await.unwrap();
    // Another history.
    beside(&server, "UPDATE edgepurge.batch SET mark = mark + 1");
    beside(&server, CUT);
    drop(store.append(vec![change("www", "/b")]).await);
    let fault = faults.first().await.to_string();
    assert!(fault.contains("forgotten"), "{fault}");
    close(store, &supervisor).await;
    let (supervisor, _faults) = Supervisor::new();
    let store = server.open("edgepurge", &supervisor);
    assert!(
        matches!(&store.lineage().beginning, Beginning::Anew(why) if why.contains("forgotten"))
    );
    assert_ne!(store.lineage().epoch, epoch);
}
