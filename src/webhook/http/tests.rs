//! What must hold for calls of every kind, as their client sees it.

mod forwarded;
mod uniform;
