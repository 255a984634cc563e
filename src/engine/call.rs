//! The engine's calls to the API.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use secrecy::SecretString;

use crate::core::asset::Asset;
use crate::core::change::PipelineId;
use crate::core::purge::{Refusal, RemoteStatus, Scope};
use crate::scaleway::{Client, CreateTarget};

/// Reads the secret key again, from wherever it was found.
pub type KeyReader = Arc<dyn Fn() -> Option<SecretString> + Send + Sync>;

/// Makes the calls that the planner commands.
pub struct Caller {
    client: Arc<Client>,
    key: Option<KeyReader>,
    /// The last answer was that the key is not accepted.
    refused: AtomicBool,
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
    pub fn new(client: Arc<Client>, key: Option<KeyReader>) -> Self {
        Self {
            client,
            key,
            refused: AtomicBool::new(false),
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

    /// Creates a purge request.
    ///
    /// # Errors
    /// The API's refusal, by what must be done about it.
    pub async fn submit(
        &self,
        pipeline: &PipelineId,
        scope: &Scope,
    ) -> Result<(String, RemoteStatus), Refusal> {
        self.renew_key();
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
        let reply = self.client.create(pipeline, &target).await;
        self.note(&reply);
        reply.map(|reply| {
            let status = reply.value.status();
            (reply.value.id, status)
        })
    }

    /// Asks for the status of a purge request.
    ///
    /// # Errors
    /// The API's refusal, by what must be done about it.
    pub async fn poll(&self, remote_id: &str) -> Result<RemoteStatus, Refusal> {
        self.renew_key();
        let reply = self.client.get(remote_id).await;
        self.note(&reply);
        reply.map(|reply| reply.value.status())
    }
}
