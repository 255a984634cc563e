//! Which files of an origin count, and whose right to read them, as the configuration says. It is part of
//! the index. When it changes, files that enter are remembered and files that leave are forgotten, and
//! neither is purged: no byte at the edge changed.

use serde::{Deserialize, Serialize};

use crate::origin::error::OriginError;
use crate::origin::index::OriginIndex;
use crate::origin::settings::{FollowSymlinks, OriginSettings};
use crate::origin::tree::ignore::Ignore;
use crate::origin::tree::resolver::{Resolver, Seen};

/// The part of the settings that says which files count.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scope {
    follow_symlinks: FollowSymlinks,
    ignore: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    web_group: Option<u32>,
}

impl Scope {
    pub(super) fn of(settings: &OriginSettings) -> Self {
        Self {
            follow_symlinks: settings.follow_symlinks,
            ignore: settings.ignore.clone(),
            web_group: settings.web_group,
        }
    }

    /// As it is kept in the index.
    pub(super) fn written(&self) -> String {
        // Words and lists can always be written; anything else would be no scope that is known,
        // and so another one.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What the index is complete for.
#[derive(Debug)]
pub(super) struct IndexScope {
    /// A scan has come to everything once.
    complete: bool,
    /// The scope that it is complete for, until a scan made it complete for today's.
    former: Option<Former>,
}

impl IndexScope {
    pub(super) fn new(index: &OriginIndex, settings: &OriginSettings) -> Result<Self, OriginError> {
        let (_, complete) = index.progress()?;
        let former = Former::new(index.scope()?.as_deref(), settings)?;
        Ok(Self { complete, former })
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) const fn former(&self) -> Option<&Former> {
        self.former.as_ref()
    }

    /// A scan has come to everything, in today's scope.
    pub(super) fn completed(&mut self) {
        self.complete = true;
        self.former = None;
    }
}

/// The scope that the index is complete for, where it is another than today's.
#[derive(Debug)]
pub(super) struct Former {
    ignore: Ignore,
    follow: FollowSymlinks,
    group: Option<u32>,
}

impl Former {
    /// `None` when it is today's, or not known.
    fn new(written: Option<&str>, settings: &OriginSettings) -> Result<Option<Self>, OriginError> {
        let Some(scope) = written.and_then(|text| serde_json::from_str::<Scope>(text).ok()) else {
            return Ok(None);
        };
        if scope == Scope::of(settings) {
            return Ok(None);
        }
        Ok(Some(Self {
            ignore: Ignore::new(&scope.ignore)?,
            follow: scope.follow_symlinks,
            group: scope.web_group,
        }))
    }

    /// Whether another group's right to read counted then.
    pub(super) fn regroups(&self, resolver: &Resolver) -> bool {
        self.group != resolver.group
    }

    /// Whether a file that is there now counted then.
    pub(super) fn counted(&self, resolver: &Resolver, path: &[u8]) -> bool {
        let resolver = Resolver {
            follow: self.follow,
            ..resolver.clone()
        };
        let there = matches!(resolver.see(path), Ok(Some(Seen::File(_))));
        there && !self.ignore.matches(path, false)
    }
}
