//! Which names are followed where links to directories lead to each other, as those of a workspace's
//! packages do: their names multiply without end.
//!
//! All names with one link on their way are followed. Of those with more, a directory has 64, those with
//! the fewest links first; or twice as many as there are links to it or to a directory that leads to it,
//! since the theme of 10,000 sites may have links in it. A link to a directory that it lies in
//! (`debian -> .`) is followed once.
//!
//! What is followed is decided for a whole origin, by what is on the disk alone, after a census that
//! lists each real directory once (`origin/tree/links_census.rs`); each scan decides anew. An origin without
//! links behind links costs nothing. A link that the last census did not see waits for a scan. A name that
//! is not followed counts as ignored, and is the alarm `links`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::ignore::{Ignore, PatternError};
use super::links_census::{Census, logical};
use super::resolver::Resolver;
use crate::origin::settings::{Compare, FollowSymlinks};

/// Names of one directory that lead through more than one link. Where many links lead to one
/// directory, or to one that leads to it, it may be [`PER_LINK`] for each of those: a theme that
/// thousands of sites have a link to may have links in it.
const NAMES: usize = 64;
const PER_LINK: usize = 2;
/// All of them together.
const ALL_NAMES: usize = 262_144;
/// Links on the way of a name: the kernel goes through no more.
const LEVELS: usize = 40;
/// Links to a directory that they lie in: they double what is below it. So many are followed, and
/// more while what they add stays below [`LOOP_ENTRIES`].
const LOOPS: usize = 4;
const LOOP_ENTRIES: usize = 262_144;

/// Where a link led that a name leads through: the last one on its way.
#[derive(Debug)]
pub(in crate::origin) struct Landing {
    /// What the link is called.
    pub(in crate::origin) name: Vec<u8>,
    /// Where it leads, with no link on the way.
    pub(in crate::origin) real: PathBuf,
}

/// A link to a directory.
#[derive(Clone, Copy, Debug)]
pub(in crate::origin) struct Lead<'p> {
    /// What it is called.
    pub(in crate::origin) name: &'p [u8],
    /// Where it is, with no link on the way.
    pub(in crate::origin) at: &'p Path,
    /// The last link before it.
    pub(in crate::origin) above: Option<&'p Landing>,
}

/// The first name that is not followed, and how many directories have such names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::origin) struct Cut {
    pub(in crate::origin) first: Vec<u8>,
    pub(in crate::origin) leads_to: PathBuf,
    pub(in crate::origin) directories: u64,
}

/// The names with links on their way that are followed, and have to be decided about.
#[derive(Debug, Default)]
pub(in crate::origin) struct Bound {
    /// What each of them leads to. Those with one link are here where there are links below, or where
    /// they lead to a directory that they lie in.
    names: BTreeMap<Vec<u8>, Arc<Path>>,
    /// Where the links are. As bytes: paths are compared part by part, which takes ten times as long.
    links: BTreeSet<Vec<u8>>,
    /// There are more links than are counted: no name with two of them is followed.
    full: bool,
    pub(in crate::origin) cut: Option<Cut>,
}

/// What is said of a link.
enum Said {
    Follow,
    Leave,
    /// It was not there, or led elsewhere.
    Unknown,
}

impl Bound {
    fn find(resolver: &Resolver, ignore: &Ignore, go_on: &dyn Fn() -> bool) -> Self {
        let census = Census::take(resolver, ignore, go_on);
        let Some((link, target)) = census.links.first_key_value() else {
            return Self::default();
        };
        if census.complete {
            let mut web = Web::new(resolver, ignore, &census);
            web.spread(LOOPS + LOOP_ENTRIES / census.entries.max(1));
            let (names, cut) = (web.followed(), web.cut);
            let links = census.links.into_keys();
            let links = links.map(|at| at.into_os_string().into_vec()).collect();
            return Self {
                names,
                links,
                full: false,
                cut,
            };
        }
        let first = logical(b"", &resolver.resolved, link);
        Self {
            full: true,
            cut: Some(Cut {
                first,
                leads_to: target.clone(),
                directories: census.links.len() as u64,
            }),
            ..Self::default()
        }
    }

