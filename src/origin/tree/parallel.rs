//! A walk on threads of its own, ahead of the comparison: listing and stat are most of the work of
//! a scan, reading the index is the rest. The directories right below the root are shared out among
//! the threads, and what is found comes in order all the same.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::walk::{Item, Step, Walk};

/// Items handed over at once.
const CHUNK: usize = 512;
/// Chunks of one directory that wait at most.
const WAITING: usize = 8;
/// Directories and chunks of the root that wait at most.
const PIECES: usize = 16;
/// Threads that share the directories. Two keep one core busy beside the comparison, and wait for
/// a slow disk together.
const THREADS: usize = 2;

/// A walk of either sort.
#[derive(Debug)]
pub(in crate::origin) enum AnyWalk {
    /// On the thread that compares, for a few directories.
    Single(Walk),
    /// For a whole origin.
    Parallel(ParallelWalk),
}

impl AnyWalk {
    /// What comes next; `None` at the end.
    pub(in crate::origin) fn next(&mut self) -> Option<Item> {
        match self {
            Self::Single(walk) => walk.next(),
            Self::Parallel(walk) => walk.next(),
        }
    }
}

/// A part of the walk, in order.
#[derive(Debug)]
enum Piece {
    /// Of the root itself.
    Items(Vec<Item>),
    /// A directory below it: chunks, and an empty one at the end.
    Below(Receiver<Vec<Item>>),
}

/// A directory to walk through, and where its chunks go.
type Job = (Walk, SyncSender<Vec<Item>>);

/// A walk on threads of its own.
#[derive(Debug)]
pub(in crate::origin) struct ParallelWalk {
    pieces: Receiver<Piece>,
    below: Option<Receiver<Vec<Item>>>,
    current: VecDeque<Item>,
    threads: Vec<JoinHandle<()>>,
}

impl ParallelWalk {
    /// Starts a walk.
    pub(in crate::origin) fn new(walk: Walk) -> io::Result<Self> {
        let (found, pieces) = sync_channel(PIECES);
        let (hand_out, jobs) = sync_channel::<Job>(THREADS);
        let jobs = Arc::new(Mutex::new(jobs));
        let start = |work: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name("walk".to_owned());
            thread.spawn(work)
        };
        let mut threads = Vec::with_capacity(THREADS + 1);
        for _ in 0..THREADS {
            let jobs = Arc::clone(&jobs);
            threads.push(start(Box::new(move || share(&jobs)))?);
        }
        threads.push(start(Box::new(move || lead(walk, &found, &hand_out)))?);
        Ok(Self {
            pieces,
            below: None,
            current: VecDeque::new(),
            threads,
        })
    }

    fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.current.pop_front() {
                return Some(item);
            }
            if let Some(below) = &self.below {
                match below.recv() {
                    Ok(chunk) if chunk.is_empty() => self.below = None,
                    Ok(chunk) => self.current = chunk.into(),
                    Err(_) => ended_early(),
                }
                continue;
            }
            match self.pieces.recv() {
                Ok(Piece::Items(chunk)) => self.current = chunk.into(),
                Ok(Piece::Below(below)) => self.below = Some(below),
                Err(_) => {
                    self.join();
                    return None;
                }
            }
        }
    }

    /// Waits for the threads to end.
    fn join(&mut self) {
        if self.threads.drain(..).any(|thread| thread.join().is_err()) {
            ended_early();
        }
    }
}

/// What is missing must not look as if it were gone.
#[expect(clippy::panic, reason = "a bug, which ends the process")]
fn ended_early() -> ! {
    panic!("a walk ended before its end");
}

/// Walks through the root, and hands out the directories below it.
fn lead(mut walk: Walk, found: &SyncSender<Piece>, hand_out: &SyncSender<Job>) {
    let mut chunk = Vec::with_capacity(CHUNK);
    while let Some(step) = walk.shallow() {
        let below = match step {
            Step::Item(item) => {
                chunk.push(item);
                None
            }
            Step::Below(walk) => Some(walk),
        };
        if chunk.len() == CHUNK || (below.is_some() && !chunk.is_empty()) {
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
            // The receiver is gone: the scan was given up.
            if found.send(Piece::Items(full)).is_err() {
                return;
            }
        }
        if let Some(walk) = below {
            let (sender, receiver) = sync_channel(WAITING);
            // The reader first: a walk may have to wait until something is read.
            if found.send(Piece::Below(receiver)).is_err() || hand_out.send((walk, sender)).is_err()
            {
                return;
            }
        }
    }
    found.send(Piece::Items(chunk)).unwrap_or_default();
}

/// Walks through directories as long as some are handed out.
fn share(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((mut walk, chunks)) = job else { return };
        let mut chunk = Vec::new();
        let mut wanted = true;
        while wanted && let Some(item) = walk.next() {
            chunk.push(item);
            if chunk.len() == CHUNK {
                let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
                wanted = chunks.send(full).is_ok();
            }
        }
        if wanted && !chunk.is_empty() {
            wanted = chunks.send(chunk).is_ok();
        }
        if wanted {
            chunks.send(Vec::new()).unwrap_or_default();
        }
    }
}
