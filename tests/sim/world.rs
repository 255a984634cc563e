//! A world: pipelines, a store that survives crashes, a planner that does not, and time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use edgepurge::core::asset::Asset;
use edgepurge::core::capacity::Capacity;
use edgepurge::core::change::{Kind, NewChange, PipelineId, Seq, Source, Target};
use edgepurge::core::delivery::{NewDelivery, Work};
use edgepurge::core::lease::{NodeId, Term};
use edgepurge::core::pause::Holder;
use edgepurge::core::planner::{Command, Event, Limits, PipelineSettings, Step};
use edgepurge::core::purge::RequestId;
use edgepurge::core::queue::QUEUE_CAP;
use edgepurge::core::time::Time;
use edgepurge::engine::{Restored, Steps};
use edgepurge::store::{Desk, InlineDatabase, Store, StoreFuture};
use futures_util::FutureExt as _;

use crate::api::{Answer, Api, Refusing};
use crate::checks::{self, Ledger};
use crate::edge::{Edge, HOST};
use crate::engine::Life;
use crate::failover::Failovers;
use crate::fleet::{Fleet, Node};
use crate::history::{History, What};
use crate::operate::Holds;
use crate::turns::Turns;

/// Real milliseconds in which everything has to settle once the API is healthy.
const CALM: u64 = 3 * 3_600_000;
/// Changes that are read, retried or dropped in a call.
const AT_ONCE: usize = 7;
/// Assets of a pipeline.
const ASSETS: u32 = 40;

/// What an inline store answers, it answers at once.
pub(crate) fn now<T>(future: StoreFuture<'_, T>) -> T {
    future
        .now_or_never()
        .expect("an inline store never waits")
        .expect("an inline store never fails")
}

/// A change that was committed.
#[derive(Clone, Debug)]
pub(crate) struct Appended {
    pub(crate) moment: u64,
    pub(crate) pipeline: PipelineId,
    pub(crate) target: Target,
    /// It was purged before.
    pub(crate) again: bool,
    /// When it was committed, in real time.
    pub(crate) real: u64,
    /// The node that did, and does again what is forgotten; `None`: a leader's decision.
    pub(crate) by: Option<NodeId>,
    /// The version of the file that the node had which committed it.
    pub(crate) version: Option<(u64, bool)>,
}

/// What could not be queued, since the queue was full: its files wait, or its sender.
#[derive(Clone, Debug)]
struct Refused {
    rows: Vec<NewChange>,
    source: Source,
    by: Option<NodeId>,
}

/// A call on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum On {
    Create(RequestId),
    Get(RequestId),
    List(u64),
}

impl On {
    const fn by(command: &Command) -> Self {
        match command {
            Command::Submit { request, .. } => Self::Create(*request),
            Command::Poll { request, .. } => Self::Get(*request),
            Command::List { list, .. } => Self::List(*list),
        }
    }

    pub(crate) const fn answered(event: &Event) -> Option<Self> {
        match event {
            Event::Submitted { request, .. } => Some(Self::Create(*request)),
            Event::Polled { request, .. } => Some(Self::Get(*request)),
            Event::Listed { list, .. } => Some(Self::List(*list)),
            _ => None,
        }
    }
}

