//! The bytes of bodies that are kept at once, over all connections. The beginning of a body costs
//! nothing of the budget, so that strangers with large bodies keep no usual delivery from being read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};

/// Bytes that are left to be kept. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    left: Arc<AtomicUsize>,
    free: usize,
}

impl Budget {
    /// A budget of `bytes`, besides the first `free` of each body.
    pub(super) fn new(bytes: usize, free: usize) -> Self {
        Self {
            left: Arc::new(AtomicUsize::new(bytes)),
            free,
        }
    }

    /// An empty body of this budget.
    pub(super) fn body(&self) -> Kept {
        Kept {
            bytes: Some(Bytes::new()),
            taken: 0,
            budget: self.clone(),
        }
    }

    /// A body of which nothing is kept.
    pub(super) fn nothing(&self) -> Kept {
        Kept {
            bytes: None,
            taken: 0,
            budget: self.clone(),
        }
    }

    fn take(&self, bytes: usize) -> bool {
        self.left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                left.checked_sub(bytes)
            })
            .is_ok()
    }
}

/// A body that is kept as long as the budget lasts. What it holds returns to the budget at its end.
#[derive(Debug)]
pub(super) struct Kept {
    bytes: Option<Bytes>,
    /// What it has of the budget.
    taken: usize,
    budget: Budget,
}

impl Kept {
    /// Keeps more, or lets go of everything where the budget does not allow it. A body that comes in
    /// one piece is not copied.
    pub(super) fn push(&mut self, chunk: Bytes) {
        let Some(bytes) = &mut self.bytes else { return };
        let length = bytes.len().saturating_add(chunk.len());
        let more = length
            .saturating_sub(self.budget.free)
            .saturating_sub(self.taken);
        if !self.budget.take(more) {
            self.clear();
            return;
        }
        self.taken += more;
        if bytes.is_empty() {
            *bytes = chunk;
            return;
        }
        // Nobody else has what was put together here: only the first time is anything copied.
        let mut whole = BytesMut::from(std::mem::take(bytes));
        whole.extend_from_slice(&chunk);
        *bytes = whole.freeze();
    }

    /// The body; `None` when it was too much.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.bytes.as_deref()
    }

    fn clear(&mut self) {
        self.bytes = None;
        let taken = std::mem::take(&mut self.taken);
        self.budget.left.fetch_add(taken, Ordering::AcqRel);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_let_go_and_room_comes_back() {
        let budget = Budget::new(10, 0);
        let mut first = budget.body();
        first.push(Bytes::from_static(b"123456"));
        let mut second = budget.body();
        second.push(Bytes::from_static(b"1234"));
        assert_eq!(second.bytes(), Some(&b"1234"[..]));
        second.push(Bytes::from_static(b"5"));
        assert_eq!(second.bytes(), None);
        first.push(Bytes::from_static(b"7890"));
        assert_eq!(first.bytes(), Some(&b"1234567890"[..]));
        second.push(Bytes::from_static(b""));
        assert_eq!(second.bytes(), None, "what was let go does not come back");
        drop((first, second));
        let mut third = budget.body();
        third.push(Bytes::from_static(b"1234567890"));
        assert!(third.bytes().is_some());
    }

    #[test]
    fn a_small_body_is_kept_when_large_ones_have_everything() {
        let budget = Budget::new(10, 4);
        let mut large = budget.body();
        for _ in 0..7 {
            large.push(Bytes::from_static(b"12"));
        }
        assert!(large.bytes().is_some());
        let mut small = budget.body();
        small.push(Bytes::from_static(b"1234"));
        assert_eq!(small.bytes(), Some(&b"1234"[..]));
        small.push(Bytes::from_static(b"5"));
        assert_eq!(small.bytes(), None);
        drop(large);
        let mut next = budget.body();
        next.push(Bytes::from_static(&[0; 14]));
        assert!(next.bytes().is_some(), "what was free was not given back");
        let mut over = budget.body();
        over.push(Bytes::from_static(&[0; 5]));
        assert!(over.bytes().is_none());
    }
}
