//! What follows on a purge, in plain collections.

use std::collections::BTreeMap;

use super::{MemoryStore, Row, Stage, State};
use crate::core::asset::Asset;
use crate::core::change::{Kind, NewChange, PipelineId, Seq, Source, Target};
use crate::core::purge::{Outcome, RequestId, Scope};
use crate::core::queue::QUEUE_CAP;
use crate::core::time::Time;
use crate::core::verify::{
    Check, FollowUp, FollowUps, FollowedUp, Follows, Known, LONGEST_WAIT, Looked, Past, SAMPLE,
    Seen, Then, WAITING,
};
use crate::store::StoreFuture;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Probe,
    Again,
    Purging,
}

/// What follows, by pipeline and asset.
#[derive(Debug, Default)]
pub(super) struct After {
    checks: BTreeMap<(PipelineId, Asset), (Step, Check)>,
    repurges: BTreeMap<(PipelineId, Target), (u64, Time)>,
    /// With whether the edge kept saying that there is no such file.
    seen: BTreeMap<(u64, Asset), (Seen, bool)>,
}

impl After {
    pub(super) fn forget(&mut self, pipeline: &PipelineId) {
        self.checks.retain(|(id, _), _| id != pipeline);
        self.repurges.retain(|(id, _), _| id != pipeline);
    }

    pub(super) fn forget_request(&mut self, request: u64) {
        self.seen.retain(|(id, _), _| *id != request);
    }

    pub(super) fn seen(&self, request: u64, asset: &Asset) -> Option<Seen> {
        let found = self.seen.get(&(request, asset.clone()));
        found.map(|(seen, _)| seen.clone())
    }

    fn begin(&mut self, follows: &[Follows], now: Time) {
        let of = |id: &PipelineId| follows.iter().find(|one| one.pipeline == *id);
        self.checks
            .retain(|(id, _), _| of(id).is_some_and(|one| one.verify));
        for (_, check) in self.checks.values_mut() {
            check.due = check.due.within(now, LONGEST_WAIT);
        }
        self.repurges
            .retain(|(id, _), _| of(id).is_none_or(|one| one.repurge_after.is_some()));
        for ((id, _), (_, due)) in &mut self.repurges {
            if let Some(after) = of(id).and_then(|one| one.repurge_after) {
                *due = due.within(now, after);
            }
        }
    }
}

impl State {
    fn of_request(&self, request: u64) -> impl Iterator<Item = (u64, &Row)> {
        let rows = self.changes.iter();
        rows.filter(move |(_, row)| row.request == Some(request))
            .map(|(seq, row)| (*seq, row))
    }

    fn follow_up(&mut self, plan: &FollowUp, limit: usize) -> FollowedUp {
        let marked = self.requests.iter();
        let marked = marked.filter(|(_, one)| one.follow && one.pipeline == plan.pipeline);
        let marked: Vec<u64> = marked.map(|(id, _)| *id).take(limit).collect();
        let mut followed = FollowedUp::default();
        for id in marked {
            let Some(request) = self.requests.get_mut(&id) else {
                continue;
            };
            request.follow = false;
            followed.requests += 1;
            let (outcome, scope) = (request.outcome, request.scope.clone());
            if outcome != Some(Outcome::Done) {
                let changes = &self.changes;
                self.after.checks.retain(|_, (step, check)| {
                    let row = changes.get(&check.seq.0);
                    *step != Step::Purging || row.is_none_or(|row| row.request != Some(id))
                });
                continue;
            }
            if plan.verify {
                followed.left_out += self.enrol(plan, id, &scope);
            }
            if let Some(due) = plan.repurge {
                self.repurge(plan, id, &scope, due);
            }
        }
        followed
    }

