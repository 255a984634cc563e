//! A model of the purge API: what it does, what goes wrong with it, and its clock.

use std::collections::BTreeMap;
use std::time::Duration;

use edgepurge::core::change::PipelineId;
use edgepurge::core::purge::{Listed, ListedPage, Refusal, RemoteStatus, Scope};
use edgepurge::core::time::Time;

use crate::checks::INVALID;
use crate::edge::Edge;

/// A refusal that lasts, and of which pipeline; `None`: of all.
#[derive(Clone, Debug)]
pub(crate) struct Refusing {
    pub(crate) with: Refusal,
    pub(crate) of: Option<PipelineId>,
}

impl Refusing {
    /// Any that passes: none says that an asset is wrong.
    pub(crate) fn any(rng: &mut fastrand::Rng, of: Option<PipelineId>) -> Self {
        let why = "it passes".to_owned();
        let with = match rng.u32(0..6) {
            0 => Refusal::Transient(why),
            1 => Refusal::Forbidden(why),
            2 | 3 => Refusal::Unready(why),
            4 => Refusal::Unclear(why),
            _ => Refusal::RateLimited {
                retry_after: rng.bool().then(|| Duration::from_secs(rng.u64(0..10))),
            },
        };
        Self { with, of }
    }
}

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
    /// By the API's clock.
    created: u64,
    ends: u64,
    fate: Fate,
    applied: bool,
}

/// A purge that somebody wants made: what, and when it is made though the caller hears nothing.
#[derive(Clone, Debug)]
struct Late {
    at: u64,
    pipeline: PipelineId,
    assets: Option<Vec<String>>,
}

/// What a call brings: the reply, what it tells of the API's clock, and how long it takes.
pub(crate) struct Answer<T> {
    pub(crate) reply: Result<T, Refusal>,
    pub(crate) shown: Vec<(Time, Duration)>,
    pub(crate) after: u64,
}

/// The API.
#[derive(Debug)]
pub(crate) struct Api {
    requests: BTreeMap<u64, Remote>,
    late: Vec<Late>,
    /// Its clock is so far ahead of real time.
    ahead: u64,
    /// Its own page size, whatever is asked for.
    page_size: usize,
    /// An asset that it never takes.
    bad: Option<String>,
    /// Assets that it takes in a request, until a moment.
    narrow: (usize, u64),
    /// How many of a hundred requests it never ends.
    never: u32,
    /// Calls in a second that it takes.
    takes: usize,
    /// Healthy: everything is accepted and done soon.
    pub(crate) healthy: bool,
    /// The key is refused, or nothing works, until then, in real milliseconds.
    refused_until: u64,
    down_until: u64,
    /// What it answers until then, to whom.
    refuses: Option<(Refusing, u64)>,
    /// The next request that would be accepted is lost instead.
    loses_next: bool,
    /// The last target that somebody wanted purged.
    last_target: Option<(PipelineId, Option<Vec<String>>)>,
    /// Whether it ever refused assets for good.
    pub(crate) named_assets: bool,
    /// The times of all calls, in real milliseconds.
    pub(crate) calls: Vec<u64>,
}

fn assets_of(scope: &Scope) -> Option<Vec<String>> {
    match scope {
        Scope::Assets(assets) => Some(assets.keys().map(ToString::to_string).collect()),
        Scope::All { .. } => None,
    }
}

impl Api {
    pub(crate) fn new(rng: &mut fastrand::Rng) -> Self {
        Self {
            requests: BTreeMap::new(),
            late: Vec::new(),
            ahead: rng.u64(0..10_000_000),
            page_size: [100, 100, 3, 7][rng.usize(0..4)],
            bad: (rng.u32(0..3) == 0).then(|| "/13".to_owned()),
            narrow: (usize::MAX, 0),
            never: [2, 2, 2, 2, 2, 40][rng.usize(0..6)],
            takes: [usize::MAX, 8, 3][rng.usize(0..3)],
            healthy: false,
            refused_until: 0,
            down_until: 0,
            refuses: None,
            loses_next: false,
            last_target: None,
            named_assets: false,
            calls: Vec::new(),
        }
    }

    fn clock(&self, real: u64) -> u64 {
        real + self.ahead
    }

    /// What every answer shows of the clock.
    fn date(&self, real: u64) -> (Time, Duration) {
        let second = self.clock(real) / 1_000 * 1_000;
        (Time::from_millis(second), Duration::from_secs(1))
    }

    pub(crate) fn refuse_key_until(&mut self, real: u64) {
        self.refused_until = real;
    }