    fn say(&self, lead: &Lead<'_>) -> Said {
        if self.names.contains_key(lead.name) {
            return Said::Follow;
        }
        let same = |landing: &Landing| {
            let known = self.names.get(&landing.name);
            known.is_some_and(|real| **real == *landing.real)
        };
        if self.full || (self.counts(lead.at) && lead.above.is_none_or(same)) {
            Said::Leave
        } else {
            Said::Unknown
        }
    }

    /// Whether this is the place of a link that was counted.
    pub(in crate::origin) fn counts(&self, at: &Path) -> bool {
        self.links.contains(at.as_os_str().as_bytes())
    }
}

/// What a thread reports to in the middle of something long.
pub(in crate::origin) trait Heartbeat: std::fmt::Debug + Send + Sync {
    /// The thread still works. `false` when the process is stopping.
    fn go_on(&self) -> bool;
}

/// The bound as the walks of an origin have it: found when the first of them needs it, and anew with
/// each scan.
#[derive(Debug)]
pub(in crate::origin) struct Links {
    ignore: Arc<Ignore>,
    heartbeat: Option<Arc<dyn Heartbeat>>,
    bound: OnceLock<Bound>,
    /// A link was met that is newer than the bound.
    news: AtomicBool,
    /// The last directory that was asked for, and whether a link on its way is not followed.
    end: Mutex<Option<(Vec<u8>, bool)>>,
}

impl Links {
    /// `heartbeat`: of the worker, which takes the census on its thread.
    pub(in crate::origin) fn new(
        ignore: Arc<Ignore>,
        heartbeat: Option<Arc<dyn Heartbeat>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            ignore,
            heartbeat,
            bound: OnceLock::new(),
            news: AtomicBool::new(false),
            end: Mutex::default(),
        })
    }

    /// The same, with nothing found yet.
    pub(in crate::origin) fn anew(&self) -> Arc<Self> {
        Self::new(Arc::clone(&self.ignore), self.heartbeat.clone())
    }

    /// The bound, where it was needed so far.
    pub(in crate::origin) fn bound(&self) -> Option<&Bound> {
        self.bound.get()
    }

    /// Whether a link that needs a decision is followed. One that the bound does not know is not: a
    /// scan has to find a new bound first.
    pub(in crate::origin) fn follows(&self, resolver: &Resolver, lead: &Lead<'_>) -> bool {
        let go_on = || self.heartbeat.as_ref().is_none_or(|beat| beat.go_on());
        let find = || Bound::find(resolver, &self.ignore, &go_on);
        match self.bound.get_or_init(find).say(lead) {
            Said::Follow => true,
            Said::Leave => false,
            Said::Unknown => {
                self.news.store(true, Ordering::SeqCst);
                false
            }
        }
    }

    /// Whether it is certain, without a look at the link, that it is not followed.
    pub(in crate::origin) fn leaves(&self, lead: &Lead<'_>) -> bool {
        let bound = self.bound.get();
        bound.is_some_and(|bound| !bound.full && matches!(bound.say(lead), Said::Leave))
    }

    /// Whether a link on the way to a directory is not followed, as `ends` finds out: most paths lie in the
    /// directory of the one before.
    pub(in crate::origin) fn remember_end(
        &self,
        directory: &[u8],
        ends: impl Fn(&[u8]) -> bool,
    ) -> bool {
        // A panic stops the process; until then nothing here is half done.
        let mut last = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((known, end)) if known == directory => *end,
            _ => {
                let end = ends(directory);
                *last = Some((directory.to_vec(), end));
                end
            }
        }
    }

    /// Whether a link was met that the bound does not know; asked once.
    pub(in crate::origin) fn take_news(&self) -> bool {
        self.news.swap(false, Ordering::SeqCst)
    }
}

/// The links on the way of a name.
#[derive(Debug, Default)]
pub(in crate::origin) struct Way {
    /// The last of them that leads to a directory.
    pub(in crate::origin) landing: Option<Arc<Landing>>,
    /// The first that is not followed: nothing behind it counts.
    pub(in crate::origin) ends: Option<Vec<u8>>,
    /// The directories above the name, from the root down: what they are, and whether others may
    /// enter each.
    pub(in crate::origin) above: Vec<(u64, u64)>,
    pub(in crate::origin) open: bool,
}

