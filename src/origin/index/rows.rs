//! The rows of a subtree, read in pages.

use std::collections::VecDeque;

use super::{Brief, IndexError, OriginIndex};

/// Rows read at once.
const PAGE: usize = 512;

/// The rows of a subtree, in order, read ahead: another call may have written since. So a row
/// that matters is read again.
#[derive(Debug)]
pub(in crate::origin) struct Rows {
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
    pub(in crate::origin) fn below(index: OriginIndex, start: &[u8]) -> Self {
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
    pub(in crate::origin) fn next_before(
        &mut self,
        path: Option<&[u8]>,
    ) -> Result<Option<Brief>, IndexError> {
        let before = self
            .peek()?
            .is_some_and(|row| path.is_none_or(|path| row.path.as_slice() < path));
        Ok(if before { self.page.pop_front() } else { None })
    }

    /// The next row, if it is of this path.
    pub(in crate::origin) fn take(&mut self, path: &[u8]) -> Result<Option<Brief>, IndexError> {
        let this = self.peek()?.is_some_and(|row| row.path == path);
        Ok(if this { self.page.pop_front() } else { None })
    }

    /// Leaves out the rest.
    pub(in crate::origin) fn skip_all(&mut self) {
        self.page.clear();
        self.done = true;
    }
}
