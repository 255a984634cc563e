//! The one integration binary: the real process, real files, real HTTP.
