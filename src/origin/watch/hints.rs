//! Where to look: a bounded trie of paths that collapses upwards (children, directory, root) and
//! never loses one. Pure. Collapsing costs a scan, never a purge: what is purged is still exactly
//! what differs.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::core::time::Time;
use crate::origin::settings::{QUIET, QUIET_AT_MOST, SETTLED};
use crate::origin::status::ScanReason;

/// More children than this in one directory become the directory.
const CHILDREN: usize = 1_024;
/// More nodes than this become the root.
const NODES: usize = 65_536;
/// A path deeper than this becomes its ancestor at this depth.
const DEPTH: usize = 64;
/// A flood that does not end puts the look off for so long, at most.
const FLOOD: Duration = Duration::from_secs(3);

/// What an event said of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::origin) enum Nature {
    /// A file has a new name; it may still be written.
    Created,
    /// It is being written: more may follow, until it is closed.
    Written,
    /// It was closed after writing, renamed, or removed: what is there now is complete.
    Complete,
    /// Its metadata changed; that says nothing about a writer.
    Touched,
    /// A directory: everything below it.
    Subtree,
}

/// Who wants the look. Ordered: of two, the later names what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::origin) enum Cause {
    /// A second look at a file whose times were too young to tell two writes apart.
    Recheck,
    /// A scan.
    Scan(ScanReason),
    /// An event.
    Watch,
}

/// One place to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about the place"
)]
pub(in crate::origin) struct Hint {
    /// Everything below as well.
    pub(in crate::origin) subtree: bool,
    /// What is there is complete: no need to wait for a writer.
    pub(in crate::origin) complete: bool,
    /// The name itself came, went or was written; else only its metadata.
    pub(in crate::origin) named: bool,
    /// The kernel reported it, and it is not the program's own wish to look.
    pub(in crate::origin) event: bool,
    /// When the newest event of it came; `None` where no event brings the look, or it was put off.
    pub(in crate::origin) event_at: Option<Time>,
    /// It is being written: unless it is complete before, the look comes so long after the first hint.
    pub(in crate::origin) writing: Option<Duration>,
    pub(in crate::origin) cause: Cause,
    pub(in crate::origin) first: Time,
    pub(in crate::origin) due: Time,
    /// It stands for more places than are kept: the look waits for the flood to end, since files
    /// that are just written would have to be looked at twice; but no longer than until then.
    pub(in crate::origin) flood: Option<Time>,
}

impl Hint {
    /// What an event asks for. `write_wait`: how long a file that is being written is waited for.
    pub(in crate::origin) fn event(nature: Nature, now: Time, write_wait: Duration) -> Self {
        let writing = (nature == Nature::Written).then_some(write_wait);
        let wait = match nature {
            Nature::Created => SETTLED,
            Nature::Written => write_wait,
            Nature::Complete | Nature::Touched | Nature::Subtree => QUIET,
        };
        Self {
            subtree: nature == Nature::Subtree,
            complete: nature == Nature::Complete,
            named: nature != Nature::Touched,
            event: true,
            event_at: Some(now),
            writing,
            cause: Cause::Watch,
            first: now,
            due: now.after(wait),
            flood: None,
        }
    }

    /// One more look, for a reason of the program's own.
    pub(in crate::origin) const fn again(cause: Cause, now: Time) -> Self {
        Self {
            subtree: false,
            complete: false,
            named: true,
            event: false,
            event_at: None,
            writing: None,
            cause,
            first: now,
            due: now,
            flood: None,
        }
    }

    /// Everything at and below a directory.
    pub(in crate::origin) fn below(cause: Cause, now: Time) -> Self {
        Self {
            cause,
            ..Self::event(Nature::Subtree, now, Duration::ZERO)
        }
    }

    /// The same for everything below the directory, where too many places were marked.
    fn flooded(self) -> Self {
        let due = self.calm();
        Self {
            subtree: true,
            writing: None,
            due,
            flood: Some(due.after(FLOOD)),
            ..self
        }
    }

    /// When a file that is written now is no longer in writing.
    fn calm(&self) -> Time {
        let settled = self.first.after(SETTLED);
        if self.writing.is_some() {
            settled
        } else {
            self.due.max(settled)
        }
    }

    /// Takes a newer hint of the same place in. The look comes at the sooner of the two times, but
    /// events that follow each other push it ahead of them, up to a limit: no rest, no starving.
    fn merge(&mut self, newer: Self) {
        self.first = self.first.min(newer.first);
        let limit = self.first.after(QUIET_AT_MOST);
        self.flood = self.flood.or(newer.flood);
        let completed = newer.complete && newer.event;
        self.writing = match (self.writing, newer.writing) {
            _ if self.subtree || newer.subtree || completed => None,
            (writing, wait) => writing.or(wait),
        };
        self.due = match (self.flood, self.writing) {
            (Some(limit), _) => self.due.max(newer.calm()).min(limit),
            // Nothing but its end brings the look forward.
            (None, Some(wait)) => self.first.after(wait),
            (None, None) if newer.due < self.due => newer.due,
            (None, None) => self.due.max(newer.due.min(limit)),
        };
        // An event speaks of what is there now; a look that was put off repeats what it was for.
        if newer.cause == Cause::Watch && newer.named {
            self.complete = newer.complete;
        }
        self.subtree |= newer.subtree;
        self.named |= newer.named;
        self.event |= newer.event;
        self.event_at = self.event_at.max(newer.event_at);
        self.cause = self.cause.max(newer.cause);
    }
}

