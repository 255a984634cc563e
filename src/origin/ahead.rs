//! A walk on a thread of its own, ahead of whoever compares: listing and stat are half of the work
//! of a scan, reading the index is the other half.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::walk::{Item, Walk};

/// Items handed over at once.
const CHUNK: usize = 512;
/// Chunks that wait at most.
const WAITING: usize = 8;

/// A walk, here or ahead.
#[derive(Debug)]
pub(super) enum Tour {
    /// For a few directories.
    Here(Walk),
    /// For a whole origin.
    Ahead(Ahead),
}

impl Tour {
    /// What comes next; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Item> {
        match self {
            Self::Here(walk) => walk.next(),
            Self::Ahead(ahead) => ahead.next(),
        }
    }
}

/// A walk that is ahead.
#[derive(Debug)]
pub(super) struct Ahead {
    chunks: Receiver<Vec<Item>>,
    current: std::vec::IntoIter<Item>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Starts a walk.
    pub(super) fn new(walk: Walk) -> std::io::Result<Self> {
        let (sender, chunks) = sync_channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("walk".to_owned())
            .spawn(move || run(walk, &sender))?;
        Ok(Self {
            chunks,
            current: Vec::new().into_iter(),
            thread: Some(thread),
        })
    }

    fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.current.next() {
                return Some(item);
            }
            let Ok(chunk) = self.chunks.recv() else {
                if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
                    std::panic::resume_unwind(panic);
                }
                return None;
            };
            self.current = chunk.into_iter();
        }
    }
}

fn run(mut walk: Walk, chunks: &SyncSender<Vec<Item>>) {
    let mut chunk = Vec::with_capacity(CHUNK);
    while let Some(item) = walk.next() {
        chunk.push(item);
        if chunk.len() == CHUNK {
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
            // Nobody listens any more: the scan was given up.
            if chunks.send(full).is_err() {
                return;
            }
        }
    }
    chunks.send(chunk).unwrap_or_default();
}