pub(crate) struct World {
    pub(crate) rng: fastrand::Rng,
    pub(crate) api: Api,
    pub(crate) edge: Edge,
    /// What survives a crash.
    pub(crate) database: InlineDatabase,
    /// It is looked into, and a queue of one node is worked with.
    pub(crate) store: Desk,
    pub(crate) limits: Limits,
    /// Every pipeline that ever was configured.
    pub(crate) all: Vec<PipelineSettings>,
    /// Those that are.
    pub(crate) settings: Vec<PipelineSettings>,
    /// The node that something happens to now.
    pub(crate) node: Node,
    /// The others, if it is not the only one.
    pub(crate) fleet: Option<Fleet>,
    pub(crate) failovers: Failovers,
    /// Who holds which pipeline back, as those who do so believe.
    pub(crate) holds: Holds,
    /// The room in the queues that have a cap.
    pub(crate) rooms: BTreeMap<PipelineId, Capacity>,
    refused: Vec<Refused>,
    /// How much later the first pipeline's purges are made once more.
    pub(crate) repurges: Option<Duration>,
    /// Whether turns are watched; it costs time.
    pub(crate) watched: bool,
    /// Whether anything was ever dropped.
    pub(crate) dropped: bool,
    pub(crate) broken: Option<String>,
    /// Real time, which never steps.
    pub(crate) real: u64,
    scans: BTreeSet<PipelineId>,
    /// What changed last: deploys repeat themselves.
    again: Vec<(PipelineId, String)>,
    pub(crate) happened: u64,
    /// The number of the moment when a change was appended, or a request opened.
    pub(crate) moment: u64,
    pub(crate) appended: BTreeMap<Seq, Appended>,
    pub(crate) ledger: Ledger,
    pub(crate) turns: Turns,
    lines: Option<String>,
}

fn pipeline(rng: &mut fastrand::Rng, id: &PipelineId) -> PipelineSettings {
    PipelineSettings {
        id: id.clone(),
        max_assets: rng.usize(1..7),
        debounce: Duration::from_millis(rng.u64(0..2_000)),
        max_wait: Duration::from_millis(rng.u64(2_000..10_000)),
        all_above: rng.bool().then(|| rng.usize(5..30)),
        all_after: rng.bool().then(|| Duration::from_secs(rng.u64(20..60))),
        all_cooldown: Duration::from_secs(rng.u64(1..60)),
        hot_interval: (rng.u32(0..8) > 0).then(|| Duration::from_secs(rng.u64(1..20))),
        follow_up: true,
        fleet_wait: None,
        queue_cap: match rng.u32(0..4) {
            0 => rng.usize(2..25),
            _ => QUEUE_CAP,
        },
    }
}

fn open(database: &InlineDatabase) -> Desk {
    let store = Arc::new(database.open().expect("it can be read"));
    now(store.lead(Term(1)))
}

/// What starts with a process, or a term.
pub(crate) fn restored(
    store: &Desk,
    limits: Limits,
    settings: &[PipelineSettings],
    seed: u64,
    wall: Time,
) -> StoreFuture<'static, Restored> {
    Box::pin(Steps::restore(
        store.clone(),
        limits,
        settings.to_vec(),
        AT_ONCE,
        seed,
        wall,
    ))
}

fn rooms(settings: &[PipelineSettings]) -> BTreeMap<PipelineId, Capacity> {
    let capped = settings.iter().filter(|known| known.all_above.is_none());
    capped
        .map(|known| (known.id.clone(), Capacity::new(known.queue_cap)))
        .collect()
}

impl World {
    pub(crate) fn new(history: &History, traced: bool) -> Self {
        let mut rng = fastrand::Rng::with_seed(history.seed);
        let limits = Limits {
            requests_per_second: rng.u32(1..20),
            burst: rng.u32(1..20),
            max_in_flight: rng.usize(1..20),
            max_calls: rng.usize(1..12),
            track_timeout: Duration::from_secs(rng.u64(20..120)),
        };
        let settings: Vec<PipelineSettings> = (0..rng.usize(1..4))
            .map(|number| pipeline(&mut rng, &PipelineId::new(&format!("p{number}"))))
            .collect();
        let wall_ahead = 1_000_000_000;
        let database = InlineDatabase::new().expect("there is memory");
        let store = open(&database);
        let wall = Time::from_millis(wall_ahead);
        let restored = now(restored(&store, limits, &settings, history.seed, wall));
        let mut node = Node::new(NodeId::ONLY, wall_ahead);
        node.steps = Some(restored.steps);
        node.desk = Some(store.clone());
        let mut world = Self {
            api: Api::new(&mut rng),
            repurges: (rng.u32(0..6) == 0).then(|| Duration::from_secs(rng.u64(1..60))),
            watched: rng.u32(0..4) == 0,
            rng,
            holds: Holds::default(),
            rooms: rooms(&settings),
            refused: Vec::new(),
            dropped: false,
            broken: None,
            edge: Edge::default(),
            store,
            database,
            limits,
            all: settings.clone(),
            settings,
            node,
            fleet: None,
            failovers: Failovers::default(),
            real: 0,
            scans: BTreeSet::new(),
            again: Vec::new(),
            happened: 0,
            moment: 0,
            appended: BTreeMap::new(),
            ledger: Ledger::default(),
            turns: Turns::default(),
            lines: traced.then(String::new),
        };
        world.begin_follow_ups();
        let mut dice = fastrand::Rng::with_seed(history.seed ^ 0xf1ee7);
        if dice.u32(0..6) == 0 {
            world.become_fleet(dice.i64(1..=3), &mut dice);
        }
        world
    }

