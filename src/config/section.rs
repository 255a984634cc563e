//! A table of the configuration file, and what became of its keys. Reads nothing itself.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;

/// A table of the file: `[scaleway]`, one of the `[[pipeline]]`. Or the absence of one, which has
/// only defaults.
#[derive(Debug)]
pub(super) struct Section<'t> {
    /// Its keys and values.
    pub(super) table: Option<&'t DeTable<'t>>,
    /// Where the table is, `pipeline[0].origin[1]`; empty for the root.
    pub(super) path: String,
    /// The header in the file.
    span: Range<usize>,
    /// The keys that were asked for.
    pub(super) known: BTreeSet<&'static str>,
}

/// What became of one key.
#[derive(Clone, Debug)]
pub(super) struct Given<T> {
    /// The value; `None` where the key is absent or its value is refused.
    pub(super) value: Option<T>,
    /// Where the value is; `None` where the key is absent.
    pub(super) span: Option<Range<usize>>,
}

/// A value that holds: the file's or the default.
#[derive(Clone, Debug)]
pub(super) struct Held<T> {
    /// The value.
    pub(super) value: T,
    /// Where it is written; `None` for the default.
    pub(super) span: Option<Range<usize>>,
    /// Whether the file's value was refused: nothing more should be said about it.
    pub(super) refused: bool,
}

impl<'t> Section<'t> {
    /// The root table.
    pub(super) fn root(table: &'t Spanned<DeTable<'t>>) -> Self {
        Self::new(table.get_ref(), String::new(), table.span())
    }

    /// The table at `path`, with its header at `span`.
    pub(super) fn new(table: &'t DeTable<'t>, path: String, span: Range<usize>) -> Self {
        Self {
            table: Some(table),
            path,
            span,
            known: BTreeSet::new(),
        }
    }

    /// What holds where the file has no such table.
    pub(super) fn absent(path: String) -> Self {
        Self {
            table: None,
            path,
            span: 0..0,
            known: BTreeSet::new(),
        }
    }

    /// Whether the file has it.
    pub(super) fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// Whether the file has one of its keys.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Where the value of one of its keys is.
    pub(super) fn place(&self, key: &str) -> Option<Range<usize>> {
        Some(self.table?.get(key)?.span())
    }

    /// Where its header is.
    pub(super) fn span(&self) -> &Range<usize> {
        &self.span
    }

    /// The path of one of its keys.
    pub(super) fn key(&self, name: &str) -> String {
        if self.path.is_empty() {
            return name.to_owned();
        }
        format!("{}.{name}", self.path)
    }
}
