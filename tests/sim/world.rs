//! A world: pipelines, a store that survives crashes, a planner that does not, and time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use edgepurge::core::asset::Asset;
use edgepurge::core::change::{Kind, NewChange, PipelineId, Seq, Source, Target};
use edgepurge::core::planner::{Command, Event, Limits, PipelineSettings, Planner, Step};
use edgepurge::core::purge::{Decision, RequestId};
use edgepurge::core::time::Time;
use edgepurge::store::memory::MemoryStore;
use edgepurge::store::{Store, StoreFuture};
use futures_util::FutureExt as _;

use crate::api::Api;
use crate::checks;

/// Real milliseconds that the turbulent part of a history lasts.
const TURBULENCE: u64 = 300_000;
/// Real milliseconds in which everything has to settle once the API is healthy.
const CALM: u64 = 3_600_000;

/// What the memory store answers, it answers at once.
pub(crate) fn now<T>(future: StoreFuture<'_, T>) -> T {
    future
        .now_or_never()
        .expect("the memory store never waits")
        .expect("the memory store never fails")
}

pub(crate) struct World {
    pub(crate) rng: fastrand::Rng,
    pub(crate) api: Api,
    pub(crate) store: MemoryStore,
    pub(crate) limits: Limits,
    pub(crate) settings: Vec<PipelineSettings>,
    planner: Planner,
    cursor: Seq,
    /// Real time, which never steps.
    pub(crate) real: u64,
    /// The wall clock is so much ahead of it; steps at restarts.
    wall_ahead: u64,
    /// Replies on their way to the planner, by arrival.
    replies: BTreeMap<(u64, u64), Event>,
    steps: u64,
    /// The number of the moment when a change was appended, or a request opened.
    moment: u64,
    pub(crate) appended: BTreeMap<Seq, u64>,
    pub(crate) opened: BTreeMap<RequestId, u64>,
    pub(crate) decisions: Vec<(u64, Decision)>,
    lines: Option<String>,
}