    fn enrol(&mut self, plan: &FollowUp, id: u64, scope: &Scope) -> u64 {
        let mut found: BTreeMap<Asset, Check> = BTreeMap::new();
        for (seq, row) in self.of_request(id) {
            let Target::Asset(asset) = &row.change.target else {
                continue;
            };
            let check = found.entry(asset.clone()).or_insert_with(|| Check {
                pipeline: plan.pipeline.clone(),
                asset: asset.clone(),
                seq: Seq(seq),
                cause: None,
                request: RequestId(id),
                seen: row.change.seen,
                round: 0,
                tries: 0,
                due: plan.now,
            });
            check.seq = check.seq.max(Seq(seq));
            check.seen = check.seen.min(row.change.seen);
            if row.change.file.is_some() {
                check.cause = Some(Seq(seq));
            }
        }
        let mut found: Vec<Check> = found.into_values().collect();
        found.sort_by_key(|check| std::cmp::Reverse(check.seq));
        if matches!(scope, Scope::All { .. }) {
            found.truncate(SAMPLE);
        }
        let waits = self.after.checks.keys();
        let mut waiting = waits.filter(|(id, _)| *id == plan.pipeline).count();
        let mut left_out = 0;
        for check in found {
            let key = (check.pipeline.clone(), check.asset.clone());
            if let Some((step, known)) = self.after.checks.get_mut(&key) {
                *step = Step::Probe;
                *known = Check {
                    seq: known.seq.max(check.seq),
                    cause: check.cause.or(known.cause),
                    seen: known.seen.min(check.seen),
                    round: known.round,
                    ..check
                };
            } else if waiting < WAITING {
                waiting += 1;
                self.after.checks.insert(key, (Step::Probe, check));
            } else {
                left_out += 1;
            }
        }
        if let Scope::All { through, .. } = scope {
            for (step, check) in self.after.checks.values_mut() {
                if check.pipeline == plan.pipeline && *step != Step::Probe && check.seq <= *through
                {
                    *step = Step::Probe;
                    (check.request, check.tries, check.due) = (RequestId(id), 0, plan.now);
                }
            }
        }
        left_out
    }

    fn repurge(&mut self, plan: &FollowUp, id: u64, scope: &Scope, due: Time) {
        let pipeline = || plan.pipeline.clone();
        let everything = (pipeline(), Target::All);
        if let Scope::All { through, .. } = scope {
            let rows: Vec<bool> = self.of_request(id).map(|(_, row)| row.again).collect();
            if rows.is_empty() || rows.contains(&false) {
                self.after.repurges.insert(everything, (through.0, due));
            }
            return;
        }
        let rows: Vec<(Target, u64)> = self
            .of_request(id)
            .filter(|(_, row)| !row.again && row.change.target != Target::All)
            .map(|(seq, row)| (row.change.target.clone(), seq))
            .collect();
        for (target, seq) in rows {
            self.after.repurges.insert((pipeline(), target), (seq, due));
        }
        let ours = |key: &(PipelineId, Target)| key.0 == plan.pipeline;
        if self.after.repurges.keys().filter(|key| ours(key)).count() > QUEUE_CAP {
            self.after.repurges.retain(|key, _| !ours(key));
            self.after.repurges.insert(everything, (0, due));
        }
    }

    fn queue_again(
        &mut self,
        pipeline: PipelineId,
        target: Target,
        seq: u64,
        detail: &str,
        now: Time,
    ) -> Seq {
        let source = self.changes.get(&seq).map(|row| row.change.source);
        let (_, number) = self.append(vec![NewChange {
            pipeline,
            target,
            kind: Kind::Asked,
            source: source.unwrap_or(Source::Watch),
            detail: detail.into(),
            file: None,
            seen: now,
        }]);
        if let Some(row) = self.changes.get_mut(&number.0) {
            row.again = true;
        }
        number
    }

    fn purge_again(&mut self, now: Time, limit: usize) -> usize {
        let stale = self.after.checks.iter();
        let stale = stale.filter(|(_, (step, check))| *step == Step::Again && check.due <= now);
        let stale: Vec<_> = stale.map(|(key, _)| key.clone()).take(limit).collect();
        for key in &stale {
            let seq = self.after.checks.get(key).map_or(0, |(_, c)| c.seq.0);
            let target = Target::Asset(key.1.clone());
            let number = self.queue_again(key.0.clone(), target, seq, "stale at the edge", now);
            if let Some((step, check)) = self.after.checks.get_mut(key) {
                *step = Step::Purging;
                (check.round, check.seq) = (check.round + 1, number);
            }
        }
        let due = self.after.repurges.iter();
        let due = due.filter(|(_, (_, due))| *due <= now);
        let due: Vec<_> = due
            .map(|(key, (seq, _))| (key.clone(), *seq))
            .take(limit - stale.len())
            .collect();
        for (key, seq) in &due {
            self.after.repurges.remove(key);
            self.queue_again(key.0.clone(), key.1.clone(), *seq, "repurge_after", now);
        }
        stale.len() + due.len()
    }

    fn known(&self, check: &Check) -> Known {
        let ours = |row: &Row| {
            row.change.pipeline == check.pipeline
                && row.change.target == Target::Asset(check.asset.clone())
        };
        let named = |request: u64| match self.requests.get(&request).map(|one| &one.scope) {
            Some(Scope::Assets(assets)) => assets.contains_key(&check.asset),
            Some(Scope::All { .. }) => true,
            None => false,
        };
        let history = self.changes.iter().filter_map(|(seq, row)| {
            let told = check.cause == Some(Seq(*seq)) || row.request.is_some_and(named);
            let file = row.change.file.as_ref()?;
            (ours(row) && told).then(|| Past {
                origin: file.origin.clone(),
                path: file.path.clone(),
                kind: row.change.kind,
                hash: file.hash,
                former: file.former,
            })
        });
        let newer = self.changes.iter().rev().find(|(seq, row)| {
            **seq > check.seq.0 && ours(row) && matches!(row.stage, Stage::Queued | Stage::Taken)
        });
        let mut known = Known::new(history, newer.map(|(seq, _)| Seq(*seq)));
        known.absent = self.absent(check);
        known
    }

