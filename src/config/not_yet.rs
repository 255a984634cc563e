//! What the configuration's design has and this version does not: refused where it is used, and
//! read far enough to report what else is wrong with it.

use std::time::Duration;

use toml::de::DeValue;

use super::effective::Provenance;
use super::reader::{Reader, any_text};
use super::section::Section;
use super::value::{Complaint, Value as _, read_size};

/// Why something is refused that is written correctly.
pub(super) const WHY: &str = "is not in this version";

/// Whether a value is well-formed.
type Check = fn(&DeValue<'_>) -> Result<(), Complaint>;

/// Reports a key that is not in this version.
pub(super) fn key(reader: &mut Reader<'_>, section: &mut Section<'_>, key: &'static str) {
    let given = reader.given(section, key, any_text);
    if given.value.is_some()
        && let Some(span) = given.span
    {
        reader.report_key(&section.key(key), &span, WHY, "remove the line");
    }
}

/// `repurge_after` may only be `off`.
pub(super) fn repurge_after(reader: &mut Reader<'_>, section: &mut Section<'_>) {
    only(reader, section, "repurge_after", "off");
}

/// A key that takes a duration or a word, of which only the word is in this version.
fn only(reader: &mut Reader<'_>, section: &mut Section<'_>, key: &'static str, word: &str) {
    let given = reader.given(section, key, |raw| {
        if raw.as_str() == Some(word) {
            return Ok(());
        }
        Duration::read(raw)?;
        Err(Complaint {
            why: WHY.to_owned(),
            hint: format!("write \"{word}\", or remove the line"),
        })
    });
    let from = given
        .span
        .as_ref()
        .map_or(Provenance::Default, |span| reader.in_file(span));
    reader.record(section, key, Some(word.into()), from);
}

/// `[pipeline.verify]`.
pub(super) fn verify(reader: &mut Reader<'_>, pipeline: &mut Section<'_>) {
    let mut section = reader.table(pipeline, "verify");
    let keys: [(&'static str, Check); 3] = [
        ("edge_url", check_text),
        ("timeout", check_duration),
        ("max_bytes_per_hour", check_size),
    ];
    refuse(reader, &mut section, &keys);
}

/// Reports the section as a whole, and what is wrong inside.
fn refuse(reader: &mut Reader<'_>, section: &mut Section<'_>, keys: &[(&'static str, Check)]) {
    if !section.is_present() {
        return;
    }
    let hint = "remove the section";
    reader.report_key(&section.path.clone(), &section.span().clone(), WHY, hint);
    for (key, check) in keys {
        reader.given(section, key, check);
    }
    reader.end(section);
}

fn check_text(value: &DeValue<'_>) -> Result<(), Complaint> {
    any_text(value).map(drop)
}

fn check_duration(value: &DeValue<'_>) -> Result<(), Complaint> {
    Duration::read(value).map(drop)
}

fn check_size(value: &DeValue<'_>) -> Result<(), Complaint> {
    read_size(value).map(drop)
}