impl Way {
    /// The way to a name, and through it where it is a link itself.
    pub(in crate::origin) fn to(resolver: &Resolver, path: &[u8]) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let mut way = Self {
            open: true,
            ..Self::default()
        };
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends = ends.map(|(end, _)| end).chain([path.len()]);
        for end in (!path.is_empty()).then_some(0).into_iter().chain(ends) {
            let name = &path[..end];
            let at = resolver.real(name);
            let Ok(found) = std::fs::metadata(&at) else {
                continue;
            };
            let id = (found.dev(), found.ino());
            if end > 0 && found.is_dir() && at.is_symlink() {
                way.land(resolver, name, &at, id);
            }
            if end < path.len() {
                way.above.push(id);
                way.open &= resolver.lets_in(found.mode(), found.gid());
            }
        }
        way
    }

    fn land(&mut self, resolver: &Resolver, name: &[u8], at: &Path, id: (u64, u64)) {
        let Ok(real) = std::fs::canonicalize(at) else {
            return;
        };
        let (leads_back, nested) = (self.above.contains(&id), self.landing.is_some());
        if self.ends.is_none() && (leads_back || nested) {
            let directory = at.parent().map(std::fs::canonicalize);
            let file = at.file_name().unwrap_or_default();
            let at = directory
                .and_then(Result::ok)
                .unwrap_or_default()
                .join(file);
            let lead = Lead {
                name,
                at: &at,
                above: self.landing.as_deref(),
            };
            if (leads_back && nested) || !resolver.links.follows(resolver, &lead) {
                self.ends = Some(name.to_vec());
            }
        }
        self.landing = Some(Arc::new(Landing {
            name: name.to_vec(),
            real,
        }));
    }
}

/// Which link on the way to a path below a root is not followed, so that nothing is noticed there under
/// this name. Counts the links of the whole origin, where more than one is on the way.
///
/// # Errors
/// When a pattern is no gitignore syntax.
pub fn not_followed(
    root: &Path,
    follow: FollowSymlinks,
    patterns: &[String],
    path: &[u8],
) -> Result<Option<Vec<u8>>, PatternError> {
    let resolver = Resolver {
        root: root.to_owned(),
        resolved: std::fs::canonicalize(root).unwrap_or_else(|_| root.to_owned()),
        compare: Compare::Metadata,
        follow,
        group: None,
        links: Links::new(Arc::new(Ignore::new(patterns)?), None),
    };
    Ok(Way::to(&resolver, path).ends)
}

/// A directory that links lead to.
struct Target<'c> {
    real: &'c Path,
    /// The links at and below it.
    below: Range<usize>,
    /// Names with more than one link that it may have, and has.
    limit: usize,
    names: usize,
    /// It has more.
    cut: bool,
}

/// A name that ends in a link which is followed.
struct Name {
    path: Vec<u8>,
    /// That of the last link before it.
    above: Option<usize>,
    link: usize,
}

/// The links of an origin, while their names are spread out.
struct Web<'c> {
    root: &'c Path,
    ignore: &'c Ignore,
    /// In the order of their places: what is below a directory comes together.
    links: Vec<(&'c Path, usize)>,
    /// Those at and below the root.
    own: Range<usize>,
    targets: Vec<Target<'c>>,
    names: Vec<Name>,
    cut: Option<Cut>,
}

impl<'c> Web<'c> {
    fn new(resolver: &'c Resolver, ignore: &'c Ignore, census: &'c Census<'_>) -> Self {
        let places: Vec<&Path> = census.links.keys().map(PathBuf::as_path).collect();
        let mut counts: BTreeMap<&Path, usize> = BTreeMap::new();
        for target in census.links.values() {
            *counts.entry(target).or_default() += 1;
        }
        let numbers: BTreeMap<&Path, usize> = counts.keys().copied().zip(0..).collect();
        let targets = counts.iter().map(|(real, count)| Target {
            real,
            below: below(&places, real),
            limit: NAMES.max(count * PER_LINK),
            names: 0,
            cut: false,
        });
        let links = census.links.iter();
        let mut web = Self {
            root: &resolver.resolved,
            ignore,
            own: below(&places, &resolver.resolved),
            links: links
                .map(|(at, target)| (at.as_path(), numbers[target.as_path()]))
                .collect(),
            targets: targets.collect(),
            names: Vec::new(),
            cut: None,
        };
        web.pass_limits_on();
        web
    }