    pub(crate) fn trace(&self) -> &str {
        self.lines.as_deref().unwrap_or_default()
    }

    pub(crate) fn say(&mut self, what: &dyn std::fmt::Debug) {
        if let Some(lines) = &mut self.lines {
            writeln!(lines, "{:>9} {} {what:?}", self.real, self.node.id.0)
                .expect("a string takes everything");
        }
    }

    pub(crate) fn wall(&self) -> Time {
        Time::from_millis(self.real + self.node.wall_ahead)
    }

    /// A whole history: turbulence, then calm, then what must hold.
    pub(crate) fn live(&mut self, history: &History) -> Result<(), String> {
        for step in &history.steps {
            self.advance(step.wait);
            self.rng = fastrand::Rng::with_seed(step.seed);
            self.happen(step.what);
            self.bring_again();
            self.follow();
            if self.turn_to_leader()
                && self
                    .view()
                    .pipelines
                    .values()
                    .any(|view| !view.hot.is_empty())
            {
                self.ledger.meet("hot");
            }
            checks::always(self)?;
        }
        self.say(&"all is well from now on");
        self.api.heal(self.real);
        self.heal_nodes()?;
        // What only lives in memory has to come to its end, too, without another start.
        if self.settings == self.all && (self.fleet.is_some() || self.rng.bool()) {
            self.ledger.meet("it ends without a start");
            self.pull();
        } else {
            self.settings = self.all.clone();
            self.restart("for the last time");
        }
        self.everybody_resumes()?;
        let end = self.real + CALM;
        loop {
            self.bring_again();
            let follows = self.follow().map(|at| self.real_of(at));
            let Some(next) = self.next_moment().into_iter().chain(follows).min() else {
                break;
            };
            if next > end {
                return Err(format!("it does not settle: {:?}", self.view()));
            }
            let wait = next.saturating_sub(self.real);
            self.advance(wait);
            checks::always(self)?;
        }
        if self.has_unnoticed() {
            return Err("it sleeps, and a node has not said what it noticed".to_owned());
        }
        if !self.refused.is_empty() {
            return Err(format!("it sleeps, and {:?} still waits", self.refused));
        }
        checks::at_the_end(self)
    }

    fn happen(&mut self, what: What) {
        if matches!(what, What::Scan | What::Duplicate) && !self.turn_to_leader() {
            return;
        }
        let soon = self.real + self.rng.u64(1_000..60_000);
        match what {
            What::Change => self.changes(),
            What::Restless => {
                let id = self.some_pipeline();
                for _ in 0..self.rng.u32(1..40) {
                    let name = "/restless.json".to_owned();
                    self.append(vec![(id.clone(), name)], Source::Watch);
                    let wait = self.rng.u64(1..3_000);
                    self.advance(wait);
                }
            }
            What::Visit => self.visits(),
            What::Crash => self.restart("at rest"),
            What::Reload => self.reload(),
            What::RefuseKey => self.api.refuse_key_until(soon),
            What::Outage => self.api.down_until(soon),
            What::Refuse => {
                let of = self.rng.bool().then(|| self.some_pipeline());
                let refusing = Refusing::any(&mut self.rng, of);
                self.ledger.meet(refusing.with.class());
                let lasts = self.rng.u64(1_000..10_000);
                self.api.refuse_until(refusing, self.real + lasts);
            }
            What::Narrow => {
                let most = self.rng.usize(1..4);
                self.api.narrow(most, soon);
            }
            What::Scan => {
                let pipeline = self.some_pipeline();
                let running = !self.scans.remove(&pipeline);
                if running {
                    self.scans.insert(pipeline.clone());
                }
                self.event(Event::Scanning { pipeline, running });
            }
            What::Duplicate => self.duplicate_reply(),
            What::Stranger => self.api.stranger(&mut self.rng, self.real),
            What::Trap => self.trap(),
            What::Shared => self.shared(),
            What::Pause => self.pause(),
            What::Resume => self.resume(),
            What::Deploy => self.deploy(),
            What::Retry => self.retry(),
            What::Drop => self.drop_queue(),
            What::Cut => self.cut(),
            What::Heal => self.heal_a_node(),
            What::Freeze => self.freeze(),
            What::Kill => self.kill_a_node(),
            What::Join => self.join_another(),
            What::Leave => self.leave(),
            What::HostFile => self.host_file(),
            What::Failover => self.fail_over(),
            What::Nothing => {}
        }
    }