impl World {
    pub(crate) fn new(seed: u64, traced: bool) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let limits = Limits {
            requests_per_second: rng.u32(1..20),
            burst: rng.u32(1..20),
            max_in_flight: rng.usize(1..20),
            track_timeout: Duration::from_mins(1),
        };
        let settings: Vec<PipelineSettings> = (0..rng.usize(1..4))
            .map(|number| PipelineSettings {
                id: PipelineId::new(&format!("p{number}")),
                max_assets: rng.usize(1..7),
                debounce: Duration::from_millis(rng.u64(0..1_000)),
                max_wait: Duration::from_millis(rng.u64(1_000..10_000)),
                all_above: rng.bool().then(|| rng.usize(5..40)),
                all_cooldown: Duration::from_secs(rng.u64(1..60)),
            })
            .collect();
        let wall_ahead = 1_000_000_000;
        let (planner, _) = Planner::restore(
            limits,
            settings.clone(),
            edgepurge::core::purge::Unsettled::default(),
            seed,
            Time::from_millis(wall_ahead),
        );
        Self {
            rng,
            api: Api::default(),
            store: MemoryStore::default(),
            limits,
            settings,
            planner,
            cursor: Seq(0),
            real: 0,
            wall_ahead,
            replies: BTreeMap::new(),
            steps: 0,
            moment: 0,
            appended: BTreeMap::new(),
            opened: BTreeMap::new(),
            decisions: Vec::new(),
            lines: traced.then(String::new),
        }
    }

    pub(crate) fn trace(&self) -> &str {
        self.lines.as_deref().unwrap_or_default()
    }

    fn say(&mut self, what: &dyn std::fmt::Debug) {
        if let Some(lines) = &mut self.lines {
            writeln!(lines, "{:>9} {what:?}", self.real).expect("a string takes everything");
        }
    }

    fn wall(&self) -> Time {
        Time::from_millis(self.real + self.wall_ahead)
    }

    /// A whole history: turbulence, then calm, then what must hold.
    pub(crate) fn live(&mut self) -> Result<(), String> {
        while self.real < TURBULENCE {
            let wait = self.rng.u64(1..2_000);
            self.advance(wait);
            match self.rng.u32(0..1_000) {
                0..=399 => self.changes(),
                400..=599 => self.visits(),
                600..=604 => self.crash(),
                605..=609 => {
                    let until = self.real + self.rng.u64(1_000..60_000);
                    self.api.refuse_key_until(until);
                }
                610..=629 => self.scan(),
                630..=639 => self.duplicate_reply(),
                _ => {}
            }
            checks::always(self)?;
        }
        self.api.healthy = true;
        self.api.refuse_key_until(0);
        self.pull();
        self.end_scans();
        let end = self.real + CALM;
        while let Some(next) = self.next_moment() {
            if next > end {
                return Err("it does not settle".to_owned());
            }
            let wait = next.saturating_sub(self.real);
            self.advance(wait);
            checks::always(self)?;
        }
        checks::at_the_end(self)
    }

    fn next_moment(&mut self) -> Option<u64> {
        let wake = self.planner.next_wake(self.wall());
        let wake = wake.map(|at| at.millis().saturating_sub(self.wall_ahead).max(self.real));
        let reply = self.replies.keys().next().map(|(at, _)| *at);
        [wake, reply].into_iter().flatten().min()
    }

    /// Lets time pass, moment by moment.
    fn advance(&mut self, millis: u64) {
        let until = self.real + millis;
        while let Some(next) = self.next_moment() {
            if next > until {
                break;
            }
            self.steps += 1;
            assert!(self.steps < 2_000_000, "livelock");
            self.real = next.max(self.real);
            self.api.advance(self.real);
            let reply = self
                .replies
                .first_entry()
                .filter(|entry| entry.key().0 <= self.real)
                .map(std::collections::btree_map::OccupiedEntry::remove);
            self.event(reply.unwrap_or(Event::Wake));
        }
        self.real = self.real.max(until);
        self.api.advance(self.real);
    }

    /// Decide, commit, act; or crash in between.
    fn event(&mut self, event: Event) {
        self.say(&event);
        let step = self.planner.handle(self.wall(), event);
        self.carry_out(step);
    }

    fn carry_out(&mut self, step: Step) {
        let crash = !self.api.healthy && !step.commands.is_empty() && self.rng.u32(0..400) == 0;
        if crash && self.rng.bool() {
            return self.restart("before the commit");
        }
        self.commit(step.decisions);
        if crash && self.rng.bool() {
            return self.restart("between commit and act");
        }
        for command in step.commands {
            self.act(command);
        }
        if crash {
            self.restart("after the act");
        }
    }

    fn commit(&mut self, decisions: Vec<Decision>) {
        for decision in &decisions {
            self.say(decision);
            self.moment += 1;
            if let Decision::Open { request, .. } = decision {
                self.opened.insert(*request, self.moment);
            }
            self.decisions.push((self.real, decision.clone()));
        }
        now(self.store.decide(decisions));
    }

    fn act(&mut self, command: Command) {
        let (event, after) = match command {
            Command::Submit {
                request,
                pipeline,
                scope,
            } => {
                let answer = self.api.create(&mut self.rng, &pipeline, &scope, self.real);
                let reply = answer.reply;
                (Event::Submitted { request, reply }, answer.after)
            }
            Command::Poll { request, remote_id } => {
                let answer = self.api.get(&mut self.rng, &remote_id, self.real);
                let reply = answer.reply;
                (Event::Polled { request, reply }, answer.after)
            }
        };
        self.reply(event, after);
    }

    fn reply(&mut self, event: Event, after: u64) {
        self.steps += 1;
        self.replies.insert((self.real + after, self.steps), event);
    }

    /// A reply arrives twice.
    fn duplicate_reply(&mut self) {
        if let Some(event) = self.replies.values().next().cloned() {
            let after = self.rng.u64(0..5_000);
            self.reply(event, after);
        }
    }

    /// Files change: the origin first, then the store, then the planner hears of it.
    fn changes(&mut self) {
        let pipeline = self.rng.usize(0..self.settings.len());
        let pipeline = self.settings[pipeline].id.clone();
        let count = if self.rng.u32(0..20) == 0 {
            60
        } else {
            self.rng.usize(1..6)
        };
        let source = Source::ALL[self.rng.usize(0..Source::ALL.len())];
        let mut rows = Vec::new();
        for _ in 0..count {
            let name = format!("/{}", self.rng.u32(0..80));
            self.api.change(&pipeline, &name);
            let target = if self.rng.u32(0..200) == 0 {
                for other in 0..80 {
                    self.api.change(&pipeline, &format!("/{other}"));
                }
                Target::All
            } else {
                Target::Asset(Asset::from_stored(&name))
            };
            // An `all` stands for the asset of this round, too.
            rows.push(NewChange {
                pipeline: pipeline.clone(),
                target,
                kind: Kind::Changed,
                source,
                detail: "".into(),
                file: None,
                seen: self.wall(),
            });
        }
        let appended = now(self.store.append(rows));
        self.moment += 1;
        for seq in appended.first.0..=appended.last.0 {
            self.appended.insert(Seq(seq), self.moment);
        }
        if !self.api.healthy && self.rng.u32(0..200) == 0 {
            return self.restart("between append and planner");
        }
        // Replies and wake-ups may reach the planner before the news does.
        if self.api.healthy || self.rng.u32(0..3) > 0 {
            self.pull();
        }
    }

    fn pull(&mut self) {
        let rows = now(self.store.queued_after(self.cursor, 7));
        if let Some(last) = rows.last() {
            self.cursor = last.seq;
            self.event(Event::Changes(rows));
            self.pull();
        }
    }

    fn visits(&mut self) {
        for _ in 0..self.rng.usize(1..30) {
            let pipeline = self.rng.usize(0..self.settings.len());
            let name = format!("/{}", self.rng.u32(0..80));
            let id = self.settings[pipeline].id.clone();
            self.api.visit(&id, &name);
        }
    }

    fn scan(&mut self) {
        let pipeline = self.rng.usize(0..self.settings.len());
        let pipeline = self.settings[pipeline].id.clone();
        let running = self.rng.bool();
        self.event(Event::Scanning { pipeline, running });
    }

    fn end_scans(&mut self) {
        for pipeline in self.settings.clone() {
            for _ in 0..200 {
                self.event(Event::Scanning {
                    pipeline: pipeline.id.clone(),
                    running: false,
                });
            }
        }
    }

    fn crash(&mut self) {
        self.restart("at rest");
    }

    /// The process dies and is started again, perhaps by another clock; late replies are lost, but
    /// for those of a retransmission, which reach the new process and mean nothing to it.
    fn restart(&mut self, when: &str) {
        self.say(&format_args!("crash {when}"));
        if self.rng.bool() {
            self.replies.clear();
        }
        self.real += self.rng.u64(0..30_000);
        self.api.advance(self.real);
        if self.rng.u32(0..3) == 0 {
            self.wall_ahead = self.rng.u64(0..2_000_000_000);
        }
        let unsettled = now(self.store.unsettled());
        let seed = self.rng.u64(..);
        let (planner, step) = Planner::restore(
            self.limits,
            self.settings.clone(),
            unsettled,
            seed,
            self.wall(),
        );
        self.planner = planner;
        self.cursor = Seq(0);
        self.commit(step.decisions);
        assert!(step.commands.is_empty(), "the bucket starts empty");
        self.pull();
    }

    pub(crate) fn view(&self) -> edgepurge::core::planner::View {
        self.planner.view(self.wall())
    }
}
