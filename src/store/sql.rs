//! Every statement, in one text that `SQLite` and `PostgreSQL` run: `calls/` binds the values and
//! reads the rows. A driver for `PostgreSQL` changes two things in a text, by rule: `?1` becomes `$1`,
//! and `INDEXED BY name` is left out. A test has a `PostgreSQL` prepare each statement.
//!
//! So a text uses what both engines understand: `CASE` for the lesser of two values, `ON CONFLICT` for
//! `OR REPLACE`, a name for each sub-select, no `rowid`; and the numbers of rows are values, which the
//! engine does not give. It compares a column with a value or with NULL, not with either (`IS`): for
//! that `PostgreSQL` uses no index.

/// Names the statements of a subject, and lists them.
macro_rules! statements {
    ($($(#[$about:meta])* $name:ident = $text:literal;)+) => {
        $($(#[$about])* pub(in crate::store) const $name: &str = $text;)+
        #[cfg(test)]
        pub(super) const ALL: &[(&str, &str)] = &[$((stringify!($name), $text)),+];
    };
}

pub(super) mod agreement;
pub(super) mod ask;
pub(super) mod batch;
pub(super) mod change;
pub(super) mod delivery;
pub(super) mod fleet;
pub(super) mod listing;
pub(super) mod meta;
pub(super) mod node;
pub(super) mod pause;
pub(super) mod recent;
pub(super) mod request;
pub(super) mod round;
pub(super) mod verify;

/// Each statement by its subject and name: all of them have to be `PostgreSQL`'s, too.
#[cfg(test)]
pub(super) fn statements() -> Vec<(String, String)> {
    let subjects = [
        ("ask", ask::ALL),
        ("agreement", agreement::ALL),
        ("batch", batch::ALL),
        ("change", change::ALL),
        ("delivery", delivery::ALL),
        ("fleet", fleet::ALL),
        ("meta", meta::ALL),
        ("node", node::ALL),
        ("pause", pause::ALL),
        ("recent", recent::ALL),
        ("request", request::ALL),
        ("round", round::ALL),
        ("verify", verify::ALL),
    ];
    let named = subjects.into_iter().flat_map(|(subject, all)| {
        let full =
            move |(name, text): &(&str, &str)| (format!("{subject}::{name}"), (*text).to_owned());
        all.iter().map(full)
    });
    let lists = (1..)
        .zip(listing::all())
        .map(|(n, text)| (format!("listing::{n}"), text));
    named.chain(lists).collect()
}