    pub(crate) fn some_pipeline(&mut self) -> PipelineId {
        let number = self.rng.usize(0..self.settings.len());
        self.settings[number].id.clone()
    }

    fn real_of(&self, wall: Time) -> u64 {
        wall.millis()
            .saturating_sub(self.node.wall_ahead)
            .max(self.real)
    }

    fn next_moment(&mut self) -> Option<u64> {
        if self.fleet.is_some() {
            return self.next_work();
        }
        let wake = self.steps().planner().next_wake(self.wall());
        let wake = wake.map(|at| self.real_of(at));
        let reply = self.node.replies.keys().next().map(|(at, _)| *at);
        [wake, reply].into_iter().flatten().min()
    }

    /// Lets time pass, moment by moment.
    fn advance(&mut self, millis: u64) {
        let until = self.real + millis;
        if self.fleet.is_some() {
            return self.advance_nodes(until);
        }
        while let Some(next) = self.next_moment() {
            if next > until {
                break;
            }
            self.happened += 1;
            assert!(self.happened < 200_000, "livelock");
            self.real = next.max(self.real);
            self.api.advance(&mut self.edge, self.real);
            let reply = self
                .node
                .replies
                .first_entry()
                .filter(|entry| entry.key().0 <= self.real)
                .map(std::collections::btree_map::OccupiedEntry::remove);
            for event in reply.unwrap_or_else(|| vec![Event::Wake]) {
                self.event(event);
            }
        }
        self.real = self.real.max(until);
        self.api.advance(&mut self.edge, self.real);
    }

    pub(crate) fn act(&mut self, command: Command) {
        self.say(&On::by(&command));
        self.node.wire.insert(On::by(&command));
        if self.node.wire.len() == self.limits.max_calls {
            self.ledger.meet("the wire is full");
        }
        match command {
            Command::Submit {
                request,
                pipeline,
                scope,
            } => {
                let answer = self.api.create(&mut self.rng, &pipeline, &scope, self.real);
                self.answer(answer, |reply| Event::Submitted { request, reply });
            }
            Command::Poll { request, remote_id } => {
                let answer = self.api.get(&mut self.rng, &remote_id, self.real);
                self.answer(answer, |reply| Event::Polled { request, reply });
            }
            Command::List {
                list,
                pipeline,
                page,
            } => {
                if page > 1 {
                    self.ledger.meet("search of several pages");
                }
                let of = pipeline.as_ref();
                let answer = self.api.list(&mut self.rng, of, page, self.real);
                self.answer(answer, |reply| Event::Listed { list, reply });
            }
        }
        self.api.advance(&mut self.edge, self.real);
    }

    fn answer<T>(
        &mut self,
        answer: Answer<T>,
        event: impl FnOnce(Result<T, edgepurge::core::purge::Refusal>) -> Event,
    ) {
        let sent = self.wall();
        let mut events: Vec<Event> = answer
            .shown
            .into_iter()
            .map(|(shown, grain)| Event::ApiTime { sent, shown, grain })
            .collect();
        events.push(event(answer.reply));
        self.reply(events, answer.after);
    }