    pub(crate) fn down_until(&mut self, real: u64) {
        self.down_until = real;
    }

    pub(crate) fn refuse_until(&mut self, refusing: Refusing, real: u64) {
        self.refuses = Some((refusing, real));
    }

    pub(crate) fn narrow(&mut self, assets: usize, until: u64) {
        self.narrow = (assets, until);
    }

    /// All is well from now on; also what seemed to take for ever comes to an end.
    pub(crate) fn heal(&mut self, real: u64) {
        self.healthy = true;
        self.late.clear();
        for (id, remote) in &mut self.requests {
            match remote.fate {
                // A word that nobody knows may have meant anything.
                Fate::UnknownWord if id % 2 == 0 => remote.fate = Fate::Error,
                Fate::Never | Fate::UnknownWord => remote.fate = Fate::Done,
                Fate::Done | Fate::Error | Fate::Vanishes => continue,
            }
            remote.ends = real.max(remote.ends) + 1_000;
        }
    }

    /// Carries out what is finished by now.
    pub(crate) fn advance(&mut self, edge: &mut Edge, real: u64) {
        let (due, later) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|late| late.at <= real);
        self.late = later;
        for late in due {
            self.make(
                late.pipeline,
                late.assets,
                late.at + 200,
                Fate::Done,
                late.at,
            );
        }
        for remote in self.requests.values_mut() {
            if !remote.applied && remote.fate == Fate::Done && remote.ends <= real {
                remote.applied = true;
                edge.purge(&remote.pipeline, remote.assets.as_deref());
            }
        }
    }

    fn make(
        &mut self,
        pipeline: PipelineId,
        assets: Option<Vec<String>>,
        ends: u64,
        fate: Fate,
        real: u64,
    ) -> u64 {
        let id = self.requests.len() as u64 + 1;
        let created = self.clock(real);
        let remote = Remote {
            pipeline,
            assets,
            created,
            ends,
            fate,
            applied: false,
        };
        self.requests.insert(id, remote);
        id
    }

    /// Somebody else purges what we have just purged, or tried to.
    pub(crate) fn stranger(&mut self, rng: &mut fastrand::Rng, real: u64) {
        if let Some((pipeline, assets)) = self.last_target.clone() {
            let ends = real + rng.u64(0..5_000);
            self.make(pipeline, assets, ends, Fate::Done, real);
        }
    }

    /// Somebody else purges an asset, at once.
    pub(crate) fn purge_for(&mut self, pipeline: &PipelineId, asset: &str, real: u64) {
        let assets = Some(vec![asset.to_owned()]);
        self.make(pipeline.clone(), assets, real, Fate::Done, real);
    }

    pub(crate) fn lose_next(&mut self) {
        self.loses_next = true;
    }

    fn refusal(
        &self,
        rng: &mut fastrand::Rng,
        of: Option<&PipelineId>,
        real: u64,
    ) -> Option<Refusal> {
        if self.healthy {
            return None;
        }
        if let Some((refusing, until)) = &self.refuses
            && real < *until
            && (refusing.of.is_none() || refusing.of.as_ref() == of)
        {
            return Some(refusing.with.clone());
        }
        let recent = self.calls.iter().rev().take_while(|at| **at + 1_000 > real);
        if recent.count() > self.takes {
            return Some(Refusal::RateLimited { retry_after: None });
        }
        if real < self.refused_until {
            return Some(Refusal::Unauthorized("authentication is denied".to_owned()));
        }
        if real < self.down_until {
            return Some(Refusal::Transient("503".to_owned()));
        }
        let retry_after = rng
            .bool()
            .then(|| Duration::from_secs([0, 3, 30, 100_000][rng.usize(0..4)]));
        match rng.u32(0..100) {
            0..=2 => Some(Refusal::RateLimited { retry_after }),
            3..=5 => Some(Refusal::Transient("503".to_owned())),
            6 => Some(Refusal::Forbidden("permission denied".to_owned())),
            7 => Some(Refusal::Unready("resource is locked".to_owned())),
            8 => Some(Refusal::Unclear("bad request".to_owned())),
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
        let assets = assets_of(scope);
        self.last_target = Some((pipeline.clone(), assets.clone()));
        let after = if self.healthy { 20 } else { rng.u64(1..2_000) };
        let failed = |refusal, after| Answer {
            reply: Err(refusal),
            shown: Vec::new(),
            after,
        };
        if let Some(refusal) = self.refusal(rng, Some(pipeline), real) {
            return failed(refusal, after);
        }
        let count = assets.as_ref().map_or(0, Vec::len);
        let too_many = real < self.narrow.1 && count > self.narrow.0;
        let bad = assets
            .iter()
            .flatten()
            .any(|asset| Some(asset) == self.bad.as_ref());
        if too_many || bad || (!self.healthy && rng.u32(0..200) == 0) {
            self.named_assets = true;
            return failed(Refusal::Invalid(INVALID.to_owned()), after);
        }
        let lost = |why: &str| Refusal::UnknownOutcome(why.to_owned());
        if std::mem::take(&mut self.loses_next) && !self.healthy {
            return failed(lost("connection lost"), after);
        }
        if !self.healthy && rng.u32(0..100) < 5 {
            // Hangs; perhaps it is carried out long after the caller has given up.
            if rng.bool() {
                self.late.push(Late {
                    at: real + rng.u64(0..60_000),
                    pipeline: pipeline.clone(),
                    assets,
                });
            }
            return failed(lost("timeout"), 30_000);
        }
        let fate = match rng.u32(0..100) {
            _ if self.healthy => Fate::Done,
            dice if dice < self.never => Fate::Never,
            0..=7 => Fate::Error,
            8..=9 => Fate::UnknownWord,
            10..=12 => Fate::Vanishes,
            _ => Fate::Done,
        };
        let at_once = fate == Fate::Done && rng.u32(0..10) == 0;
        let ends = if at_once {
            real
        } else {
            real + rng.u64(100..20_000)
        };
        let id = self.make(pipeline.clone(), assets, ends, fate, real);
        if !self.healthy && rng.u32(0..100) < 8 {
            return failed(lost("connection lost"), after);
        }
        let status = if at_once {
            RemoteStatus::Done
        } else {
            RemoteStatus::Pending
        };
        let created = Time::from_millis(self.clock(real));
        Answer {
            reply: Ok((id.to_string(), status)),
            shown: vec![self.date(real), (created, Duration::from_millis(1))],
            after,
        }
    }

    fn status(remote: &Remote, real: u64) -> Option<RemoteStatus> {
        if remote.ends > real {
            return Some(RemoteStatus::Pending);
        }
        match remote.fate {
            Fate::Done => Some(RemoteStatus::Done),
            Fate::Error => Some(RemoteStatus::Error),
            Fate::Never => Some(RemoteStatus::Pending),
            Fate::UnknownWord => Some(RemoteStatus::Unknown),
            Fate::Vanishes => None,
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
        let of = id.parse().ok().and_then(|id: u64| self.requests.get(&id));
        let of = of.map(|remote| remote.pipeline.clone());
        let reply = match self.refusal(rng, of.as_ref(), real) {
            Some(refusal) => Err(refusal),
            None => id
                .parse()
                .ok()
                .and_then(|id: u64| self.requests.get(&id))
                .and_then(|remote| Self::status(remote, real))
                .ok_or_else(|| Refusal::NotFound("Not Found".to_owned())),
        };
        self.answer(reply, after, real)
    }

    /// A page, newest first.
    pub(crate) fn list(
        &mut self,
        rng: &mut fastrand::Rng,
        of: Option<&PipelineId>,
        page: u32,
        real: u64,
    ) -> Answer<ListedPage> {
        self.calls.push(real);
        let after = if self.healthy { 20 } else { rng.u64(1..2_000) };
        if let Some(refusal) = self.refusal(rng, of, real) {
            return self.answer(Err(refusal), after, real);
        }
        let listed: Vec<Listed> = self
            .requests
            .iter()
            .rev()
            .filter(|(_, remote)| of.is_none_or(|of| *of == remote.pipeline))
            .filter_map(|(id, remote)| {
                Some(Listed {
                    id: id.to_string(),
                    pipeline: remote.pipeline.clone(),
                    assets: remote
                        .assets
                        .as_ref()
                        .map(|assets| assets.iter().cloned().collect()),
                    status: Self::status(remote, real)?,
                    created: Some(Time::from_millis(remote.created)),
                })
            })
            .collect();
        let page = ListedPage {
            total: listed.len() as u64,
            requests: listed
                .into_iter()
                .skip(self.page_size * (page as usize - 1))
                .take(self.page_size)
                .collect(),
        };
        self.answer(Ok(page), after, real)
    }

    fn answer<T>(&self, reply: Result<T, Refusal>, after: u64, real: u64) -> Answer<T> {
        let shown = reply.as_ref().map_or(Vec::new(), |_| vec![self.date(real)]);
        Answer {
            reply,
            shown,
            after,
        }
    }
}
