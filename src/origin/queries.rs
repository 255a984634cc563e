//! Answers for commands that run beside a worker or without one: they read the index and the files,
//! and write neither.

mod access;
mod differences;
mod remembered;

pub use access::{Access, Sample, access};
pub use differences::{Difference, differences};
pub use remembered::{
    Ignored, Remembered, ignored_by, remembered, remembered_count, remembered_file,
};
