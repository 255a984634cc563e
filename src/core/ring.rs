//! The last commits of a node, in memory: what a database has forgotten of them is committed again.
//!
//! A database that is replicated may lose its last commits when a standby that was behind takes over, or a
//! backup is restored. Each commit of a node has a number and a random mark. The last that the database has shows
//! where its history ends. What a server loses is always the end of what it had: a node of which nothing is
//! missing has seen nothing that is.

use std::collections::VecDeque;
use std::time::Duration;

use super::time::Time;

/// For how long a commit is kept: a standby that is further behind is no standby to fail over to.
pub const REACH: Duration = Duration::from_mins(5);
/// How many bytes are kept: past it the oldest commits are dropped first.
pub const MOST_BYTES: usize = 16 << 20;
/// What a commit takes beside what it wrote.
const EACH: usize = 64;

/// Which commit of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// How many there were with it.
    pub n: i64,
    /// Its random number; `None`: there was none yet.
    pub mark: Option<i64>,
}

impl Mark {
    /// Before the first.
    pub const NONE: Self = Self { n: 0, mark: None };

    /// The next commit.
    #[must_use]
    pub const fn next(self, mark: i64) -> Self {
        Self {
            n: self.n + 1,
            mark: Some(mark),
        }
    }
}

/// A commit, with what it wrote that has to be there.
#[derive(Clone, Debug)]
pub struct Commit<T> {
    /// Which one.
    pub mark: Mark,
    /// What it wrote. Decisions of a leader are not among it: the next term decides anew.
    pub wrote: Vec<T>,
    at: Time,
    bytes: usize,
}

/// What a database has of a node's commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// All of them.
    All,
    /// Those of the ring from this position on are missing.
    Missing(usize),
    /// It ends before the ring begins, or with a commit that is not this node's.
    Beyond,
}

/// The last commits.
#[derive(Clone, Debug)]
pub struct Ring<T> {
    /// The one before the first of `commits`.
    before: Mark,
    commits: VecDeque<Commit<T>>,
    bytes: usize,
}

impl<T> Ring<T> {
    /// Of a node whose last commit is this one.
    #[must_use]
    pub const fn new(last: Mark) -> Self {
        Self {
            before: last,
            commits: VecDeque::new(),
            bytes: 0,
        }
    }

    /// The last commit that was acknowledged.
    #[must_use]
    pub fn last(&self) -> Mark {
        self.commits
            .back()
            .map_or(self.before, |commit| commit.mark)
    }

    /// The next commit was acknowledged.
    pub fn committed(&mut self, mark: i64, now: Time) {
        let mark = self.last().next(mark);
        self.commits.push_back(Commit {
            mark,
            wrote: Vec::new(),
            at: now,
            bytes: EACH,
        });
        self.bytes += EACH;
        while let Some(first) = self.commits.front()
            && now.since(first.at) > REACH
        {
            self.drop_first();
        }
    }

