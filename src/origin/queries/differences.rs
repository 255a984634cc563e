//! What differs between an origin and its index now: a look at everything that remembers nothing,
//! queues nothing, and works with or without a running daemon.

use std::path::Path;
use std::sync::Arc;

use crate::clock::Clock;
use crate::core::change::Kind;
use crate::origin::error::OriginError;
use crate::origin::index::known::Signs;
use crate::origin::index::look::{Outcome, Patience, read_as};
use crate::origin::index::rows::Rows;
use crate::origin::index::{Index, OriginIndex};
use crate::origin::settings::OriginSettings;
use crate::origin::tree::fingerprint::{Stat, content};
use crate::origin::tree::guard::Root;
use crate::origin::tree::ignore::Ignore;
use crate::origin::tree::links_bound::Links;
use crate::origin::tree::paths::join;
use crate::origin::tree::resolver::Resolver;
use crate::origin::tree::walk::{Item, Walk, open_above};

/// A file that is not as remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// New, changed or gone.
    pub kind: Kind,
    /// Its path below the origin's root.
    pub path: Vec<u8>,
}

/// Compares an origin with its index in a state directory, and tells each difference in the order
/// of the paths. Returns how many files there are.
///
/// # Errors
/// When there is no complete index yet, it can't be read, or the root can't be; and what `tell`
/// fails with.
pub fn differences<E: From<OriginError>>(
    settings: &OriginSettings,
    state_dir: &Path,
    clock: Clock,
    mut tell: impl FnMut(Difference) -> Result<(), E>,
) -> Result<u64, E> {
    let ignore = Arc::new(Ignore::new(&settings.ignore).map_err(OriginError::from)?);
    let index = Index::read_of(state_dir, &settings.pipeline, &settings.name)
        .map_err(OriginError::from)?
        .ok_or_else(|| OriginError::NotIndexed(settings.root.clone()))?;
    let root = Root::find(&settings.root).map_err(|error| OriginError::Root {
        root: settings.root.clone(),
        error,
    })?;
    let resolver = Arc::new(Resolver {
        root: settings.root.clone(),
        resolved: root.resolved,
        compare: settings.compare,
        follow: settings.follow_symlinks,
        group: settings.web_group,
        links: Links::new(Arc::clone(&ignore), None),
    });
    let mut comparison = Comparison {
        rows: Rows::below(index.clone(), b""),
        index,
        resolver: Arc::clone(&resolver),
        ignore: Arc::clone(&ignore),
        clock,
    };
    let mut walk = Walk::new(resolver, ignore, None, b"");
    let mut files = 0;
    while let Some(item) = walk.next() {
        match item {
            Item::File { path, stat, open } => {
                files += 1;
                comparison.absent_before(Some(&path), &mut tell)?;
                if let Some(kind) = comparison.kind(&path, stat.as_ref(), open)? {
                    tell(Difference { kind, path })?;
                }
            }
            Item::Unreadable { path } => {
                comparison.absent_before(Some(&join(&path, b"/")), &mut tell)?;
                comparison.closed(&path, &mut tell)?;
            }
            Item::Directory { .. } => {}
        }
    }
    comparison.absent_before(None, &mut tell)?;
    Ok(files)
}

struct Comparison {
    rows: Rows,
    index: OriginIndex,
    resolver: Arc<Resolver>,
    ignore: Arc<Ignore>,
    clock: Clock,
}

impl Comparison {
    fn kind(
        &mut self,
        path: &[u8],
        stat: Option<&Stat>,
        open: bool,
    ) -> Result<Option<Kind>, OriginError> {
        if let (Some(row), Some(stat)) = (self.rows.take(path)?, stat)
            && row.is_unchanged(stat, self.resolver.readable(stat, open))
        {
            return Ok(None);
        }
        let row = self.index.get(path)?;
        let entry = row.as_ref().map(|row| &row.entry);
        let look = self
            .resolver
            .look(path, entry, open, Patience::Over, self.clock.now());
        Ok(match look {
            Outcome::Found(found) => found.kind,
            Outcome::Large(seen) => {
                let whole = &mut |_: &_, _| Ok(true);
                let content = content(&self.resolver.real(path), &seen.stat, whole);
                let (over, now) = (Patience::Over, self.clock.now());
                match read_as(content, entry, seen, over, Signs::default(), now) {
                    Outcome::Found(found) => found.kind,
                    _ => None,
                }
            }
            Outcome::Absent => row.map(|_| Kind::Gone),
            // It is being replaced at this moment.
            Outcome::Later(_) => Some(if row.is_some() {
                Kind::Changed
            } else {
                Kind::New
            }),
            Outcome::Same | Outcome::Directory | Outcome::Unknown(_) | Outcome::Recheck(_) => None,
        })
    }

    fn absent_before<E: From<OriginError>>(
        &mut self,
        path: Option<&[u8]>,
        tell: &mut impl FnMut(Difference) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(row) = self.rows.next_before(path).map_err(OriginError::from)? {
            // Where a stat fails, it is not known.
            if self.resolver.see(&row.path).is_ok()
                && !self.ignore.matches(&row.path, false)
                && !self.resolver.is_cut_off(&row.path)
            {
                tell(Difference {
                    kind: Kind::Gone,
                    path: row.path,
                })?;
            }
        }
        Ok(())
    }

    /// A directory that can't be listed: what is known of is looked at one by one.
    fn closed<E: From<OriginError>>(
        &mut self,
        directory: &[u8],
        tell: &mut impl FnMut(Difference) -> Result<(), E>,
    ) -> Result<(), E> {
        let end = (!directory.is_empty()).then(|| [directory, b"0"].concat());
        while let Some(row) = self
            .rows
            .next_before(end.as_deref())
            .map_err(OriginError::from)?
        {
            let path = row.path;
            let open = open_above(&self.resolver, &path);
            if let Some(kind) = self.kind(&path, None, open)? {
                tell(Difference { kind, path })?;
            }
        }
        Ok(())
    }
}
