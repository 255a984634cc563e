//! A change is purged when every live node of a fleet has it: the edge fetches from any of them.
//!
//! Each node compares what the others committed with its own index ([`Agreement`]), and publishes how far
//! it agrees ([`Compared`]). The leader keeps a batch open until each live node agrees with all of it, or
//! until `fleet_wait` is over. That only saves purges: a node that gets a file late commits that as a change
//! of its own, which is purged, too.
//!
//! A file that never is the same, such as one with a host's name in it, is waited for once: it is
//! *diverged* then, and not waited for again until it agreed once.
//!
//! Only what differs is kept. Nothing grows with the files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::change::{ContentHash, Seq};
use super::lease::NodeId;
use super::sum::Sum;
use super::time::Time;

mod member;

pub use member::{Member, live};

/// Changes that a node names at most as those that it has not got; from the next one on, nothing counts as
/// compared.
pub const NAMED: usize = 256;
/// Changes of other nodes that a node has not got, and waits for, at most; then it compares no more until
/// some are settled.
pub const AWAITED: usize = 10_000;
/// Diverged files that are remembered at most; the one that diverged first is forgotten, and waited for
/// again.
pub const DIVERGED: usize = 10_000;

/// A file of a pipeline, wherever it is served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// The origin's name.
    pub origin: Arc<str>,
    /// The path below the origin's root, as bytes.
    pub path: Vec<u8>,
}

/// What a node has of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// No file.
    Gone,
    /// These bytes.
    Hash(ContentHash),
    /// Bytes that are not hashed: they count as equal to all others.
    Unread,
}

impl Content {
    fn agrees(self, other: Self) -> bool {
        match (self, other) {
            (Self::Hash(own), Self::Hash(other)) => own == other,
            _ => (self == Self::Gone) == (other == Self::Gone),
        }
    }

    /// The sum with or without it.
    fn summed(
        &self,
        sum: Sum,
        path: &[u8],
        change: impl Fn(Sum, &[u8], Option<&ContentHash>) -> Sum,
    ) -> Sum {
        match self {
            Self::Gone => sum,
            Self::Hash(hash) => change(sum, path, Some(hash)),
            Self::Unread => change(sum, path, None),
        }
    }
}

/// One change of a file by another node. A file has a change for each of its assets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The change.
    pub seq: Seq,
    /// Who committed it.
    pub node: NodeId,
    /// The file.
    pub file: File,
    /// What that node has of it since.
    pub content: Content,
}

/// How far a node agrees with the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Up to this change it has compared all of them with its own files.
    pub agreed: Seq,
    /// Those of them that it has not got, in order.
    pub lagging: Vec<Seq>,
}

impl Compared {
    /// Whether the node has what the changes from `first` to `last` brought.
    #[must_use]
    pub fn has(&self, first: Seq, last: Seq) -> bool {
        let mut lagging = self.lagging.iter();
        self.agreed >= last && !lagging.any(|seq| (first..=last).contains(seq))
    }
}

/// A file that is not waited for, since it stays different from another node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diverged {
    /// The file.
    pub file: File,
    /// The other node,
    pub node: NodeId,
    /// what it has,
    pub content: Content,
    /// and since when it is not waited for.
    pub since: Time,
}

/// Files that are not the same on this node and on others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Divergence {
    /// How many.
    pub files: usize,
    /// The first ones, each with what one other node has.
    pub named: Vec<Differing>,
    /// Since when the first of all is given up.
    pub since: Time,
}

/// A file that is not the same on this node and on another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    /// The file.
    pub file: File,
    /// What this node has of it,
    pub own: Content,
    /// the other node,
    pub node: NodeId,
    /// and what that one has.
    pub content: Content,
}

impl Differing {
    /// How it differs, in words; the other node has this name.
    #[must_use]
    pub fn said(&self, name: &str) -> String {
        match (self.own, self.content) {
            (_, Content::Gone) => format!("gone on {name}"),
            (Content::Gone, _) => format!("gone here, there on {name}"),
            // What this node has was not compared since its start.
            (own, content) if own == content => format!("not as on {name}"),
            _ => format!("other bytes on {name}"),
        }
    }
}

/// A difference between this node's file and another's.
#[derive(Clone, Debug)]
struct Difference {
    /// What the other node has,
    content: Content,
    /// and what this one had when they were compared last.
    own: Content,
    state: State,
    /// Whether that node serves files now.
    serves: bool,
}

#[derive(Clone, Debug)]
enum State {
    /// The other node's last changes of the file, and how long they are waited for: no longer than from the
    /// first time that the file differed.
    Awaited(Vec<Seq>, Time),
    /// Not waited for since then.
    Diverged(Time),
}

