//! The commands, one file each. Nothing here decides anything about changes or purges.

pub mod check;
