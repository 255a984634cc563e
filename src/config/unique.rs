//! Values that may be there once: names, ids, routes.

use std::collections::BTreeMap;
use std::ops::Range;

use super::reader::Reader;
use super::value::Complaint;

/// The values so far, each with its line.
#[derive(Debug, Default)]
pub(super) struct Unique(BTreeMap<String, usize>);

impl Unique {
    /// Takes a value at `span`, or returns the line of its first occurrence.
    pub(super) fn taken(
        &mut self,
        reader: &Reader<'_>,
        value: &str,
        span: &Range<usize>,
    ) -> Option<usize> {
        if let Some(line) = self.0.get(value) {
            return Some(*line);
        }
        self.0.insert(value.to_owned(), reader.line(span));
        None
    }

    /// Takes a value, and reports it where it was there before.
    pub(super) fn add(
        &mut self,
        reader: &mut Reader<'_>,
        key: &str,
        value: &str,
        span: &Range<usize>,
    ) {
        if let Some(line) = self.taken(reader, value, span) {
            let complaint = Complaint {
                why: format!("is there already, in line {line}"),
                hint: "each may be there once".to_owned(),
            };
            reader.report(key, span, &complaint);
        }
    }
}