/// What a node knows of the files of a pipeline that others have and it has not.
#[derive(Clone, Debug)]
pub struct Agreement {
    wait: Duration,
    compared: Seq,
    differences: BTreeMap<(File, NodeId), Difference>,
    lagging: BTreeSet<Seq>,
    /// Whether other files are diverged than were taken last.
    is_news: bool,
}

impl Agreement {
    /// Begins to compare after a change: the last one before those that are still queued. A file that
    /// differs is waited for so long.
    #[must_use]
    pub const fn new(after: Seq, wait: Duration) -> Self {
        Self {
            wait,
            compared: after,
            differences: BTreeMap::new(),
            lagging: BTreeSet::new(),
            is_news: false,
        }
    }

    /// With files that are diverged since an earlier process, until they are compared again.
    #[must_use]
    pub fn with(mut self, diverged: Vec<Diverged>) -> Self {
        let known = diverged.into_iter().map(|one| {
            let difference = Difference {
                content: one.content,
                own: one.content,
                state: State::Diverged(one.since),
                serves: true,
            };
            ((one.file, one.node), difference)
        });
        self.differences.extend(known);
        self
    }

    /// The files that are diverged, where these are others than it gave last.
    pub fn take_diverged(&mut self) -> Option<Vec<Diverged>> {
        let diverged = |((file, node), known): (&(File, NodeId), &Difference)| {
            let State::Diverged(since) = known.state else {
                return None;
            };
            Some(Diverged {
                file: file.clone(),
                node: *node,
                content: known.content,
                since,
            })
        };
        let is_news = std::mem::take(&mut self.is_news);
        is_news.then(|| self.differences.iter().filter_map(diverged).collect())
    }

    /// Whether [`Agreement::take_diverged`] has some.
    #[must_use]
    pub const fn is_news(&self) -> bool {
        self.is_news
    }

    /// The last change that is compared.
    #[must_use]
    pub const fn cursor(&self) -> Seq {
        self.compared
    }

    /// How many facts it takes now; more are to be held back.
    #[must_use]
    pub fn room(&self) -> usize {
        AWAITED.saturating_sub(self.lagging.len())
    }

    /// Compares a change of another node with what this one has, in order of the changes. `true`: the origin
    /// is to look at the file now.
    pub fn fact(&mut self, now: Time, fact: Fact, own: Content) -> bool {
        self.compared = self.compared.max(fact.seq);
        let key = (fact.file, fact.node);
        if own.agrees(fact.content) {
            self.settle(&key);
            return false;
        }
        let until = now.after(self.wait);
        let known = self.differences.entry(key).or_insert(Difference {
            content: fact.content,
            own,
            state: State::Awaited(Vec::new(), until),
            serves: true,
        });
        known.own = own;
        let other = std::mem::replace(&mut known.content, fact.content) != fact.content;
        let State::Awaited(seqs, _) = &mut known.state else {
            self.is_news |= other;
            return false;
        };
        if other {
            for seq in seqs.drain(..) {
                self.lagging.remove(&seq);
            }
        }
        let first = seqs.is_empty();
        seqs.push(fact.seq);
        self.lagging.insert(fact.seq);
        first
    }

    /// All changes up to this one were handed over.
    pub fn through(&mut self, last: Seq) {
        self.compared = self.compared.max(last);
    }

    /// This node has this of a file now, and its index says so.
    pub fn own(&mut self, file: &File, content: Content) {
        let mut same = Vec::new();
        for (key, known) in self.differences.range_mut(range(file)) {
            known.own = content;
            if content.agrees(known.content) {
                same.push(key.clone());
            }
        }
        for key in &same {
            self.settle(key);
        }
    }

    /// The nodes that serve files, and all that are remembered. No file is diverged from one that serves nothing, until
    /// it is back; what it committed before may still come here, too, and is waited for. Of one that was forgotten,
    /// nothing else is kept.
    pub fn nodes(&mut self, serving: &BTreeSet<NodeId>, remembered: &BTreeSet<NodeId>) {
        let before = self.differences.len();
        self.differences.retain(|(_, node), known| {
            known.serves = serving.contains(node);
            remembered.contains(node) || matches!(known.state, State::Awaited(..))
        });
        self.is_news |= self.differences.len() < before;
    }

    /// The files that differ and are waited for; with `diverged`, those that are not, too. Each once.
    #[must_use]
    pub fn differing(&self, diverged: bool) -> BTreeSet<File> {
        let wanted = |known: &Difference| diverged || matches!(known.state, State::Awaited(..));
        let known = self.differences.iter().filter(|(_, known)| wanted(known));
        known.map(|((file, _), _)| file.clone()).collect()
    }

    /// Whether a file differs, and is waited for.
    #[must_use]
    pub fn awaits(&self, file: &File) -> bool {
        self.of(file)
            .any(|(_, known)| matches!(known.state, State::Awaited(..)))
    }