    /// What many links lead to may have as many names behind it.
    fn pass_limits_on(&mut self) {
        for _ in 0..LEVELS {
            let mut changed = false;
            for above in 0..self.targets.len() {
                let limit = self.targets[above].limit;
                for (_, target) in &self.links[self.targets[above].below.clone()] {
                    let below = &mut self.targets[*target].limit;
                    changed |= *below < limit;
                    *below = limit.max(*below);
                }
            }
            if !changed {
                return;
            }
        }
    }

    /// Finds the names, those with fewer links first. `loops`: links to a directory that they lie in
    /// that are followed.
    fn spread(&mut self, loops: usize) {
        let mut left = loops;
        for link in self.own.clone() {
            let (at, target) = self.links[link];
            let name = logical(b"", self.root, at);
            let leads_back = lies_in(at, self.targets[target].real, self.root);
            if self.is_ignored(&name) || (!leads_back && self.targets[target].below.is_empty()) {
                continue;
            }
            if leads_back && left == 0 {
                self.leave(target, name);
                continue;
            }
            left -= usize::from(leads_back);
            self.names.push(Name {
                path: name,
                above: None,
                link,
            });
        }
        let (mut level, mut all) = (0..self.names.len(), 0);
        for _ in 1..LEVELS {
            let next = self.names.len();
            for above in level {
                self.spread_below(above, &mut all);
            }
            level = next..self.names.len();
        }
    }

    fn spread_below(&mut self, above: usize, all: &mut usize) {
        let landing = self.links[self.names[above].link].1;
        let (top, below) = (
            self.targets[landing].real,
            self.targets[landing].below.clone(),
        );
        for link in below {
            let (at, target) = self.links[link];
            let full = self.targets[target].names >= self.targets[target].limit;
            let full = full || *all >= ALL_NAMES;
            if full && self.targets[target].cut {
                continue;
            }
            let name = logical(&self.names[above].path, top, at);
            if self.is_ignored(&name) || self.leads_back(above, link) {
                continue;
            }
            if full {
                self.leave(target, name);
                continue;
            }
            self.targets[target].names += 1;
            *all += 1;
            self.names.push(Name {
                path: name,
                above: Some(above),
                link,
            });
        }
    }

    fn leave(&mut self, target: usize, name: Vec<u8>) {
        let target = &mut self.targets[target];
        let new = !std::mem::replace(&mut target.cut, true);
        let cut = self.cut.get_or_insert_with(|| Cut {
            first: name,
            leads_to: target.real.to_owned(),
            directories: 0,
        });
        cut.directories += u64::from(new);
    }

    fn is_ignored(&self, name: &[u8]) -> bool {
        self.ignore.matches(name, true) || self.ignore.matches(name, false)
    }

    /// Whether a link behind a name leads to a directory that is on its way already.
    fn leads_back(&self, above: usize, link: usize) -> bool {
        let target = self.targets[self.links[link].1].real;
        let (mut at, mut name) = (self.links[link].0, Some(above));
        loop {
            let from = name.map(|name| &self.names[name]);
            let top = from.map_or(self.root, |from| self.targets[self.links[from.link].1].real);
            if lies_in(at, target, top) {
                return true;
            }
            let Some(from) = from else { return false };
            (at, name) = (self.links[from.link].0, from.above);
        }
    }

    fn followed(&self) -> BTreeMap<Vec<u8>, Arc<Path>> {
        let real: Vec<Arc<Path>> = self.targets.iter().map(|t| t.real.into()).collect();
        let names = self.names.iter();
        names
            .map(|name| {
                (
                    name.path.clone(),
                    Arc::clone(&real[self.links[name.link].1]),
                )
            })
            .collect()
    }
}

/// Whether a link lies in the directory `target`, and that at or below `top`, from where its way goes.
fn lies_in(link: &Path, target: &Path, top: &Path) -> bool {
    target.starts_with(top) && link.starts_with(target)
}

/// Which of these places, which are in order, are at or below a directory.
fn below(places: &[&Path], directory: &Path) -> Range<usize> {
    let first = places.partition_point(|place| *place < directory);
    let many = places[first..].partition_point(|place| place.starts_with(directory));
    first..first + many
}

#[cfg(test)]
mod tests;