#[derive(Debug)]
struct Node {
    children: BTreeMap<Box<[u8]>, Node>,
    hint: Option<Hint>,
    /// Nothing in here is due before this.
    due: Time,
}

impl Node {
    const fn new() -> Self {
        Self {
            children: BTreeMap::new(),
            hint: None,
            due: NEVER,
        }
    }

    /// Marks this node; with `subtree`, what is below is given up for it.
    fn set(&mut self, hint: Hint) {
        match &mut self.hint {
            Some(old) => old.merge(hint),
            None => self.hint = Some(hint),
        }
        if hint.event && hint.complete {
            // A directory that went takes what is written in it out of sight.
            for child in self.children.values_mut() {
                child.end_writing(hint.due);
            }
        }
        if self.hint.is_some_and(|hint| hint.subtree) {
            let children = std::mem::take(&mut self.children);
            for child in children.into_values() {
                child.fold_into(&mut self.hint);
            }
        }
        self.due = match self.hint {
            Some(hint) if hint.subtree => hint.due,
            Some(hint) => hint.due.min(self.due),
            None => self.due,
        };
    }

    /// Nothing in here is waited for as being written: no event may say any more that it ended.
    fn end_writing(&mut self, due: Time) {
        if let Some(hint) = self.hint.as_mut().filter(|hint| hint.writing.is_some()) {
            hint.writing = None;
            hint.due = hint.due.min(due);
            self.due = self.due.min(hint.due);
        }
        for child in self.children.values_mut() {
            child.end_writing(due);
            self.due = self.due.min(child.due);
        }
    }

    fn fold_into(self, above: &mut Option<Hint>) {
        if let (Some(above), Some(hint)) = (above.as_mut(), self.hint) {
            above.cause = above.cause.max(hint.cause);
            if above.flood.is_none() {
                above.due = above.due.min(hint.due);
            }
            above.first = above.first.min(hint.first);
            above.event_at = above.event_at.max(hint.event_at);
        }
        for child in self.children.into_values() {
            child.fold_into(above);
        }
    }

    /// Returns when a flood that the hint belongs to will be looked at.
    fn put(
        &mut self,
        mut names: std::slice::Split<'_, u8, Slash>,
        depth: usize,
        hint: Hint,
    ) -> Option<Time> {
        if let Some(own) = self.hint.as_mut().filter(|own| own.subtree) {
            own.merge(Hint {
                subtree: true,
                ..hint
            });
            self.due = own.due;
            return own.flood.and(Some(own.due));
        }
        let Some(name) = names.next() else {
            self.set(hint);
            return None;
        };
        if depth == DEPTH {
            self.set(Hint {
                subtree: true,
                ..hint
            });
            return None;
        }
        if self.children.len() >= CHILDREN && !self.children.contains_key(name) {
            return Some(self.flood(hint));
        }
        self.due = self.due.min(hint.due);
        self.children
            .entry(name.into())
            .or_insert_with(Self::new)
            .put(names, depth + 1, hint)
    }

    /// Marks everything in here, since too much of it is marked already.
    fn flood(&mut self, hint: Hint) -> Time {
        self.set(hint.flooded());
        self.due
    }

    /// Takes out what is due, and works out when the rest is.
    fn take(
        &mut self,
        now: Time,
        path: &mut Vec<u8>,
        limit: usize,
        out: &mut Vec<(Vec<u8>, Hint)>,
    ) {
        if self.due > now || out.len() >= limit {
            return;
        }
        if let Some(hint) = self.hint.take_if(|hint| hint.due <= now) {
            out.push((path.clone(), hint));
        }
        let mut due = self.hint.map_or(NEVER, |hint| hint.due);
        self.children.retain(|name, child| {
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            child.take(now, path, limit, out);
            path.truncate(length);
            due = due.min(child.due);
            child.hint.is_some() || !child.children.is_empty()
        });
        self.due = due;
    }

    fn any(&self, wanted: &impl Fn(&Hint) -> bool) -> bool {
        self.hint.as_ref().is_some_and(wanted)
            || self.children.values().any(|node| node.any(wanted))
    }

    fn some(
        &self,
        path: &mut Vec<u8>,
        limit: usize,
        wanted: &impl Fn(&Hint) -> bool,
        found: &mut Vec<(Vec<u8>, Time)>,
    ) {
        if found.len() >= limit {
            return;
        }
        if let Some(hint) = self.hint.as_ref().filter(|hint| wanted(hint)) {
            found.push((path.clone(), hint.first));
        }
        for (name, child) in &self.children {
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            child.some(path, limit, wanted, found);
            path.truncate(length);
        }
    }

