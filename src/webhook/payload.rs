//! What an authentic body says, in words that all kinds share: pushes and their files, paths, branches,
//! repositories, environments, patterns of them, and JSON that is read within bounds. A kind makes a
//! [`reading::Reading`] of these. Nothing here knows a kind or a route, or does I/O.

pub(super) mod branch;
pub(super) mod content;
pub(super) mod environment;
pub(super) mod paths;
pub(super) mod pattern;
pub(super) mod pointer;
pub(super) mod push;
pub(super) mod reading;
pub(super) mod repository;
