//! Under which names files are reached: how names are resolved now, and which links are not followed.
//! A scan finds the bound of links anew; what is not followed is an alarm.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::context::Context;
use crate::origin::tree::links_bound::Cut;
use crate::origin::tree::resolver::Resolver;

/// The names of an origin.
#[derive(Debug)]
pub(super) struct Names {
    resolver: Arc<Resolver>,
    /// What the last bound that was found leaves out.
    cut: Option<Cut>,
}

impl Names {
    pub(super) fn new(resolver: Resolver) -> Self {
        Self {
            resolver: Arc::new(resolver),
            cut: None,
        }
    }

    pub(super) const fn resolver(&self) -> &Arc<Resolver> {
        &self.resolver
    }

    /// A scan begins: which names are followed is found anew.
    pub(super) fn forget_bound(&mut self) {
        self.set_resolved(self.resolver.resolved.clone());
    }

    /// The root is another directory now.
    pub(super) fn set_resolved(&mut self, resolved: PathBuf) {
        self.resolver = Arc::new(Resolver {
            resolved,
            links: self.resolver.links.anew(),
            ..Resolver::clone(&self.resolver)
        });
    }

    /// Whether a link was met that the bound does not know: what is behind it waits for a scan.
    pub(super) fn met_new_link(&self) -> bool {
        self.resolver.links.take_news()
    }

    /// Whether the bound may be another when this name came or went: with fewer links, there may be
    /// room for names that are not followed.
    pub(super) fn depend_on(&self, path: &[u8]) -> bool {
        let at = self.resolver.resolved.join(OsStr::from_bytes(path));
        let bound = self.resolver.links.bound();
        bound.is_some_and(|bound| bound.cut.is_some() && bound.counts(&at))
    }

    /// The same of a directory, with whatever links are in it.
    pub(super) fn depend_on_directories(&self) -> bool {
        let bound = self.resolver.links.bound();
        bound.is_some_and(|bound| bound.cut.is_some())
    }

    /// Directories with more names than are followed.
    pub(super) fn unfollowed(&self) -> u64 {
        self.cut.as_ref().map_or(0, |cut| cut.directories)
    }

    /// The alarm for names that are not followed; until a scan has found the bound, that of the last one.
    /// `scanning`: a scan walks, or waits.
    pub(super) fn alarm(&mut self, context: &Context, scanning: bool) -> Option<String> {
        match self.resolver.links.bound() {
            Some(bound) => self.cut.clone_from(&bound.cut),
            None if scanning => {}
            None => self.cut = None,
        }
        self.cut.as_ref().map(|cut| {
            format!(
                "links of origin `{}` lead to each other, so that {} directories have more names than are followed: `{}`, which leads to {}, is the first that is not. What changes there is purged under the names with the fewest links, and not under all others: put those that nobody fetches into `ignore`, such as the directory that the link lies in, or set `follow_symlinks` to \"no\" (\"root\", where the links lead out of the root)",
                context.settings.name,
                cut.directories,
                String::from_utf8_lossy(&cut.first).escape_debug(),
                cut.leads_to.display(),
            )
        })
    }
}
