//! The engine's calls to the API.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secrecy::SecretString;

use crate::clock::Clock;
use crate::core::asset::Asset;
use crate::core::change::PipelineId;
use crate::core::purge::{Listed, ListedPage, PAGE, Refusal, RemoteStatus, Scope};
use crate::core::time::Time;
use crate::scaleway::{self, Client, CreateTarget, ListQuery, OrderBy};

/// The header `Date` has whole seconds.
const DATE_GRAIN: Duration = Duration::from_secs(1);
/// `created_at` has more digits than [`Time`].
const CREATED_GRAIN: Duration = Duration::from_millis(1);

/// Reads the secret key again, from wherever it was found.
pub type KeyReader = Arc<dyn Fn() -> Option<SecretString> + Send + Sync>;

/// Makes the calls that the planner commands.
pub struct Caller {
    client: Arc<Client>,
    key: Option<KeyReader>,
    /// The last answer was that the key is not accepted.
    refused: AtomicBool,
    clock: Clock,
}

/// A reply, and what the API's clock showed in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedReply<T> {
    /// The reply.
    pub reply: Result<T, Refusal>,
    /// What the API's clock showed between the call and the reply, cut down to whole ones of what.
    pub shown: Vec<(Time, Duration)>,
    /// When the call was made.
    pub sent: Time,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Caller")
    }
}

impl Caller {
    /// A caller. After the API has refused the key, `key` reads it again before each call, so that
    /// a rotated key needs no restart.
    #[must_use]
    pub fn new(client: Arc<Client>, key: Option<KeyReader>, clock: Clock) -> Self {
        Self {
            client,
            key,
            refused: AtomicBool::new(false),
            clock,
        }
    }

    fn renew_key(&self) {
        if self.refused.load(Ordering::Relaxed)
            && let Some(key) = self.key.as_ref().and_then(|read| read())
        {
            self.client.set_secret_key(key);
        }
    }

    fn note<T>(&self, reply: &Result<T, Refusal>) {
        let refused = matches!(reply, Err(Refusal::Unauthorized(_)));
        self.refused.store(refused, Ordering::Relaxed);
    }

    /// Makes a call, and notes the API's clock and the times of the call beside its value.
    async fn hear<T, V>(
        &self,
        call: impl Future<Output = Result<scaleway::Reply<V>, Refusal>>,
        created: impl FnOnce(&V) -> Option<Time>,
        read: impl FnOnce(V) -> T,
    ) -> TimedReply<T> {
        self.renew_key();
        let sent = self.clock.now();
        let reply = call.await;
        self.note(&reply);
        let mut shown = Vec::new();
        if let Ok(reply) = &reply {
            let date = reply.date.map(|date| (date, DATE_GRAIN));
            shown.extend(date);
            shown.extend(created(&reply.value).map(|at| (at, CREATED_GRAIN)));
        }
        TimedReply {
            reply: reply.map(|reply| read(reply.value)),
            shown,
            sent,
        }
    }

    /// Creates a purge request.
    pub async fn submit(
        &self,
        pipeline: &PipelineId,
        scope: &Scope,
    ) -> TimedReply<(String, RemoteStatus)> {
        let target = match scope {
            Scope::Assets(assets) => CreateTarget::Assets(
                assets
                    .keys()
                    .map(Asset::as_str)
                    .map(str::to_owned)
                    .collect(),
            ),
            Scope::All { .. } => CreateTarget::All,
        };
        self.hear(
            self.client.create(pipeline, &target),
            |made| made.created_at,
            |made| {
                let status = made.status();
                (made.id, status)
            },
        )
        .await
    }

    /// Asks for the status of a purge request.
    pub async fn poll(&self, remote_id: &str) -> TimedReply<RemoteStatus> {
        let get = self.client.get(remote_id);
        self.hear(get, |_| None, |request| request.status()).await
    }

    /// Asks for a page of the list, newest first.
    pub async fn list(&self, pipeline: Option<&PipelineId>, page: u32) -> TimedReply<ListedPage> {
        let query = ListQuery {
            order_by: Some(OrderBy::CreatedAtDesc),
            page: Some(page),
            page_size: u32::try_from(PAGE).ok(),
            pipeline_id: pipeline.map(ToString::to_string),
            ..ListQuery::default()
        };
        let list = self.client.list(&query);
        self.hear(
            list,
            |_| None,
            |page| ListedPage {
                requests: page.purge_requests.into_iter().map(listed).collect(),
                total: page.total_count,
            },
        )
        .await
    }
}

fn listed(request: scaleway::PurgeRequest) -> Listed {
    let status = request.status();
    Listed {
        assets: (!request.all).then(|| request.assets.into_iter().collect()),
        id: request.id,
        pipeline: PipelineId::new(&request.pipeline_id),
        status,
        created: request.created_at,
    }
}