    fn reply(&mut self, events: Vec<Event>, after: u64) {
        self.happened += 1;
        self.node
            .replies
            .insert((self.real + after, self.happened), events);
    }

    /// A reply arrives twice.
    fn duplicate_reply(&mut self) {
        if let Some(events) = self.node.replies.values().next().cloned() {
            let after = self.rng.u64(0..5_000);
            // What it told of the time it tells once.
            let events = events.into_iter().rev().take(1).collect();
            self.reply(events, after);
        }
    }

    /// Files change, or somebody asks: the same as the last time, or anything.
    pub(crate) fn changes(&mut self) {
        let source = Source::ALL[self.rng.usize(0..Source::ALL.len())];
        if self.rng.u32(0..3) == 0 && !self.again.is_empty() {
            let again = self.again.clone();
            if again.iter().all(|(id, _)| self.configured(id)) {
                return self.append(again, source);
            }
        }
        // What a deploy hook asked to purge later comes, though its pipeline may have left meanwhile.
        let pipeline = if self.rng.u32(0..20) == 0 {
            let number = self.rng.usize(0..self.all.len());
            self.all[number].id.clone()
        } else {
            self.some_pipeline()
        };
        let count = match self.rng.u32(0..20) {
            0 => 60,
            1..=9 => 1,
            _ => self.rng.usize(1..6),
        };
        let names = (0..count)
            .map(|_| (pipeline.clone(), format!("/{}", self.rng.u32(0..ASSETS))))
            .collect();
        self.append(names, source);
    }

    /// What somebody else purged, a visitor fetched again, and changed only then, is stale, although
    /// a request for it that is done stands in the API's list.
    fn trap(&mut self) {
        let id = self.some_pipeline();
        let name = format!("/{}", self.rng.u32(0..ASSETS));
        self.api.purge_for(&id, &name, self.real);
        self.api.advance(&mut self.edge, self.real);
        let node = self.serving_node();
        self.edge.visit(node, &id, &name);
        let wait = self.rng.u64(0..2_000);
        self.advance(wait);
        self.api.lose_next();
        self.append(vec![(id, name)], Source::Watch);
    }

    /// Somebody else purges what is queued, a visitor fetches it again, and only then does it change,
    /// which a webhook tells. It is queued already, for an older change; and the request is lost.
    fn shared(&mut self) {
        let id = self.some_pipeline();
        let name = format!("/{}", self.rng.u32(0..ASSETS));
        if self.rng.bool() {
            let seconds = self.rng.u64(2..6);
            self.hold(&id, Holder::Operator, Some(Duration::from_secs(seconds)));
        }
        self.append(vec![(id.clone(), name.clone())], Source::Watch);
        let wait = self.rng.u64(0..2_000);
        self.advance(wait);
        self.api.purge_for(&id, &name, self.real);
        self.api.advance(&mut self.edge, self.real);
        let node = self.serving_node();
        self.edge.visit(node, &id, &name);
        let wait = self.rng.u64(0..500);
        self.advance(wait);
        self.api.lose_next();
        self.append(vec![(id, name)], Source::Webhook);
    }

    pub(crate) fn configured(&self, id: &PipelineId) -> bool {
        self.settings.iter().any(|known| known.id == *id)
    }

    /// What was refused since the queue was full is brought again.
    fn bring_again(&mut self) {
        self.notice();
        for refused in std::mem::take(&mut self.refused) {
            let room = self.rooms.get(&refused.rows[0].pipeline);
            if room.is_some_and(Capacity::is_full) {
                self.refused.push(refused);
                continue;
            }
            self.ledger.meet("brought again");
            self.queue(refused.rows, refused.source, refused.by);
        }
    }

