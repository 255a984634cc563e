//! What an observer of commits gets.

use std::sync::Mutex;
use std::time::Duration;

use super::deliveries::delivery;
use super::*;
use crate::clock::Clock;
use crate::core::delivery::{NewDelivery, Work};

contract! {
    changes_are_counted_when_they_are_committed_and_not_before
    what_is_refused_out_of_its_term_is_counted
}

/// An observer that lists the changes, and no times.
#[derive(Clone, Default)]
struct Listing(Arc<Mutex<Vec<String>>>);

impl Listing {
    fn of(store: &Desk) -> Self {
        let listing = Self::default();
        store.observe_commits(Clock::start(), listing.clone());
        listing
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl CommitObserver for Listing {
    fn committed(&self, _: Duration) {}

    fn appended(&self, pipeline: &PipelineId, source: Source, changes: u64) {
        let told = format!("{changes} of {pipeline} by {}", source.as_str());
        self.0.lock().unwrap().push(told);
    }

    fn fenced(&self) {
        self.0.lock().unwrap().push("fenced".to_owned());
    }
}

async fn changes_are_counted_when_they_are_committed_and_not_before(store: Arc<Desk>) {
    let listing = Listing::of(&store);
    let rows = vec![change(WWW, "/a"), change(SHOP, "/a"), change(WWW, "/b")];
    store.append(rows).await.unwrap();
    assert_eq!(listing.take(), ["1 of shop by watch", "2 of www by watch"]);
    let asked = |of| NewChange {
        kind: Kind::Asked,
        source: Source::Webhook,
        file: None,
        ..change(WWW, of)
    };
    let now = delivery("a", Work::Changes(vec![asked("/c")]));
    let later = NewDelivery {
        due: at(5_000),
        ..delivery("b", Work::Changes(vec![asked("/d"), asked("/e")]))
    };
    store.take_delivery(now).await.unwrap();
    assert_eq!(listing.take(), ["1 of www by webhook"]);
    store.take_delivery(later).await.unwrap();
    assert_eq!(listing.take(), Vec::<String>::new());
    store.release_deliveries(at(5_000), 9).await.unwrap();
    assert_eq!(listing.take(), ["2 of www by webhook"]);
    // What is pulled, and purged, is counted no more.
    store.queued_after(Seq(0), 9).await.unwrap();
    store
        .decide(vec![open(1, WWW, &[("/a", 1)])])
        .await
        .unwrap();
    assert_eq!(listing.take(), Vec::<String>::new());
}

async fn what_is_refused_out_of_its_term_is_counted(store: Arc<Desk>) {
    let listing = Listing::of(&store);
    let read = store.lease().await.unwrap();
    let begun = store.store().take_over(read, Term(5), NodeId(2), at(9));
    begun.await.unwrap().unwrap();
    store.prune(at(9), 9).await.unwrap_err();
    store.purge_again(at(9), 9).await.unwrap_err();
    assert_eq!(listing.take(), ["fenced", "fenced"]);
}
