//! The bytes of bodies that are kept at once, over all connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are left to be kept. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<AtomicUsize>);

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// An empty body of this budget.
    pub(super) fn body(&self) -> Kept {
        Kept {
            bytes: Some(Vec::new()),
            budget: self.clone(),
        }
    }

    fn take(&self, bytes: usize) -> bool {
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                left.checked_sub(bytes)
            })
            .is_ok()
    }
}

/// A body that is kept as long as the budget lasts. What it holds returns to the budget at its end.
#[derive(Debug)]
pub(super) struct Kept {
    bytes: Option<Vec<u8>>,
    budget: Budget,
}

impl Kept {
    /// Keeps more, or lets go of everything where the budget does not allow it.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        let Some(bytes) = &mut self.bytes else { return };
        if self.budget.take(chunk.len()) {
            bytes.extend_from_slice(chunk);
        } else {
            self.clear();
        }
    }

    /// The body; `None` when it was too much.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.bytes.as_deref()
    }

    fn clear(&mut self) {
        if let Some(bytes) = self.bytes.take() {
            self.budget.0.fetch_add(bytes.len(), Ordering::AcqRel);
        }
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
        let budget = Budget::new(10);
        let mut first = budget.body();
        first.push(b"123456");
        let mut second = budget.body();
        second.push(b"1234");
        assert_eq!(second.bytes(), Some(&b"1234"[..]));
        second.push(b"5");
        assert_eq!(second.bytes(), None);
        first.push(b"7890");
        assert_eq!(first.bytes(), Some(&b"1234567890"[..]));
        second.push(b"");
        assert_eq!(second.bytes(), None, "what was let go does not come back");
        drop((first, second));
        let mut third = budget.body();
        third.push(b"1234567890");
        assert!(third.bytes().is_some());
    }
}