    /// The origin first, then the store, then the planner hears of it.
    fn append(&mut self, names: Vec<(PipelineId, String)>, source: Source) {
        let (mut rows, mut files) = (Vec::new(), Vec::new());
        // It was looked at first.
        let looked = Duration::from_millis([0, 60, 3_000][self.rng.usize(0..3)]);
        let seen = self.wall().before(looked);
        for (pipeline, name) in &names {
            let kind = match self.rng.u32(0..5) {
                0 => Kind::Gone,
                1 => Kind::New,
                _ => Kind::Changed,
            };
            files.push(self.edge.write(pipeline, name, kind != Kind::Gone));
            let mut target = Target::Asset(Asset::from_stored(name));
            if self.rng.u32(0..200) == 0 {
                for other in 0..ASSETS {
                    files.push(self.edge.write(pipeline, &format!("/{other}"), true));
                }
                target = Target::All;
            }
            rows.push(NewChange {
                pipeline: pipeline.clone(),
                target,
                kind,
                source,
                detail: "".into(),
                file: None,
                seen,
            });
        }
        self.again = names;
        let first = self.files_reach(&files, &rows);
        // Who asks says nothing of files.
        let noticed = matches!(source, Source::Watch | Source::Scan);
        self.queue(rows, source, noticed.then_some(first));
    }

    /// Queues changes of one pipeline, which a node has noticed or somebody asks for, or has them wait where
    /// they are.
    pub(crate) fn queue(&mut self, mut rows: Vec<NewChange>, source: Source, by: Option<NodeId>) {
        let (id, count) = (rows[0].pipeline.clone(), rows.len());
        let Some(writer) = self.writer(by) else {
            return self.put_off(Refused { rows, source, by });
        };
        if self
            .rooms
            .get_mut(&id)
            .is_some_and(|room| !room.take(count))
        {
            self.ledger.meet("refused as full");
            self.refused.push(Refused { rows, source, by });
            return;
        }
        let targets: Vec<_> = rows.iter().map(|row| row.target.clone()).collect();
        if by.is_some() && self.fleet.is_some() {
            rows.iter_mut().for_each(crate::agree::fill_in);
        }
        let store = self.store_of(writer);
        let before = now(store.append(Vec::new())).last;
        if source == Source::Webhook {
            self.deliver(&store, &id, rows);
        } else {
            now(store.append(rows));
        }
        let last = now(store.append(Vec::new())).last;
        if let Some(room) = self.rooms.get_mut(&id) {
            room.taken(count, Some(last));
        }
        if last == before {
            self.ledger.meet("shared what is queued");
        }
        self.moment += 1;
        for (seq, target) in (before.0 + 1..=last.0).zip(targets) {
            let version = by.and_then(|node| self.fact(node, &id, &target, Seq(seq)));
            let change = Appended {
                moment: self.moment,
                pipeline: id.clone(),
                target,
                again: false,
                real: self.real,
                by: Some(writer),
                version,
            };
            self.appended.insert(Seq(seq), change);
        }
        self.compare_soon();
        // While a node is held up in the middle of its work, that is not the one that dies.
        let held = self.fleet.as_ref().is_some_and(|fleet| fleet.held);
        if !held && !self.api.healthy && self.rng.u32(0..100) == 0 {
            return self.restart("between append and planner");
        }
        // Replies and wake-ups may reach the planner before the news does.
        if (self.api.healthy || self.rng.u32(0..4) > 0) && self.turn_to_leader() {
            self.pull();
        }
    }

    /// Waits until the store is reached. What a node notices of a file meanwhile is one change.
    fn put_off(&mut self, later: Refused) {
        if later.by.is_some() {
            let is_new = |row: &NewChange| {
                let same =
                    |new: &NewChange| new.pipeline == row.pipeline && new.target == row.target;
                !later.rows.iter().any(same)
            };
            for earlier in self.refused.iter_mut().filter(|one| one.by == later.by) {
                earlier.rows.retain(is_new);
            }
            self.refused.retain(|one| !one.rows.is_empty());
        }
        self.refused.push(later);
    }

