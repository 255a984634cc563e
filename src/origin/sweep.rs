//! A look at a whole subtree: everything on disk merged with everything the index has, both in the
//! order of their paths, neither ever whole in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use super::ahead::{Ahead, Tour};
use super::cover::Cover;
use super::doubt::Doubt;
use super::hints::Cause;
use super::ignore::Ignore;
use super::index::{Brief, IndexError, OriginIndex};
use super::look::Resolver;
use super::walk::Walk;
use crate::core::time::Time;

/// Rows read at once.
const PAGE: usize = 512;

/// The rows of a subtree, in order, read ahead: somebody else may have written since. So a row
/// that matters is read again.
#[derive(Debug)]
pub(super) struct Rows {
    index: OriginIndex,
    page: VecDeque<Brief>,
    /// Where the next page starts, and whether there itself.
    next: Vec<u8>,
    inclusive: bool,
    end: Option<Vec<u8>>,
    done: bool,
}

impl Rows {
    /// The rows below the directory `start`.
    pub(super) fn below(index: OriginIndex, start: &[u8]) -> Self {
        let (next, end) = if start.is_empty() {
            (Vec::new(), None)
        } else {
            // `0` is the byte after the slash.
            ([start, b"/"].concat(), Some([start, b"0"].concat()))
        };
        Self {
            index,
            page: VecDeque::new(),
            next,
            inclusive: true,
            end,
            done: false,
        }
    }

    fn peek(&mut self) -> Result<Option<&Brief>, IndexError> {
        if self.page.is_empty() && !self.done {
            let end = self.end.as_deref();
            let rows = self.index.briefs(&self.next, self.inclusive, end, PAGE)?;
            self.done = rows.len() < PAGE;
            if let Some(last) = rows.last() {
                self.next.clone_from(&last.path);
                self.inclusive = false;
            }
            self.page = rows.into();
        }
        Ok(self.page.front())
    }

    /// The next row, if its path is before `path`; with `None`, whatever it is.
    pub(super) fn next_before(&mut self, path: Option<&[u8]>) -> Result<Option<Brief>, IndexError> {
        let before = self
            .peek()?
            .is_some_and(|row| path.is_none_or(|path| row.path.as_slice() < path));
        Ok(if before { self.page.pop_front() } else { None })
    }

    /// The next row, if it is of this path.
    pub(super) fn take(&mut self, path: &[u8]) -> Result<Option<Brief>, IndexError> {
        let this = self.peek()?.is_some_and(|row| row.path == path);
        Ok(if this { self.page.pop_front() } else { None })
    }

    /// Leaves out the rest.
    pub(super) fn skip_all(&mut self) {
        self.page.clear();
        self.done = true;
    }
}

/// A look at a subtree, in the middle.
#[derive(Debug)]
pub(super) struct Sweep {
    pub(super) tour: Tour,
    pub(super) rows: Rows,
    pub(super) cause: Cause,
    /// Since when somebody wants this look.
    pub(super) first: Time,
    /// When the newest event came that brings the look.
    pub(super) told: Option<Time>,
    /// The watch was in place before this; with an index that was never complete, only what came
    /// later is a change.
    pub(super) baseline: Option<Time>,
    /// Files whose stat says nothing.
    pub(super) doubt: Doubt,
    pub(super) files: u64,
}

impl Sweep {
    /// `index` is that of the origin; a look at all of it walks ahead.
    pub(super) fn new(
        resolver: &Arc<Resolver>,
        ignore: &Arc<Ignore>,
        cover: Option<&Cover>,
        index: OriginIndex,
        start: &[u8],
        cause: Cause,
        first: Time,
    ) -> Self {
        let walk = || {
            Walk::new(
                Arc::clone(resolver),
                Arc::clone(ignore),
                cover.cloned(),
                start,
            )
        };
        let ahead = start.is_empty().then(|| Ahead::new(walk()));
        let tour = match ahead {
            Some(Ok(ahead)) => Tour::Ahead(ahead),
            // Without a thread it takes longer, and comes to the same.
            Some(Err(_)) | None => Tour::Here(walk()),
        };
        Self {
            tour,
            rows: Rows::below(index, start),
            cause,
            first,
            told: None,
            baseline: None,
            doubt: Doubt::default(),
            files: 0,
        }
    }

    /// Whether a file's stat says nothing. Where it is only known later, a link's file is doubted as
    /// what lies under its name.
    pub(super) fn doubts(&self, path: &[u8], device: Option<u64>) -> bool {
        !self.doubt.is_empty() && self.doubt.covers(path, device.unwrap_or_default())
    }
}
