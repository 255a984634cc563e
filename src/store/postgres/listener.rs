//! What other nodes commit: the server announces each commit, and a look shows what it was. A look is made now
//! and then all the same, so that nothing depends on announcements: something in between may keep them back,
//! which the looks show.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::session::SERVER;
use super::{Database, failed};
use crate::core::backoff::Backoff;
use crate::core::change::{PipelineId, Seq};
use crate::core::lease::NodeId;
use crate::store::calls::operate;
use crate::store::servers::Servers;
use crate::store::sqlite::{DeliveryBatcher, announce};
use crate::store::{OtherNodes, StoreError};
use crate::supervise::Supervisor;

/// The time between two looks at the most.
const POLL: Duration = Duration::from_secs(2);
/// The time between two looks at the least: a flood of commits takes few.
const CALM: Duration = Duration::from_millis(5);
/// How long the answer to a look is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The waits between attempts to reach the server.
const TRY_AGAIN: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
/// So many looks in a row found commits that were not announced, and no announcement came: one may come late.
const DEAF: u32 = 2;

/// The last numbers, how many commits there were of all nodes and of this one, whether no node leads, and which
/// queues are full.
const LOOK: &str = "
    SELECT (SELECT max(seq) FROM change) AS change, (SELECT max(id) FROM delivery) AS delivery,
           coalesce(sum(n), 0)::bigint AS commits,
           coalesce(sum(n) FILTER (WHERE id = $1), 0)::bigint AS own,
           (SELECT leader IS NULL FROM fleet) AS is_vacant,
           (SELECT value FROM meta WHERE key = $2) AS full
    FROM (SELECT id, (SELECT max(n) FROM batch WHERE batch.node = node.id) AS n FROM node) AS last";

/// What a look found.
#[derive(Clone, Copy, Default)]
struct Seen {
    change: i64,
    delivery: i64,
    commits: i64,
    own: i64,
    is_vacant: bool,
    heard: Heard,
}

/// How many announcements had come by a look, and how many of them from other nodes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Heard {
    all: u64,
    of_others: u64,
}

/// The looks until now.
#[derive(Default)]
struct Looks {
    last: Option<Seen>,
    /// How many found commits that were not announced, since the last announcement.
    missed: u32,
    /// How many connections were lost or not made, since the last look.
    failures: u32,
}

/// Follows the commits of other nodes until the store is gone.
pub(super) struct Listener {
    pub(super) database: Database,
    pub(super) node: NodeId,
    /// Announces changes; gone with the store.
    pub(super) last: Weak<watch::Sender<Seq>>,
    /// Announces deliveries that wait.
    pub(super) arrivals: DeliveryBatcher,
    pub(super) others: Arc<watch::Sender<OtherNodes>>,
    pub(super) full: Arc<watch::Sender<BTreeSet<PipelineId>>>,
    pub(super) servers: Arc<Servers>,
}