    fn count(&self) -> usize {
        1 + self.children.values().map(Self::count).sum::<usize>()
    }

    fn hints(&self, wanted: &impl Fn(&Hint) -> bool) -> u64 {
        let own = u64::from(self.hint.as_ref().is_some_and(wanted));
        let below = self.children.values().map(|node| node.hints(wanted));
        own + below.sum::<u64>()
    }
}

type Slash = fn(&u8) -> bool;

const NEVER: Time = Time::from_millis(u64::MAX);

fn names(path: &[u8]) -> std::slice::Split<'_, u8, Slash> {
    let slash: Slash = |byte| *byte == b'/';
    let mut names = path.split(slash);
    if path.is_empty() {
        names.next();
    }
    names
}

/// The set of places to look at.
#[derive(Debug)]
pub(in crate::origin) struct Hints {
    root: Node,
    /// Never less than the nodes there are; counted anew when it reaches the limit.
    nodes: usize,
    /// When the last flood will be looked at.
    flood: Time,
}

impl Hints {
    pub(in crate::origin) const fn new() -> Self {
        Self {
            root: Node::new(),
            nodes: 1,
            flood: Time::ZERO,
        }
    }

    /// Adds a place. `path` is relative to the root, empty for the root itself.
    pub(in crate::origin) fn insert(&mut self, path: &[u8], hint: Hint) {
        let mut flood = self.root.put(names(path), 0, hint);
        self.nodes += names(path).count();
        if self.nodes > NODES {
            self.nodes = self.root.count();
            if self.nodes > NODES / 2 {
                flood = Some(self.root.flood(hint));
                self.nodes = 1;
            }
        }
        self.flood = self.flood.max(flood.unwrap_or(Time::ZERO));
    }

    /// Whether so many places were marked that a directory as a whole waits to be looked at.
    pub(in crate::origin) fn flooded(&self, now: Time) -> bool {
        now < self.flood
    }

    /// Takes out at most `limit` places that are due.
    pub(in crate::origin) fn take_due(&mut self, now: Time, limit: usize) -> Vec<(Vec<u8>, Hint)> {
        let mut out = Vec::new();
        self.root.take(now, &mut Vec::new(), limit, &mut out);
        if self.root.hint.is_none() && self.root.children.is_empty() {
            self.nodes = 1;
        }
        out
    }

    /// When [`Hints::take_due`] may have something, at the earliest.
    pub(in crate::origin) fn next_due(&self) -> Option<Time> {
        (self.root.due != NEVER).then_some(self.root.due)
    }

    /// Whether this path, or a subtree it lies in, is still to be looked at because of an event.
    pub(in crate::origin) fn heard_of(&self, path: &[u8]) -> bool {
        let watched = |hint: &Hint| hint.cause == Cause::Watch;
        let mut node = &self.root;
        for name in names(path) {
            if node
                .hint
                .as_ref()
                .is_some_and(|hint| hint.subtree && watched(hint))
            {
                return true;
            }
            let Some(child) = node.children.get(name) else {
                return false;
            };
            node = child;
        }
        node.hint.as_ref().is_some_and(watched)
    }

    /// Events were lost, perhaps those that end a writing: what is written is looked at soon.
    pub(in crate::origin) fn end_writing(&mut self, now: Time) {
        self.root.end_writing(now.after(SETTLED));
    }

    /// Whether the kernel has reported this very path, and it was not looked at since.
    pub(in crate::origin) fn event_at(&mut self, path: &[u8]) -> bool {
        self.hint_at(path).is_some_and(|hint| hint.event)
    }

    /// The path waits to be looked at since `first`.
    pub(in crate::origin) fn since(&mut self, path: &[u8], first: Time) {
        if let Some(hint) = self.hint_at(path) {
            hint.first = hint.first.min(first);
        }
    }

    fn hint_at(&mut self, path: &[u8]) -> Option<&mut Hint> {
        let mut node = &mut self.root;
        for name in names(path) {
            node = node.children.get_mut(name)?;
        }
        node.hint.as_mut()
    }

    /// The first places of this kind, and since when they wait.
    pub(in crate::origin) fn some(
        &self,
        limit: usize,
        wanted: impl Fn(&Hint) -> bool,
    ) -> Vec<(Vec<u8>, Time)> {
        let mut found = Vec::new();
        self.root.some(&mut Vec::new(), limit, &wanted, &mut found);
        found
    }

    /// Whether a place of this kind is left.
    pub(in crate::origin) fn any(&self, wanted: impl Fn(&Hint) -> bool) -> bool {
        self.root.any(&wanted)
    }

    /// How many places of this kind there are.
    pub(in crate::origin) fn count_hints(&self, wanted: impl Fn(&Hint) -> bool) -> u64 {
        self.root.hints(&wanted)
    }
}

#[cfg(test)]
mod tests;