    /// What is known of a file, by the nodes that have something else.
    fn of(&self, file: &File) -> impl Iterator<Item = (&(File, NodeId), &Difference)> {
        self.differences.range(range(file))
    }

    /// Whether any file differs, and is waited for.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.next_wake().is_some()
    }

    /// Whether any file differs.
    #[must_use]
    pub fn differs(&self) -> bool {
        !self.differences.is_empty()
    }

    fn settle(&mut self, key: &(File, NodeId)) {
        match self.differences.remove(key).map(|known| known.state) {
            Some(State::Awaited(seqs, _)) => {
                for seq in seqs {
                    self.lagging.remove(&seq);
                }
            }
            Some(State::Diverged(_)) => self.is_news = true,
            None => {}
        }
    }

    /// Gives up what was waited for long enough: it is diverged.
    pub fn wake(&mut self, now: Time) {
        for known in self.differences.values_mut() {
            if let State::Awaited(seqs, until) = &known.state
                && *until <= now
            {
                for seq in seqs {
                    self.lagging.remove(seq);
                }
                known.state = State::Diverged(now);
                self.is_news = true;
            }
        }
        let mut diverged: Vec<_> = self.diverged().collect();
        let surplus = diverged.len().saturating_sub(DIVERGED);
        diverged.sort_by_key(|(_, since)| *since);
        let forgotten: Vec<_> = diverged
            .into_iter()
            .take(surplus)
            .map(|(key, _)| key.clone())
            .collect();
        for key in &forgotten {
            self.settle(key);
        }
    }

    /// When [`Agreement::wake`] has something to do.
    #[must_use]
    pub fn next_wake(&self) -> Option<Time> {
        let until = |known: &Difference| match known.state {
            State::Awaited(_, until) => Some(until),
            State::Diverged(_) => None,
        };
        self.differences.values().filter_map(until).min()
    }

    /// How far this node agrees.
    #[must_use]
    pub fn compared(&self) -> Compared {
        let mut seqs = self.lagging.iter().copied();
        let lagging = seqs.by_ref().take(NAMED).collect();
        let agreed = seqs.next().map_or(self.compared, |next| Seq(next.0 - 1));
        Compared { agreed, lagging }
    }

    /// The files that are diverged since a time or longer; so many are named.
    #[must_use]
    pub fn divergence(&self, since: Time, named: usize) -> Option<Divergence> {
        let mut found: Option<Divergence> = None;
        let mut last = None;
        for (at, differing) in self.serving().filter(|(at, _)| *at <= since) {
            let all = found.get_or_insert(Divergence {
                since: at,
                ..Divergence::default()
            });
            all.since = all.since.min(at);
            // Those of one file follow each other.
            if last.as_ref() == Some(&differing.file) {
                continue;
            }
            last = Some(differing.file.clone());
            all.files += 1;
            if all.named.len() < named {
                all.named.push(differing);
            }
        }
        found
    }

    /// From which nodes a file is diverged.
    pub fn diverged_from(&self, file: &File) -> impl Iterator<Item = Differing> {
        let of = self.serving().map(|(_, differing)| differing);
        of.filter(move |differing| differing.file == *file)
    }

    /// What is diverged from nodes that serve files now, each since when.
    fn serving(&self) -> impl Iterator<Item = (Time, Differing)> {
        self.differences.iter().filter_map(|((file, node), known)| {
            let State::Diverged(since) = known.state else {
                return None;
            };
            let differing = || Differing {
                file: file.clone(),
                own: known.own,
                node: *node,
                content: known.content,
            };
            known.serves.then(|| (since, differing()))
        })
    }

    /// How many files of an origin are diverged from each node, and what this node's sum is with what that one has
    /// of them.
    #[must_use]
    pub fn apart(&self, origin: &str, own: Sum) -> BTreeMap<NodeId, (usize, Sum)> {
        let mut apart = BTreeMap::new();
        for ((file, node), known) in &self.differences {
            let counts = known.serves && matches!(known.state, State::Diverged(_));
            if &*file.origin != origin || !counts {
                continue;
            }
            let (files, sum): &mut (usize, Sum) = apart.entry(*node).or_insert((0, own));
            *files += 1;
            let rest = known.own.summed(*sum, &file.path, Sum::without);
            *sum = known.content.summed(rest, &file.path, Sum::with);
        }
        apart
    }

    fn diverged(&self) -> impl Iterator<Item = (&(File, NodeId), Time)> {
        self.differences
            .iter()
            .filter_map(|(key, known)| match known.state {
                State::Diverged(since) => Some((key, since)),
                State::Awaited(..) => None,
            })
    }
}

/// What may be known of a file, by node.
fn range(file: &File) -> std::ops::RangeInclusive<(File, NodeId)> {
    let of = |node| (file.clone(), NodeId(node));
    of(i64::MIN)..=of(i64::MAX)
}

#[cfg(test)]
mod tests;