impl Listener {
    pub(super) fn spawn(self, supervisor: &Supervisor) {
        let stopping = supervisor.stopping();
        supervisor.spawn("listener of the queue", async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = self.run() => {}
            }
            Ok(())
        });
    }

    async fn run(self) {
        let (mut rng, mut looks) = (fastrand::Rng::new(), Looks::default());
        while self.last.strong_count() > 0 {
            if let Err(error) = self.follow(&mut looks).await {
                tracing::debug!("what other nodes commit can't be followed: {error}");
            }
            looks.failures = looks.failures.saturating_add(1);
            tokio::time::sleep(TRY_AGAIN.wait(looks.failures, &mut rng)).await;
        }
    }

    /// Looks again and again, by one connection.
    async fn follow(&self, looks: &mut Looks) -> Result<(), StoreError> {
        let count = watch::Sender::new(Heard::default());
        let mut hears = count.subscribe();
        let own = self.node.0.to_string();
        let hear = move |notification: tokio_postgres::Notification| {
            count.send_if_modified(|heard| {
                let of_other = notification.payload() != own;
                heard.all += 1;
                heard.of_others += u64::from(of_other);
                of_other
            });
        };
        let away = |why: String| StoreError::Away(why.into());
        let url = (self.database.url)().map_err(away)?;
        let (client, connection) = url
            .listen("edgepurge listener", hear)
            .await
            .map_err(|error| away(error.to_string()))?;
        tokio::select! {
            ended = connection => ended.map_err(failed),
            ended = self.look_on(&client, &mut hears, looks) => ended,
        }
    }

    async fn look_on(
        &self,
        client: &Client,
        hears: &mut watch::Receiver<Heard>,
        looks: &mut Looks,
    ) -> Result<(), StoreError> {
        let schema = &self.database.schema;
        let set_up = format!("SET search_path = {schema}; LISTEN {schema}");
        client.batch_execute(&set_up).await.map_err(failed)?;
        let full = operate::key_of(operate::FULL);
        let server = client.query_one(SERVER, &[]).await.map_err(failed)?;
        let server = self.servers.found(server.try_get(0).map_err(failed)?);
        let statement = client.prepare(LOOK).await.map_err(failed)?;
        while let Some(last) = self.last.upgrade() {
            if server != self.servers.changes() {
                // What other nodes had done by the last look may be gone.
                looks.last = None;
                return Ok(());
            }
            // What is announced from here on is looked for again.
            hears.mark_unchanged();
            let parameters: [&(dyn ToSql + Sync); 2] = [&self.node.0, &full];
            let looked = client.query_one(&statement, &parameters);
            let looked = tokio::time::timeout(PATIENCE, looked).await;
            let no_answer = |_| StoreError::Away("PostgreSQL: no answer".to_owned().into());
            let row = looked.map_err(no_answer)?.map_err(failed)?;
            let number = |column| row.try_get::<_, Option<i64>>(column).map_err(failed);
            let now = Seen {
                change: number("change")?.unwrap_or(0),
                delivery: number("delivery")?.unwrap_or(0),
                commits: number("commits")?.unwrap_or(0),
                own: number("own")?.unwrap_or(0),
                is_vacant: row.try_get("is_vacant").map_err(failed)?,
                heard: *hears.borrow(),
            };
            let noted: Option<&str> = row.try_get("full").map_err(failed)?;
            let full = operate::full_of(noted.unwrap_or_default());
            self.full.send_if_modified(|known| {
                let changed = *known != full;
                *known = full;
                changed
            });
            self.tell(looks, now);
            announce(&last, Seq(now.change.cast_unsigned()));
            drop(last);
            tokio::select! {
                changed = hears.changed() => match changed {
                    Ok(()) => tokio::time::sleep(CALM).await,
                    Err(_) => return Ok(()),
                },
                () = tokio::time::sleep(POLL) => {}
            }
        }
        Ok(())
    }

    /// Announces what other nodes did since the look before.
    fn tell(&self, looks: &mut Looks, now: Seen) {
        let before = looks.last.replace(now);
        looks.failures = 0;
        let heard = before.is_none_or(|before| now.heard.all != before.heard.all);
        looks.missed = match before {
            Some(before) if !heard => looks.missed + u32::from(now.commits != before.commits),
            _ => 0,
        };
        let is_deaf = looks.missed >= DEAF;
        let others = |seen: Seen| seen.commits - seen.own;
        let of_others = before.is_none_or(|before| others(now) != others(before));
        if of_others && before.is_none_or(|before| now.delivery != before.delivery) {
            self.arrivals.announce_waiting();
        }
        let of_others =
            of_others || before.is_none_or(|before| now.heard.of_others != before.heard.of_others);
        self.others.send_if_modified(|others| {
            let known = *others;
            others.news += u64::from(of_others);
            (others.is_vacant, others.is_deaf) = (now.is_vacant, is_deaf);
            *others != known
        });
    }
}
