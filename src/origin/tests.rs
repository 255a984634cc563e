//! The origin held to the kernel: real directories, real events, and a sink that remembers.

mod events;
mod field;
mod harness;
mod recovery;
mod scans;
mod watching;
