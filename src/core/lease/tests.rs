//! One node leads; another does soon where it can't. Random histories of skewed clocks, freezes, cuts and
//! failovers that give an older row back.

use std::collections::BTreeMap;

use super::*;

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

const ME: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);

fn row(term: i64, leader: Option<NodeId>, beat: i64) -> LeaseRow {
    LeaseRow {
        term: Term(term),
        leader,
        beat,
    }
}

/// A node that read this at 0.
fn reading(row: LeaseRow) -> Lease {
    let mut lease = Lease::new(ME, 7, at(0));
    assert_eq!(
        lease.handle(at(0), LeaseEvent::Wake),
        Some(LeaseCommand::Read)
    );
    assert_eq!(lease.handle(at(0), LeaseEvent::Read(row)), None);
    lease
}

/// A node that leads since 0, and its term.
fn leading() -> (Lease, Term) {
    let mut lease = Lease::new(ME, 7, at(0));
    let took = lease.handle(at(0), LeaseEvent::Read(row(0, None, 1)));
    let Some(LeaseCommand::Take(_, term)) = took else {
        panic!("{took:?}");
    };
    lease.handle(at(1), LeaseEvent::Taken(term, at(0), true));
    (lease, term)
}

fn taken(command: Option<LeaseCommand>) -> LeaseRow {
    match command {
        Some(LeaseCommand::Take(row, _)) => row,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_stands_still_for_ten_seconds_is_taken_over() {
    let still = row(5, Some(OTHER), 3);
    let mut lease = reading(still);
    assert!(lease.next_wake().unwrap() <= at(2_000));
    for late in [2_000, 4_000, 6_000, 8_000, 9_999] {
        let asked = lease.handle(at(late), LeaseEvent::Wake);
        assert_eq!(asked, Some(LeaseCommand::Read));
        assert_eq!(lease.handle(at(late), LeaseEvent::Read(still)), None);
    }
    assert_eq!(lease.next_wake(), Some(at(10_000)));
    assert_eq!(taken(lease.handle(at(10_000), LeaseEvent::Wake)), still);
}

#[test]
fn what_moves_in_any_way_is_waited_for_from_then_on() {
    for moved in [
        row(5, Some(OTHER), 4),
        // Set back by a failover, and another term.
        row(5, Some(OTHER), 2),
        row(4, Some(OTHER), 3),
    ] {
        let mut lease = reading(row(5, Some(OTHER), 3));
        assert_eq!(lease.handle(at(9_000), LeaseEvent::Read(moved)), None);
        let early = lease.handle(at(18_999), LeaseEvent::Wake);
        assert_eq!(early, Some(LeaseCommand::Read));
        assert_eq!(taken(lease.handle(at(19_000), LeaseEvent::Wake)), moved);
    }
}

#[test]
fn time_in_which_it_could_not_be_read_does_not_count() {
    let still = row(5, Some(OTHER), 3);
    let mut lease = reading(still);
    lease.handle(at(9_000), LeaseEvent::Unreachable);
    assert_eq!(
        lease.handle(at(60_000), LeaseEvent::Wake),
        Some(LeaseCommand::Read)
    );
    assert_eq!(lease.handle(at(60_000), LeaseEvent::Read(still)), None);
    assert_eq!(
        lease.handle(at(69_999), LeaseEvent::Wake),
        Some(LeaseCommand::Read)
    );
    assert_eq!(taken(lease.handle(at(70_000), LeaseEvent::Wake)), still);
}

#[test]
fn a_node_that_starts_again_leads_at_once() {
    let mut lease = Lease::new(ME, 7, at(0));
    let mine = row(5, Some(ME), 3);
    assert_eq!(taken(lease.handle(at(0), LeaseEvent::Read(mine))), mine);
    // But not when it is there for long, and a failover makes its name appear.
    let mut lease = reading(row(6, Some(OTHER), 3));
    assert_eq!(lease.handle(at(500), LeaseEvent::Read(mine)), None);
}

#[test]
fn a_leader_acts_for_eight_seconds_from_when_it_asked() {
    let (mut lease, term) = leading();
    assert_eq!(lease.until(), Some(at(8_000)));
    let asked = lease.handle(at(2_000), LeaseEvent::Wake);
    assert_eq!(asked, Some(LeaseCommand::Renew(term)));
    lease.handle(at(5_000), LeaseEvent::Renewed(term, at(2_000), true));
    assert_eq!(lease.until(), Some(at(10_000)));
    // What was asked of another term, or before, changes nothing.
    lease.handle(at(9_000), LeaseEvent::Renewed(Term(1), at(9_000), true));
    lease.handle(at(9_000), LeaseEvent::Renewed(term, at(1_000), true));
    lease.handle(at(9_000), LeaseEvent::Renewed(Term(1), at(9_000), false));
    lease.handle(at(9_000), LeaseEvent::Unreachable);
    assert_eq!(lease.until(), Some(at(10_000)));
}

#[test]
fn a_leader_whose_term_is_over_steps_down_and_follows() {
    let (mut lease, term) = leading();
    let told = lease.handle(at(2_000), LeaseEvent::Renewed(term, at(2_000), false));
    assert_eq!((told, lease.until()), (Some(LeaseCommand::StepDown), None));
    assert_eq!(lease.handle(at(3_000), LeaseEvent::Ended), None);
    assert_eq!(
        lease.handle(at(3_000), LeaseEvent::Wake),
        Some(LeaseCommand::Read)
    );
    let other = row(9, Some(OTHER), 1);
    assert_eq!(lease.handle(at(3_000), LeaseEvent::Read(other)), None);
}

#[test]
fn who_could_not_renew_in_time_goes_on_where_no_other_led() {
    let (mut lease, term) = leading();
    lease.handle(at(2_000), LeaseEvent::Unreachable);
    assert_eq!(lease.handle(at(9_000), LeaseEvent::Ended), None);
    let mine = LeaseRow {
        term,
        leader: Some(ME),
        beat: 2,
    };
    assert_eq!(taken(lease.handle(at(9_000), LeaseEvent::Read(mine))), mine);
    // Where another led meanwhile, it waits, even if a failover gives the old row back.
    let (mut lease, _) = leading();
    lease.handle(at(9_000), LeaseEvent::Ended);
    let other = row(9, Some(OTHER), 1);
    assert_eq!(lease.handle(at(9_000), LeaseEvent::Read(other)), None);
    assert_eq!(lease.handle(at(9_500), LeaseEvent::Read(mine)), None);
}

#[test]
fn a_leader_that_stops_is_followed_at_once() {
    let (mut lease, term) = leading();
    assert_eq!(
        lease.handle(at(2_000), LeaseEvent::Stop),
        Some(LeaseCommand::StepDown)
    );
    assert_eq!(lease.until(), None);
    let resigned = lease.handle(at(3_000), LeaseEvent::Ended);
    assert_eq!(resigned, Some(LeaseCommand::Resign(term)));
    assert_eq!(lease.next_wake(), None);
    let free = row(term.0, None, 9);
    assert_eq!(
        lease.handle(at(3_000), LeaseEvent::Read(free)),
        None,
        "it stops"
    );
    let mut other = reading(row(term.0, Some(OTHER), 8));
    assert_eq!(
        other.handle(at(3_000), LeaseEvent::News),
        Some(LeaseCommand::Read)
    );
    assert_eq!(taken(other.handle(at(3_000), LeaseEvent::Read(free))), free);
}

#[test]
fn what_ends_by_the_stop_before_the_node_knows_of_it_is_resigned_from_too() {
    let (mut lease, term) = leading();
    assert_eq!(lease.handle(at(2_000), LeaseEvent::Ended), None);
    let stopped = lease.handle(at(2_000), LeaseEvent::Stop);
    assert_eq!(stopped, Some(LeaseCommand::Resign(term)));
    // A node that led never, or not since another did, has nothing to resign from.
    let mut other = reading(row(term.0, Some(OTHER), 8));
    assert_eq!(other.handle(at(2_000), LeaseEvent::Stop), None);
}

#[test]
fn a_term_that_begins_while_its_node_stops_is_resigned_from() {
    let mut lease = Lease::new(ME, 7, at(0));
    lease.handle(at(0), LeaseEvent::Read(row(0, None, 1)));
    assert_eq!(lease.handle(at(1), LeaseEvent::Stop), None);
    let taken = lease.handle(at(2), LeaseEvent::Taken(Term(4), at(0), true));
    assert_eq!(taken, Some(LeaseCommand::Resign(Term(4))));
    assert_eq!(lease.until(), None);
}

#[test]
fn who_could_not_begin_leaves_it_to_others_for_a_minute() {
    let (mut lease, term) = leading();
    let failed = lease.handle(at(100), LeaseEvent::Failed);
    assert_eq!(failed, Some(LeaseCommand::Resign(term)));
    let free = row(term.0, None, 9);
    assert_eq!(lease.handle(at(200), LeaseEvent::Read(free)), None);
    assert_eq!(
        lease.handle(at(60_099), LeaseEvent::Wake),
        Some(LeaseCommand::Read)
    );
    assert_eq!(
        taken(lease.handle(at(60_100), LeaseEvent::Read(free))),
        free
    );
}

/// A process of the histories, with a clock that shows another time and goes at another speed.
struct Process {
    lease: Lease,
    ahead: u64,
    /// Parts in ten thousand of real time.
    speed: u64,
    frozen_until: u64,
    cut_until: u64,
}

impl Process {
    fn clock(&self, real: u64) -> Time {
        at(self.ahead + real * self.speed / 10_000)
    }

    /// When it wakes, in real time.
    fn wakes(&self) -> Option<u64> {
        let wake = self.lease.next_wake()?.millis().saturating_sub(self.ahead);
        Some((wake * 10_000).div_ceil(self.speed).max(self.frozen_until))
    }

    fn acts(&self, real: u64) -> bool {
        let now = self.clock(real);
        self.lease.until().is_some_and(|until| now < until)
    }
}

/// What is on its way: a question to the database, or its answer to a process.
enum Way {
    Question(LeaseCommand, Time),
    Answer(LeaseEvent),
}

struct History {
    rng: fastrand::Rng,
    real: u64,
    row: LeaseRow,
    /// The rows before, which a failover may give back.
    before: Vec<LeaseRow>,
    set_back: Option<u64>,
    /// Whether answers are late or lost.
    bad_network: bool,
    processes: BTreeMap<NodeId, Process>,
    ways: BTreeMap<(u64, u64), (NodeId, Way)>,
    number: u64,
    takes: u32,
    overlaps: u32,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut history = Self {
            rng: fastrand::Rng::with_seed(seed),
            real: 0,
            row: row(0, None, 0),
            before: Vec::new(),
            set_back: None,
            bad_network: true,
            processes: BTreeMap::new(),
            ways: BTreeMap::new(),
            number: 0,
            takes: 0,
            overlaps: 0,
        };
        for node in 1..=history.rng.i64(1..=4) {
            history.start(NodeId(node));
        }
        history
    }

    fn start(&mut self, node: NodeId) {
        let (ahead, speed) = (self.rng.u64(0..10_000_000), self.rng.u64(9_900..=10_100));
        let mut process = Process {
            lease: Lease::new(node, 0, at(0)),
            ahead,
            speed,
            frozen_until: 0,
            cut_until: 0,
        };
        process.lease = Lease::new(node, self.rng.u64(..), process.clock(self.real));
        self.processes.insert(node, process);
    }

    /// Sends something that arrives soon.
    fn send(&mut self, node: NodeId, way: Way) {
        let late = self.bad_network && self.rng.u32(0..20) == 0;
        let slow = if late { 3_000 } else { 50 };
        self.number += 1;
        let arrives = self.real + self.rng.u64(1..slow);
        self.ways.insert((arrives, self.number), (node, way));
    }

    fn happens(&mut self, node: NodeId, event: LeaseEvent) {
        let Some(process) = self.processes.get_mut(&node) else {
            return;
        };
        let now = process.clock(self.real);
        let command = process.lease.handle(now, event);
        match command {
            None => {}
            Some(LeaseCommand::StepDown) => self.send(node, Way::Answer(LeaseEvent::Ended)),
            Some(command) => self.send(node, Way::Question(command, now)),
        }
        self.at_most_one_acts();
    }

    fn at_most_one_acts(&mut self) {
        let acting = self.processes.values().filter(|one| one.acts(self.real));
        if acting.count() < 2 {
            return;
        }
        let window = u64::try_from(WINDOW.as_millis()).unwrap();
        let set_back = self
            .set_back
            .is_some_and(|back| self.real < back + window * 2);
        assert!(set_back, "two act at {}", self.real);
        self.overlaps += 1;
    }

    /// The database does what is asked.
    fn answer(&mut self, node: NodeId, command: LeaseCommand, asked: Time) {
        let cut = |process: &Process| process.cut_until > self.real;
        if self.processes.get(&node).is_none_or(cut) {
            return self.send(node, Way::Answer(LeaseEvent::Unreachable));
        }
        let row = self.row;
        let event = match command {
            LeaseCommand::Read => LeaseEvent::Read(row),
            LeaseCommand::Renew(term) => {
                let kept = row.term == term;
                self.row.beat += i64::from(kept);
                LeaseEvent::Renewed(term, asked, kept)
            }
            LeaseCommand::Take(read, term) => {
                let won = read.term == row.term && read.beat == row.beat;
                if won {
                    self.takes += 1;
                    self.row = LeaseRow {
                        term,
                        leader: Some(node),
                        beat: row.beat + 1,
                    };
                }
                LeaseEvent::Taken(term, asked, won)
            }
            LeaseCommand::Resign(term) => {
                if row.term == term {
                    self.row.leader = None;
                    self.row.beat += 1;
                }
                return;
            }
            LeaseCommand::StepDown => return,
        };
        if self.row != row {
            self.before.push(row);
        }
        // The answer may be lost on its way.
        let lost = self.bad_network && self.rng.u32(0..100) == 0;
        let event = if lost { LeaseEvent::Unreachable } else { event };
        self.send(node, Way::Answer(event));
    }

    /// Moves the time on. Events for a frozen process wait.
    fn pass(&mut self, millis: u64) {
        let end = self.real + millis;
        loop {
            let arrives = self.ways.keys().next().map(|(at, _)| *at);
            let wakes = self.processes.iter();
            let wakes = wakes.filter_map(|(node, one)| Some((one.wakes()?, *node)));
            let wakes = wakes.min();
            let next = arrives.into_iter().chain(wakes.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.real = end;
                return;
            };
            self.real = self.real.max(next);
            if arrives.is_some_and(|at| at <= next) {
                self.arrives();
            } else if let Some((_, node)) = wakes {
                self.happens(node, LeaseEvent::Wake);
            }
        }
    }

    fn arrives(&mut self) {
        let Some((_, (node, way))) = self.ways.pop_first() else {
            return;
        };
        let frozen = self.processes.get(&node).map_or(0, |one| one.frozen_until);
        match way {
            Way::Question(command, asked) => self.answer(node, command, asked),
            Way::Answer(event) if frozen > self.real => {
                self.number += 1;
                let later = (frozen, self.number);
                self.ways.insert(later, (node, Way::Answer(event)));
            }
            Way::Answer(event) => self.happens(node, event),
        }
    }

    fn turbulence(&mut self) {
        let nodes: Vec<NodeId> = self.processes.keys().copied().collect();
        let node = nodes[self.rng.usize(0..nodes.len())];
        let until = self.real + self.rng.u64(1..30_000);
        match self.rng.u32(0..8) {
            0 | 1 => self.processes.get_mut(&node).unwrap().frozen_until = until,
            2 | 3 => self.processes.get_mut(&node).unwrap().cut_until = until,
            4 => {
                // It is killed, and started again.
                self.ways
                    .retain(|_, (of, way)| *of != node || matches!(way, Way::Question(..)));
                self.start(node);
            }
            5 => self.happens(node, LeaseEvent::Stop),
            6 => {
                let lost = self.rng.usize(0..=self.before.len().min(4));
                if lost > 0 {
                    self.row = self.before[self.before.len() - lost];
                    self.before.truncate(self.before.len() - lost);
                    self.set_back = Some(self.real);
                }
            }
            _ => {
                let ended = self.processes[&node].lease.until().is_some();
                if ended {
                    self.happens(node, LeaseEvent::Ended);
                }
            }
        }
    }

    fn live(&mut self) {
        for _ in 0..self.rng.u32(5..40) {
            let wait = self.rng.u64(1..8_000);
            self.pass(wait);
            self.turbulence();
        }
        let nodes: Vec<NodeId> = self.processes.keys().copied().collect();
        for node in nodes {
            self.ways.retain(|_, (of, _)| *of != node);
            // Who stopped is started again.
            if self.processes[&node].lease.next_wake().is_none() {
                self.start(node);
            }
            let process = self.processes.get_mut(&node).unwrap();
            (process.frozen_until, process.cut_until) = (0, 0);
        }
        self.pass(40_000);
        let acting = self.processes.values().filter(|one| one.acts(self.real));
        assert_eq!(acting.count(), 1, "all is well, and one leads");
    }
}

#[test]
fn no_two_ever_act_and_one_does_once_all_is_well() {
    let (mut takes, mut overlaps) = (0, 0);
    for seed in 0..100 {
        let mut history = History::new(seed);
        let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| history.live()));
        assert!(lived.is_ok(), "seed {seed}");
        takes += history.takes;
        overlaps += history.overlaps;
    }
    assert!(takes > 300, "{takes}");
    assert!(overlaps > 0, "failovers that give a row back are met");
}

#[test]
fn a_leader_that_dies_is_followed_within_twelve_seconds() {
    for seed in 0..100 {
        let mut history = History::new(seed);
        history.start(NodeId(9));
        history.bad_network = false;
        history.pass(20_000 + seed * 7);
        let leader = history.row.leader.unwrap();
        history.processes.remove(&leader);
        let (died, term) = (history.real, history.row.term);
        while history.row.term == term {
            history.pass(50);
            assert!(history.real < died + 20_000, "seed {seed}: nobody leads");
        }
        let took = history.real - died;
        // A clock goes slower by a hundredth, and a question or an answer is on its way for 50 ms.
        assert!(took < 12_000 + 120 + 150, "seed {seed}: {took} ms");
    }
}
