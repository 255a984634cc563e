//! What happens in a history: all of it is made from its seed.

use std::time::Duration;

pub(super) const NODES: usize = 3;
/// Files that every node has when a history begins.
pub(super) const FILES: usize = 8;
/// What happens by itself; what follows on it (the other nodes' files, the end of a trouble) comes beside it.
const STEPS: usize = 28;
/// The longest time between two of these, in milliseconds.
const PAUSE: u64 = 1_400;

/// How a file gets other bytes, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Another file takes its name.
    Replaced,
    /// Its own bytes are written anew: it is empty for a moment.
    Rewritten,
    /// Another file with the same bytes takes its name.
    Copied,
    Removed,
}

/// What goes wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sort {
    /// kill -9, and a start.
    Killed,
    /// SIGTERM, and a start.
    Stopped,
    /// SIGSTOP, and SIGCONT.
    Halted,
    /// No way to the database.
    Cut,
    /// The first process of `PostgreSQL` is killed, and started again.
    Database,
    /// A standby falls behind, the server is killed, and the standby takes over.
    Failover,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    Leader,
    Node(usize),
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A file of a node gets a version, unless it has a later one.
    File {
        node: usize,
        path: String,
        way: Way,
        version: usize,
    },
    /// Deliveries at a node, one after the other, each with an asset of its own and maybe that of a file.
    Deliver(usize, Vec<(String, Option<String>)>),
    /// A trouble with its number begins.
    Begin(usize, Sort, Victim),
    /// The trouble of that number is over.
    End(usize, Sort),
}

/// The steps of a history, each with its time.
pub(super) fn history(seed: u64) -> Vec<(Duration, Step)> {
    let mut making = Making {
        rng: fastrand::Rng::with_seed(seed),
        steps: Vec::new(),
    };
    // Half of the histories begin without a trouble.
    let calm = making.rng.usize(0..2) * STEPS / 2;
    let mut at = 500;
    for number in 0..STEPS {
        at += making.rng.u64(0..PAUSE);
        match making.rng.u32(0..10) {
            0..=4 => making.rollout(at, number),
            5..=6 => making.deliveries(at, number),
            _ if number < calm => making.rollout(at, number),
            _ => making.trouble(at, number),
        }
    }
    making.steps.sort_by_key(|(at, _)| *at);
    making.steps
}

struct Making {
    rng: fastrand::Rng,
    steps: Vec<(Duration, Step)>,
}

impl Making {
    fn push(&mut self, at: u64, step: Step) {
        self.steps.push((Duration::from_millis(at), step));
    }

    fn file(&mut self) -> String {
        format!("{}.css", self.rng.usize(0..FILES))
    }

    /// The same on all nodes: at once, within seconds, or late.
    fn rollout(&mut self, at: u64, number: usize) {
        let (path, way) = match self.rng.u32(0..10) {
            0..=4 => (self.file(), Way::Replaced),
            5..=6 => (self.file(), Way::Rewritten),
            7 => (self.file(), Way::Copied),
            8 => (self.file(), Way::Removed),
            _ => (format!("new-{number}.css"), Way::Replaced),
        };
        let longest = [100, 100, 3_000, 3_000, 8_000][self.rng.usize(0..5)];
        let first = self.rng.usize(0..NODES);
        for node in 0..NODES {
            let late = if node == first {
                0
            } else {
                self.rng.u64(0..longest)
            };
            let step = Step::File {
                node,
                path: path.clone(),
                way,
                version: number + 1,
            };
            self.push(at + late, step);
        }
    }

    fn deliveries(&mut self, at: u64, number: usize) {
        let node = self.rng.usize(0..NODES);
        let many = self.rng.usize(1..5);
        let deliveries = (0..many).map(|nth| {
            let also = self.rng.u32(0..5) == 0;
            (
                format!("delivered/{number}-{nth}.css"),
                also.then(|| self.file()),
            )
        });
        let deliveries = deliveries.collect();
        self.push(at, Step::Deliver(node, deliveries));
    }

    fn trouble(&mut self, at: u64, number: usize) {
        let (sort, long) = match self.rng.u32(0..12) {
            0..=2 => (Sort::Killed, self.rng.u64(100..12_000)),
            3 => (Sort::Stopped, self.rng.u64(100..6_000)),
            4..=6 => (Sort::Halted, self.long()),
            7..=8 => (Sort::Cut, self.long()),
            9 => (Sort::Database, self.rng.u64(0..3_000)),
            _ => (Sort::Failover, self.rng.u64(0..4_000)),
        };
        let victim = if self.rng.bool() {
            Victim::Leader
        } else {
            Victim::Node(self.rng.usize(0..NODES))
        };
        self.push(at, Step::Begin(number, sort, victim));
        self.push(at + long, Step::End(number, sort));
    }

    /// Shorter, or longer, than a leader may act without having renewed its lease.
    fn long(&mut self) -> u64 {
        if self.rng.bool() {
            self.rng.u64(200..4_000)
        } else {
            self.rng.u64(8_500..14_000)
        }
    }
}
