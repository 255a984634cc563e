//! Who leads: one row says which term is now and who leads in it, and its beat moves with each renewal.
//!
//! **No clock is compared with another machine's.** A leader acts until [`WINDOW`] after it asked for its
//! last renewal, by its own clock. Another node takes the row over when that has not moved for
//! [`PATIENCE`], by its own clock. That is longer, so that no two act at once. Time in which the row could
//! not be read does not count: then the leader may have been cut off, too, and goes on when it is back.
//!
//! Only the term protects what is committed (`store/desk.rs`). The times here protect what is sent: calls
//! and their rate. After a failover that gave an older row back, two nodes may act for a [`WINDOW`]; what one
//! of them decides is refused.

use std::time::Duration;

use super::time::Time;

/// How often, at the least, the leader renews and the others read.
pub const BEAT: Duration = Duration::from_secs(2);
/// How long after it asked for its last renewal a leader acts.
pub const WINDOW: Duration = Duration::from_secs(8);
/// How long a row has to stand still before another node takes it over.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long a node that could not begin to lead leaves that to others.
pub const RECOVERY: Duration = Duration::from_mins(1);

/// A term of a leader: a random number, so that a database which forgot the last terms in a failover never
/// gives one of them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term(pub i64);

/// The number of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub i64);

impl NodeId {
    /// The node whose queue is no other's.
    pub const ONLY: Self = Self(1);
}

/// What is read of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// Which term is now.
    pub term: Term,
    /// Who leads in it; `None`: the leader has resigned.
    pub leader: Option<NodeId>,
    /// Moves with each renewal.
    pub beat: i64,
}

/// What a node does about the lease. Each question is answered by an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseCommand {
    /// Read the row.
    Read,
    /// Move the row, if it is of this term.
    Renew(Term),
    /// Begin this term, if the row is as it was read.
    Take(LeaseRow, Term),
    /// End what only a leader does; then tell with [`LeaseEvent::Ended`].
    StepDown,
    /// Say that this term has no leader any more.
    Resign(Term),
}

/// What happens to a node's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseEvent {
    /// Time has passed: see [`Lease::next_wake`].
    Wake,
    /// The row is announced to have moved.
    News,
    /// The row was read.
    Read(LeaseRow),
    /// A renewal was asked for, at this time; `false`: the row is of another term.
    Renewed(Term, Time, bool),
    /// A term was asked for, at this time; `false`: the row was not as it was read. What only a leader does
    /// begins.
    Taken(Term, Time, bool),
    /// A question had no answer.
    Unreachable,
    /// What only a leader does has ended, by itself or because it had to.
    Ended,
    /// What only a leader does could not begin.
    Failed,
    /// The node leaves.
    Stop,
}

#[derive(Clone, Copy, Debug)]
enum Role {
    Follows,
    Leads {
        term: Term,
        until: Time,
    },
    /// It is ending what only a leader does, and resigns from this term then.
    Leaves(Option<Term>),
}

/// A node's part in who leads.
#[derive(Clone, Debug)]
pub struct Lease {
    node: NodeId,
    role: Role,
    /// The row as it was read last, and since when it stands still.
    seen: Option<(LeaseRow, Time)>,
    /// Whether the row was read since the process began.
    has_read: bool,
    /// The last term of this node, unless the row was of another since.
    own: Option<Term>,
    /// When it reads or renews next.
    next: Time,
    /// It does not take over before.
    recovered: Time,
    stopping: bool,
    rng: fastrand::Rng,
}

