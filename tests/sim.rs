//! The seeded simulation of the core.