    /// A webhook is told 202 when this is over.
    fn deliver(&mut self, store: &Store, pipeline: &PipelineId, changes: Vec<NewChange>) {
        let delivery = NewDelivery {
            route: "/hook".into(),
            event: self.moment.to_string().into(),
            dedupe_key: None,
            dedupe: Duration::ZERO,
            what: "".into(),
            pipeline: pipeline.clone(),
            at: self.wall(),
            due: self.wall(),
            work: Work::Changes(changes),
        };
        now(store.take_delivery(delivery));
    }

    fn visits(&mut self) {
        for _ in 0..self.rng.usize(1..30) {
            let id = self.some_pipeline();
            let name = match self.rng.u32(0..20) {
                0 => "/restless.json".to_owned(),
                1 if self.fleet.is_some() => HOST.to_owned(),
                _ => format!("/{}", self.rng.u32(0..ASSETS)),
            };
            let node = self.serving_node();
            self.edge.visit(node, &id, &name);
        }
    }

    /// Rules change, pipelines leave the configuration, and return.
    fn reload(&mut self) {
        // Nodes that differ in their configuration are another matter.
        if self.fleet.is_some() {
            return;
        }
        let mut rng = self.rng.fork();
        for settings in &mut self.all {
            if rng.bool() {
                *settings = pipeline(&mut rng, &settings.id);
            }
        }
        let before = std::mem::replace(&mut self.settings, self.all.clone());
        if self.settings.len() > 1 && rng.u32(0..3) > 0 {
            self.settings.remove(rng.usize(0..self.settings.len()));
        }
        let known = before.into_iter().map(|known| known.id).collect();
        let orphans = now(self.store.orphans(known));
        if orphans.iter().any(|orphan| self.configured(&orphan.id)) {
            self.ledger.meet("an orphaned queue returns");
        }
        self.restart("to reload");
    }

    /// The process ends and is started again, perhaps by another clock; late replies are lost, but
    /// for those of a retransmission, which reach the new process and mean nothing to it.
    pub(crate) fn restart(&mut self, when: &str) {
        self.say(&format_args!("restart {when}"));
        self.ledger.meet("restart");
        if self.fleet.is_some() {
            return self.kill();
        }
        if self.rng.bool() {
            self.node.replies.clear();
        } else {
            // What an earlier process heard of the time is not heard by the next.
            for events in self.node.replies.values_mut() {
                events.retain(|event| !matches!(event, Event::ApiTime { .. }));
            }
        }
        self.scans.clear();
        self.holds.died(self.wall());
        self.real += self.rng.u64(0..30_000);
        self.api.advance(&mut self.edge, self.real);
        if self.rng.u32(0..3) == 0 {
            self.node.wall_ahead = self.rng.u64(0..2_000_000_000);
            self.ledger.clock_stepped(self.real);
        }
        self.store = open(&self.database);
        self.node.desk = Some(self.store.clone());
        self.led_anew();
        let seed = self.rng.u64(..);
        let (limits, settings, wall) = (self.limits, self.settings.clone(), self.wall());
        let Restored { steps, step, .. } =
            now(restored(&self.store, limits, &settings, seed, wall));
        self.began(steps, &step);
    }

    /// What the planner before remembered is forgotten.
    pub(crate) fn led_anew(&mut self) {
        self.scans.clear();
        self.holds.restarted(self.wall());
        self.rooms = rooms(&self.settings);
        self.turns.restarted();
        self.ledger.cooled(None);
    }

    /// The planner is restored.
    pub(crate) fn began(&mut self, steps: Steps, step: &Step) {
        self.node.steps = Some(steps);
        self.node.life = Life::default();
        self.node.wire.clear();
        self.node.unasked = 0;
        self.begin_follow_ups();
        self.decided(&step.decisions);
        assert!(step.commands.is_empty(), "the bucket starts empty");
        self.pull();
    }

    pub(crate) fn steps(&self) -> &Steps {
        self.node.steps.as_ref().expect("it does not work now")
    }

    pub(crate) fn view(&self) -> edgepurge::core::planner::View {
        self.steps().planner().view(self.wall())
    }

    /// The moment when a request was opened.
    pub(crate) fn opened(&self, request: u64) -> Option<u64> {
        self.ledger.opened(RequestId(request))
    }
}
