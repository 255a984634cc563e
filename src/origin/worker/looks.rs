//! What looks at single files share: the bytes read in a turn, and the last directory that was asked
//! for.

use crate::origin::tree::resolver::Resolver;
use crate::origin::tree::walk::open_above;

/// Bytes read before everything else gets its turn.
const READ_AT_ONCE: u64 = 128 * 1024 * 1024;

/// The looks of a worker.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// Bytes read in this turn.
    read: u64,
    /// Counts looks at subtrees.
    subtrees: u64,
    /// The last directory asked for, and whether others may enter it and all above.
    above: Option<(Vec<u8>, bool)>,
}

impl Looks {
    pub(super) const fn begin_turn(&mut self) {
        self.read = 0;
    }

    /// A file of this size was read.
    pub(super) const fn count_read(&mut self, bytes: u64) {
        self.read += bytes;
    }

    /// Whether so much was read in this turn that everything else gets its turn.
    pub(super) const fn has_read_enough(&self) -> bool {
        self.read > READ_AT_ONCE
    }

    pub(super) const fn count_subtree(&mut self) {
        self.subtrees += 1;
    }

    /// How many subtrees were looked at: where that is another number, rows that were read before
    /// may be old.
    pub(super) const fn subtrees(&self) -> u64 {
        self.subtrees
    }

    /// Directories may have changed since the last question.
    pub(super) fn forget_above(&mut self) {
        self.above = None;
    }

    /// Whether others may enter every directory above a path. In a round, most paths lie in the
    /// directory of the one before.
    pub(super) fn open_above(&mut self, resolver: &Resolver, path: &[u8]) -> bool {
        let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let directory = &path[..end];
        if let Some((known, open)) = &self.above
            && known == directory
        {
            return *open;
        }
        let open = open_above(resolver, path);
        self.above = Some((directory.to_vec(), open));
        open
    }
}