    fn absent(&self, check: &Check) -> bool {
        let seen = self.after.seen.iter().rev();
        let last = seen.map(|((request, asset), (_, absent))| (*request, asset, *absent));
        let mut last = last.filter(|(request, asset, _)| {
            let of = self.requests.get(request).map(|one| &one.pipeline);
            **asset == check.asset && *request < check.request.0 && of == Some(&check.pipeline)
        });
        let Some((request, _, true)) = last.next() else {
            return false;
        };
        let cause = check.cause.and_then(|seq| self.changes.get(&seq.0));
        let came = cause.filter(|row| row.change.kind == Kind::New);
        came.is_none_or(|row| row.request.is_none_or(|came| came <= request))
    }

    fn looked(&mut self, looked: Looked) -> bool {
        let check = looked.check;
        let key = (check.pipeline.clone(), check.asset.clone());
        let Some((step, known)) = self.after.checks.get_mut(&key) else {
            return false;
        };
        if *step != Step::Probe || known.request != check.request {
            return false;
        }
        match looked.then {
            Then::Again(due) => (*step, known.due) = (Step::Again, due),
            Then::Retry(due) => (known.due, known.tries) = (due, known.tries + 1),
            Then::Wait(seq) => {
                (*step, known.seq, known.due) = (Step::Purging, seq, looked.at);
                return true;
            }
            Then::Over | Then::Failed => {
                self.after.checks.remove(&key);
            }
        }
        if let Some(row) = self.changes.get_mut(&check.seq.0)
            && looked.then == Then::Failed
            && row.stage == Stage::Done
        {
            row.stage = Stage::Failed;
        }
        let seen = Seen {
            at: looked.at,
            verdict: looked.word,
            why: looked.why,
        };
        if self.requests.contains_key(&check.request.0) {
            let key = (check.request.0, check.asset);
            self.after.seen.insert(key, (seen, looked.absent));
        }
        true
    }
}

impl MemoryStore {
    pub(super) fn begin_follow_ups(&self, follows: &[Follows], now: Time) -> StoreFuture<'_, ()> {
        self.write(|state| {
            state.after.begin(follows, now);
            for request in state.requests.values_mut() {
                let of = follows.iter().find(|one| one.pipeline == request.pipeline);
                if of.is_some_and(|one| !one.verify && one.repurge_after.is_none()) {
                    request.follow = false;
                }
            }
            Ok(())
        })
    }

    pub(super) fn follow_up(&self, plan: &FollowUp, limit: usize) -> StoreFuture<'_, FollowedUp> {
        self.write(|state| Ok(state.follow_up(plan, limit)))
    }

    pub(super) fn follow_ups(
        &self,
        of: &[PipelineId],
        checks: usize,
    ) -> StoreFuture<'_, FollowUps> {
        self.read(|state| {
            let marked = state.requests.values().filter(|one| one.follow);
            let mut unplanned: Vec<_> = marked.map(|one| one.pipeline.clone()).collect();
            unplanned.sort();
            unplanned.dedup();
            let all = || state.after.checks.values();
            let probes = all().filter(|(step, _)| *step == Step::Probe);
            let mut next: Vec<Check> = probes.map(|(_, check)| check.clone()).collect();
            next.sort_by_key(|check| check.due);
            let mut of_each = BTreeMap::new();
            next.retain(|check| {
                let taken: &mut usize = of_each.entry(check.pipeline.clone()).or_default();
                *taken += 1;
                *taken <= checks && of.contains(&check.pipeline)
            });
            let again = all().filter(|(step, _)| *step == Step::Again);
            let again = again.map(|(_, check)| check.due);
            let repurges = state.after.repurges.values().map(|(_, due)| *due);
            FollowUps {
                unplanned,
                checks: next,
                again: again.chain(repurges).min(),
            }
        })
    }

    pub(super) fn purge_again(&self, now: Time, limit: usize) -> StoreFuture<'_, usize> {
        self.write_and_announce(|state| state.purge_again(now, limit))
    }

    pub(super) fn known(&self, check: &Check) -> StoreFuture<'_, Known> {
        self.read(|state| state.known(check))
    }

    pub(super) fn looked(&self, looked: Looked) -> StoreFuture<'_, bool> {
        self.write(|state| Ok(state.looked(looked)))
    }
}
