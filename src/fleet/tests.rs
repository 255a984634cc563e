//! One node leads at a time, and another at once where one resigns.

use tokio::sync::mpsc;

use super::*;
use crate::core::lease::Term;
use crate::store::InlineDatabase;

/// A node whose leadership lasts until it has to end, and where its desks arrive.
struct Node {
    handle: FleetHandle,
    supervisor: Supervisor,
    desks: mpsc::Receiver<Desk>,
}

impl Node {
    fn start(store: &Arc<Store>, id: i64) -> Self {
        let (arrives, desks) = mpsc::channel(9);
        let lead: Lead = Box::new(move |desk, _, over| {
            arrives.try_send(desk).unwrap();
            async move {
                over.cancelled().await;
                Ok(())
            }
            .boxed()
        });
        let supervisor = Supervisor::default();
        Self {
            handle: spawn(store, NodeId(id), lead, Clock::start(), &supervisor),
            supervisor,
            desks,
        }
    }
}

fn store() -> Arc<Store> {
    Arc::new(InlineDatabase::new().unwrap().open().unwrap())
}

#[tokio::test]
async fn one_node_leads_and_another_as_soon_as_it_stops() {
    let store = store();
    let mut first = Node::start(&store, 1);
    let desk = first.desks.recv().await.unwrap();
    assert!(first.handle.leads() && desk.tenure().holds(Clock::since_boot()));
    let mut second = Node::start(&store, 2);
    let beat = store.lease().await.unwrap().beat;
    while store.lease().await.unwrap().beat == beat {
        tokio::task::yield_now().await;
    }
    assert!(!second.handle.leads() && second.desks.is_empty());
    first.supervisor.stop().await;
    assert!(!first.handle.leads());
    let next = second.desks.recv().await.unwrap();
    assert_ne!(next.term(), desk.term());
    second.supervisor.stop().await;
    assert_eq!(store.lease().await.unwrap().leader, None);
}

#[tokio::test]
async fn a_node_that_led_before_its_restart_leads_at_once() {
    let store = store();
    let read = store.lease().await.unwrap();
    let killed = store.take_over(read, Term(7), NodeId(2), Time::ZERO);
    drop(killed.await.unwrap().unwrap());
    let mut again = Node::start(&store, 2);
    let desk = again.desks.recv().await.unwrap();
    assert_ne!(desk.term(), Term(7));
    again.supervisor.stop().await;
}

#[tokio::test]
async fn what_ends_by_itself_begins_again_in_another_term() {
    let store = store();
    let (arrives, mut desks) = mpsc::channel(9);
    let mut begun = false;
    let lead: Lead = Box::new(move |desk, _, over| {
        let first = !std::mem::replace(&mut begun, true);
        arrives.try_send(desk).unwrap();
        async move {
            if !first {
                over.cancelled().await;
            }
            Ok(())
        }
        .boxed()
    });
    let supervisor = Supervisor::default();
    let handle = spawn(&store, NodeId(1), lead, Clock::start(), &supervisor);
    let (first, second) = (desks.recv().await.unwrap(), desks.recv().await.unwrap());
    assert_ne!(first.term(), second.term());
    assert!(handle.leads());
    supervisor.stop().await;
}

#[tokio::test]
async fn a_node_that_cannot_begin_leaves_it_to_another() {
    let store = store();
    let lead: Lead = Box::new(|_, _, _| async { Err("it can't be restored".to_owned()) }.boxed());
    let supervisor = Supervisor::default();
    let unable = spawn(&store, NodeId(1), lead, Clock::start(), &supervisor);
    while store.lease().await.unwrap().beat < 2 {
        tokio::task::yield_now().await;
    }
    let mut able = Node::start(&store, 2);
    able.desks.recv().await.unwrap();
    assert!(able.handle.leads() && !unable.leads());
    supervisor.stop().await;
    able.supervisor.stop().await;
}
