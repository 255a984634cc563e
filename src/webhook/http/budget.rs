//! The bytes of bodies that are kept at once, over all connections. The beginning of a body costs
//! nothing of the budget, so that strangers with large bodies keep no usual delivery from being read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// Bytes of a piece of a large body. All are equal, so that what one body leaves fits the next: one
/// piece that grows would take twice its size, and leave holes.
const BLOCK: usize = 16 << 10;

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
            body: Some(Body::Piece(Bytes::new())),
            length: 0,
            taken: 0,
            budget: self.clone(),
        }
    }

    /// A body of which nothing is kept.
    pub(super) fn nothing(&self) -> Kept {
        Kept {
            body: None,
            length: 0,
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

/// What is kept of a body.
#[derive(Debug)]
enum Body {
    /// It came in one piece so far, which is not copied.
    Piece(Bytes),
    /// Blocks, of which all but the last are full.
    Blocks(Vec<Vec<u8>>),
}

/// A body that is kept as long as the budget lasts. What it holds returns to the budget at its end.
#[derive(Debug)]
pub(super) struct Kept {
    body: Option<Body>,
    length: usize,
    /// What it has of the budget.
    taken: usize,
    budget: Budget,
}

impl Kept {
    /// Keeps more, or lets go of everything where the budget does not allow it.
    pub(super) fn push(&mut self, chunk: Bytes) {
        let Some(body) = &mut self.body else { return };
        let length = self.length.saturating_add(chunk.len());
        let more = length
            .saturating_sub(self.budget.free)
            .saturating_sub(self.taken);
        if !self.budget.take(more) {
            self.clear();
            return;
        }
        self.taken += more;
        self.length = length;
        match body {
            Body::Piece(piece) if piece.is_empty() => *piece = chunk,
            Body::Piece(piece) => {
                let mut blocks = Vec::new();
                append(&mut blocks, piece);
                append(&mut blocks, &chunk);
                *body = Body::Blocks(blocks);
            }
            Body::Blocks(blocks) => append(blocks, &chunk),
        }
    }

    /// The bytes of the body; `None` when it was too much.
    pub(super) fn length(&self) -> Option<usize> {
        self.body.as_ref().map(|_| self.length)
    }

    /// The body in one piece; `None` when it was too much.
    pub(super) fn whole(&mut self) -> Option<&[u8]> {
        match self.body.as_mut()? {
            Body::Piece(piece) => Some(piece),
            Body::Blocks(blocks) => {
                if blocks.len() > 1 {
                    let mut whole = Vec::with_capacity(self.length);
                    for block in blocks.drain(..) {
                        whole.extend_from_slice(&block);
                    }
                    blocks.push(whole);
                }
                blocks.first().map(Vec::as_slice)
            }
        }
    }

    fn clear(&mut self) {
        self.body = None;
        let taken = std::mem::take(&mut self.taken);
        self.budget.left.fetch_add(taken, Ordering::AcqRel);
    }
}

fn append(blocks: &mut Vec<Vec<u8>>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match blocks.last_mut() {
            Some(last) if last.len() < BLOCK => {
                let (now, later) = bytes.split_at(bytes.len().min(BLOCK - last.len()));
                last.extend_from_slice(now);
                bytes = later;
            }
            _ => blocks.push(Vec::with_capacity(BLOCK)),
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
        let budget = Budget::new(10, 0);
        let mut first = budget.body();
        first.push(Bytes::from_static(b"123456"));
        let mut second = budget.body();
        second.push(Bytes::from_static(b"1234"));
        assert_eq!(second.whole(), Some(&b"1234"[..]));
        second.push(Bytes::from_static(b"5"));
        assert_eq!(second.whole(), None);
        first.push(Bytes::from_static(b"7890"));
        assert_eq!(first.whole(), Some(&b"1234567890"[..]));
        second.push(Bytes::from_static(b""));
        assert_eq!(second.whole(), None, "what was let go does not come back");
        drop((first, second));
        let mut third = budget.body();
        third.push(Bytes::from_static(b"1234567890"));
        assert!(third.whole().is_some());
    }

    #[test]
    fn a_body_in_many_pieces_is_put_together() {
        let budget = Budget::new(1 << 20, 0);
        for lengths in [
            vec![5],
            vec![BLOCK],
            vec![1, BLOCK],
            vec![7; 10_000],
            vec![3 * BLOCK + 1, 0, 2],
        ] {
            let mut body = budget.body();
            let mut wanted = Vec::new();
            for (number, length) in lengths.into_iter().enumerate() {
                let piece = vec![b'a' + u8::try_from(number % 26).unwrap(); length];
                wanted.extend_from_slice(&piece);
                body.push(piece.into());
            }
            assert_eq!(body.length(), Some(wanted.len()));
            assert_eq!(body.whole(), Some(&*wanted));
            assert_eq!(body.whole(), Some(&*wanted), "once more");
        }
    }

    #[test]
    fn a_small_body_is_kept_when_large_ones_have_everything() {
        let budget = Budget::new(10, 4);
        let mut large = budget.body();
        for _ in 0..7 {
            large.push(Bytes::from_static(b"12"));
        }
        assert!(large.whole().is_some());
        let mut small = budget.body();
        small.push(Bytes::from_static(b"1234"));
        assert_eq!(small.whole(), Some(&b"1234"[..]));
        small.push(Bytes::from_static(b"5"));
        assert_eq!(small.whole(), None);
        drop(large);
        let mut next = budget.body();
        next.push(Bytes::from_static(&[0; 14]));
        assert!(next.whole().is_some(), "what was free was not given back");
        let mut over = budget.body();
        over.push(Bytes::from_static(&[0; 5]));
        assert!(over.whole().is_none());
    }
}
