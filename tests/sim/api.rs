//! A model of the purge API and of the edge caches behind it.

use std::collections::BTreeMap;

use edgepurge::core::change::PipelineId;
use edgepurge::core::purge::{Refusal, RemoteStatus, Scope};

/// How a purge request goes on after it was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Done,
    Error,
    Never,
    UnknownWord,
    Vanishes,
}

#[derive(Clone, Debug)]
struct Remote {
    pipeline: PipelineId,
    /// `None`: everything.
    assets: Option<Vec<String>>,
    ends: u64,
    fate: Fate,
    applied: bool,
}

/// What a call brings: the reply, and when it arrives; `None`: it is lost, and the caller hears of
/// a timeout.
pub(crate) struct Answer<T> {
    pub(crate) reply: Result<T, Refusal>,
    pub(crate) after: u64,
}

/// The API, the edge, and the origin's versions.
#[derive(Debug, Default)]
pub(crate) struct Api {
    requests: BTreeMap<String, Remote>,
    /// The version of each asset at the origin.
    origin: BTreeMap<(PipelineId, String), u64>,
    /// The version that the edge holds.
    cached: BTreeMap<(PipelineId, String), u64>,
    /// Healthy: everything is accepted and done soon.
    pub(crate) healthy: bool,
    /// The key is refused until then, in real milliseconds.
    refused_until: u64,
    /// The times of all calls, in real milliseconds.
    pub(crate) calls: Vec<u64>,
}

impl Api {
    pub(crate) fn change(&mut self, pipeline: &PipelineId, asset: &str) {
        *self
            .origin
            .entry((pipeline.clone(), asset.to_owned()))
            .or_default() += 1;
    }

    /// A visitor fetches an asset: the edge caches what the origin has, unless it holds it.
    pub(crate) fn visit(&mut self, pipeline: &PipelineId, asset: &str) {
        let key = (pipeline.clone(), asset.to_owned());
        let version = self.origin.get(&key).copied().unwrap_or(0);
        self.cached.entry(key).or_insert(version);
    }

    /// The assets of which the edge holds another version than the origin.
    pub(crate) fn stale(&self) -> Vec<(PipelineId, String)> {
        self.cached
            .iter()
            .filter(|(key, version)| self.origin.get(key).copied().unwrap_or(0) != **version)
            .map(|(key, _)| key.clone())
            .collect()
    }

    pub(crate) fn refuse_key_until(&mut self, real: u64) {
        self.refused_until = real;
    }

    /// Carries out what is finished by now.
    pub(crate) fn advance(&mut self, real: u64) {
        for remote in self.requests.values_mut() {
            if remote.applied || remote.fate != Fate::Done || remote.ends > real {
                continue;
            }
            remote.applied = true;
            self.cached.retain(|(pipeline, asset), _| {
                *pipeline != remote.pipeline
                    || remote
                        .assets
                        .as_ref()
                        .is_some_and(|assets| !assets.contains(asset))
            });
        }
    }

    fn refusal(&self, rng: &mut fastrand::Rng, real: u64) -> Option<Refusal> {
        if self.healthy {
            return None;
        }
        if real < self.refused_until {
            return Some(Refusal::Unauthorized("authentication is denied".to_owned()));
        }
        let retry_after = rng
            .bool()
            .then(|| std::time::Duration::from_secs(rng.u64(0..30)));
        match rng.u32(0..100) {
            0..=5 => Some(Refusal::RateLimited { retry_after }),
            6..=10 => Some(Refusal::Transient("503".to_owned())),
            11 => Some(Refusal::Forbidden("permission denied".to_owned())),
            _ => None,
        }
    }

    pub(crate) fn create(
        &mut self,
        rng: &mut fastrand::Rng,
        pipeline: &PipelineId,
        scope: &Scope,
        real: u64,
    ) -> Answer<(String, RemoteStatus)> {
        self.calls.push(real);
        let after = if self.healthy { 20 } else { rng.u64(1..2_000) };
        if let Some(refusal) = self.refusal(rng, real) {
            return Answer {
                reply: Err(refusal),
                after,
            };
        }
        if !self.healthy && rng.u32(0..100) < 2 {
            return Answer {
                reply: Err(Refusal::Invalid("invalid argument(s)".to_owned())),
                after,
            };
        }
        if !self.healthy && rng.u32(0..100) < 3 {
            // Hangs, and is never carried out.
            return Answer {
                reply: Err(Refusal::UnknownOutcome("timeout".to_owned())),
                after: 30_000,
            };
        }
        let fate = match rng.u32(0..100) {
            _ if self.healthy => Fate::Done,
            0..=7 => Fate::Error,
            8..=9 => Fate::Never,
            10..=11 => Fate::UnknownWord,
            12..=14 => Fate::Vanishes,
            _ => Fate::Done,
        };
        let at_once = fate == Fate::Done && rng.u32(0..10) == 0;
        let ends = if at_once {
            real
        } else {
            real + rng.u64(100..20_000)
        };
        let id = format!("r{}", self.requests.len() + 1);
        let assets = match scope {
            Scope::Assets(assets) => Some(assets.keys().map(ToString::to_string).collect()),
            Scope::All { .. } => None,
        };
        self.requests.insert(
            id.clone(),
            Remote {
                pipeline: pipeline.clone(),
                assets,
                ends,
                fate,
                applied: false,
            },
        );
        self.advance(real);
        if !self.healthy && rng.u32(0..100) < 5 {
            // Accepted, and the reply is lost.
            return Answer {
                reply: Err(Refusal::UnknownOutcome("connection lost".to_owned())),
                after,
            };
        }
        let status = if at_once {
            RemoteStatus::Done
        } else {
            RemoteStatus::Pending
        };
        Answer {
            reply: Ok((id, status)),
            after,
        }
    }

    pub(crate) fn get(
        &mut self,
        rng: &mut fastrand::Rng,
        id: &str,
        real: u64,
    ) -> Answer<RemoteStatus> {
        self.calls.push(real);
        let after = if self.healthy { 20 } else { rng.u64(1..2_000) };
        if let Some(refusal) = self.refusal(rng, real) {
            return Answer {
                reply: Err(refusal),
                after,
            };
        }
        let reply = match self.requests.get(id) {
            None => Err(Refusal::NotFound("Not Found".to_owned())),
            Some(remote) if remote.ends > real => Ok(RemoteStatus::Pending),
            Some(remote) => match remote.fate {
                Fate::Done => Ok(RemoteStatus::Done),
                Fate::Error => Ok(RemoteStatus::Error),
                Fate::Never => Ok(RemoteStatus::Pending),
                Fate::UnknownWord => Ok(RemoteStatus::Unknown),
                Fate::Vanishes => Err(Refusal::NotFound("Not Found".to_owned())),
            },
        };
        Answer { reply, after }
    }
}