impl Lease {
    /// The lease of a node that starts. The seed has to be random: it makes the terms.
    #[must_use]
    pub fn new(node: NodeId, seed: u64, now: Time) -> Self {
        Self {
            node,
            role: Role::Follows,
            seen: None,
            has_read: false,
            own: None,
            next: now,
            recovered: now,
            stopping: false,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Until when the node may act as a leader; `None`: it does not lead.
    #[must_use]
    pub const fn until(&self) -> Option<Time> {
        match self.role {
            Role::Leads { until, .. } => Some(until),
            Role::Follows | Role::Leaves(_) => None,
        }
    }

    /// When [`LeaseEvent::Wake`] is due; `None`: not any more.
    #[must_use]
    pub fn next_wake(&self) -> Option<Time> {
        if self.stopping {
            return None;
        }
        let taking = match (&self.role, self.seen) {
            (Role::Follows, Some((_, since))) => since.after(PATIENCE).max(self.recovered),
            _ => self.next,
        };
        Some(self.next.min(taking))
    }

    /// What is to be done about an event.
    pub fn handle(&mut self, now: Time, event: LeaseEvent) -> Option<LeaseCommand> {
        match (event, self.role) {
            (LeaseEvent::Wake | LeaseEvent::News, role) => self.ask(now, event, role),
            (LeaseEvent::Read(row), Role::Follows) => self.read(now, row),
            (LeaseEvent::Renewed(of, asked, true), Role::Leads { term, until }) if of == term => {
                let until = until.max(asked.after(WINDOW));
                self.role = Role::Leads { term, until };
                None
            }
            (LeaseEvent::Renewed(of, _, false), Role::Leads { term, .. }) if of == term => {
                self.own = None;
                self.role = Role::Leaves(None);
                Some(LeaseCommand::StepDown)
            }
            (LeaseEvent::Taken(term, _, true), _) if self.stopping => {
                Some(LeaseCommand::Resign(term))
            }
            (LeaseEvent::Taken(term, asked, true), Role::Follows) => {
                let until = asked.after(WINDOW);
                self.role = Role::Leads { term, until };
                self.own = Some(term);
                self.next = now;
                None
            }
            (LeaseEvent::Taken(_, _, false), Role::Follows) => {
                self.next = now;
                None
            }
            (LeaseEvent::Unreachable, _) => {
                self.seen = None;
                None
            }
            (LeaseEvent::Stop, role) => {
                self.stopping = true;
                match role {
                    Role::Leads { term, .. } => {
                        self.role = Role::Leaves(Some(term));
                        Some(LeaseCommand::StepDown)
                    }
                    // What only a leader does may have ended before, by the same stop: the term is still its own.
                    Role::Follows => self.own.take().map(LeaseCommand::Resign),
                    Role::Leaves(_) => None,
                }
            }
            (LeaseEvent::Ended, role) => {
                self.follow(now);
                match role {
                    Role::Leaves(Some(term)) => Some(LeaseCommand::Resign(term)),
                    Role::Leaves(None) | Role::Leads { .. } | Role::Follows => None,
                }
            }
            (LeaseEvent::Failed, Role::Leads { term, .. } | Role::Leaves(Some(term))) => {
                self.follow(now);
                self.recovered = now.after(RECOVERY);
                Some(LeaseCommand::Resign(term))
            }
            // The answer to what was asked in another role.
            (
                LeaseEvent::Read(_)
                | LeaseEvent::Renewed(..)
                | LeaseEvent::Taken(..)
                | LeaseEvent::Failed,
                _,
            ) => None,
        }
    }

    fn follow(&mut self, now: Time) {
        self.role = Role::Follows;
        self.seen = None;
        self.next = now;
    }

    /// Renews, reads, or takes over what stands still.
    fn ask(&mut self, now: Time, event: LeaseEvent, role: Role) -> Option<LeaseCommand> {
        if let (Role::Follows, Some((row, since))) = (role, self.seen)
            && now >= since.after(PATIENCE)
            && let Some(take) = self.take(now, row)
        {
            return Some(take);
        }
        if self.stopping || (event == LeaseEvent::Wake && now < self.next) {
            return None;
        }
        // Nodes that start together do not stay together.
        let early = Duration::from_millis(self.rng.u64(0..400));
        self.next = now.after(BEAT).before(early);
        match role {
            Role::Follows => Some(LeaseCommand::Read),
            Role::Leads { term, .. } => Some(LeaseCommand::Renew(term)),
            Role::Leaves(_) => None,
        }
    }

    /// Notes whether the row has moved by now, which may be later than it was read: that is to be on the
    /// safe side. Takes over at once what has no leader, and what this node led: in the process before it,
    /// which is gone, or itself until it could not renew in time.
    fn read(&mut self, now: Time, row: LeaseRow) -> Option<LeaseCommand> {
        let first = !std::mem::replace(&mut self.has_read, true);
        if self.own.is_some_and(|own| own != row.term) {
            self.own = None;
        }
        if self.seen.is_none_or(|(seen, _)| seen != row) {
            self.seen = Some((row, now));
        }
        let own = row.leader == Some(self.node) && (first || self.own.is_some());
        if own || row.leader.is_none() {
            self.take(now, row)
        } else {
            None
        }
    }

    fn take(&mut self, now: Time, row: LeaseRow) -> Option<LeaseCommand> {
        if self.stopping || now < self.recovered {
            return None;
        }
        self.seen = None;
        self.next = now.after(BEAT);
        Some(LeaseCommand::Take(row, Term(self.rng.i64(..))))
    }
}

#[cfg(test)]
mod tests;