    /// The last commit wrote this, which takes so many bytes.
    pub fn add(&mut self, wrote: T, bytes: usize) {
        let Some(last) = self.commits.back_mut() else {
            return;
        };
        last.wrote.push(wrote);
        last.bytes += bytes;
        self.bytes += bytes;
        while self.bytes > MOST_BYTES {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.commits.pop_front() {
            self.before = first.mark;
            self.bytes -= first.bytes;
        }
    }

    /// How the commits compare with the last one that a database has.
    #[must_use]
    pub fn compare(&self, found: Mark) -> Compared {
        if found == self.last() {
            return Compared::All;
        }
        let missing = self.commits.iter().position(|one| one.mark == found);
        match missing {
            Some(at) => Compared::Missing(at + 1),
            None if found == self.before => Compared::Missing(0),
            None => Compared::Beyond,
        }
    }

    /// The commits from a position on, in order.
    pub fn from(&self, position: usize) -> impl Iterator<Item = &Commit<T>> {
        self.commits.iter().skip(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Mark = Mark {
        n: 7,
        mark: Some(70),
    };

    /// A ring with one commit each second, which wrote these.
    fn ring(wrote: &[&'static str]) -> Ring<&'static str> {
        let mut ring = Ring::new(START);
        for (number, wrote) in (1..).zip(wrote) {
            ring.committed(
                70 + number,
                Time::from_millis(1_000 * number.unsigned_abs()),
            );
            ring.add(*wrote, wrote.len());
        }
        ring
    }

    fn missing(ring: &Ring<&'static str>, found: Mark) -> Vec<&'static str> {
        let Compared::Missing(from) = ring.compare(found) else {
            panic!("{found:?}");
        };
        ring.from(from)
            .flat_map(|one| one.wrote.iter().copied())
            .collect()
    }

    #[test]
    fn what_is_missing_is_what_came_after_the_last_that_is_there_in_order() {
        let ring = ring(&["a", "b", "c"]);
        assert_eq!(ring.compare(ring.last()), Compared::All);
        assert_eq!(missing(&ring, START), ["a", "b", "c"]);
        assert_eq!(missing(&ring, START.next(71)), ["b", "c"]);
        let numbers: Vec<i64> = ring.from(1).map(|one| one.mark.n).collect();
        assert_eq!(numbers, [9, 10]);
    }

    #[test]
    fn a_history_that_is_not_its_own_is_beyond_it() {
        let ring = ring(&["a", "b"]);
        for found in [
            Mark::NONE,
            START.next(99),
            ring.last().next(1),
            Mark { n: 9, ..START },
        ] {
            assert_eq!(ring.compare(found), Compared::Beyond, "{found:?}");
        }
    }

    #[test]
    fn what_is_old_or_too_much_is_dropped_from_the_front_and_is_beyond_it() {
        let mut ring = ring(&["a", "b", "c"]);
        let later = Time::from_millis(2_500).after(REACH);
        ring.committed(74, later);
        assert_eq!(ring.compare(START.next(71)), Compared::Beyond);
        assert_eq!(missing(&ring, START.next(71).next(72)), ["c"]);
        ring.add("large", MOST_BYTES);
        assert_eq!(ring.compare(ring.last()), Compared::All);
        assert_eq!(ring.bytes, 0);
        ring.committed(75, later);
        ring.add("d", 1);
        let before = ring.last().n - 1;
        assert_eq!(ring.from(0).next().unwrap().mark.n, before + 1);
    }

    /// Nodes commit to one database, which goes back again and again, before or after others have written.
    #[test]
    fn whatever_is_forgotten_each_node_brings_back_what_it_wrote_once_and_in_order() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let mut rings: Vec<Ring<u64>> = (0..3).map(|_| Ring::new(Mark::NONE)).collect();
            // What the database has: by which node, with which mark, and what it wrote.
            let mut database: Vec<(usize, Mark, Option<u64>)> = Vec::new();
            let mut wrote: Vec<Vec<u64>> = vec![Vec::new(); 3];
            let mut connected = [true; 3];
            for number in 0..100 {
                if random.u8(0..10) == 0 {
                    database.truncate(database.len() - random.usize(0..=database.len().min(20)));
                    connected = [false; 3];
                    continue;
                }
                let node = random.usize(0..3);
                let ring = &mut rings[node];
                if !std::mem::replace(&mut connected[node], true) {
                    let last = database.iter().rev().find(|row| row.0 == node);
                    let from = match ring.compare(last.map_or(Mark::NONE, |row| row.1)) {
                        Compared::All => continue,
                        Compared::Missing(from) => from,
                        Compared::Beyond => panic!("its own history"),
                    };
                    let missing = ring.from(from);
                    database
                        .extend(missing.map(|one| (node, one.mark, one.wrote.first().copied())));
                    continue;
                }
                ring.committed(random.i64(..), Time::from_millis(number));
                // Not each commit writes something that has to be there.
                let writes = random.bool().then_some(number);
                if let Some(number) = writes {
                    ring.add(number, 1);
                    wrote[node].push(number);
                }
                database.push((node, ring.last(), writes));
            }
            for node in (0..3).filter(|node| connected[*node]) {
                let there = database.iter().filter(|row| row.0 == node);
                let there: Vec<u64> = there.filter_map(|row| row.2).collect();
                assert_eq!(there, wrote[node]);
            }
        }
    }
}
