//! What the configuration's design has and this version does not: refused where it is used, and
//! read far enough to report what else is wrong with it.

use super::reader::Reader;
use super::section::Section;
use super::shape::Shape;
use super::syntax::parsed;

/// Why something is refused that is written correctly.
pub(super) const WHY: &str = "is not in this version";

/// Reports a key that is not in this version.
pub(super) fn key(reader: &mut Reader<'_>, section: &mut Section<'_>, key: &'static str) {
    let take = |text: &str| Ok(text.to_owned());
    let text = parsed(
        Shape::text("a text"),
        "write it in quotes",
        take,
        String::clone,
    );
    let given = reader.given(section, key, &text);
    if given.value.is_some()
        && let Some(span) = given.span
    {
        reader.report_key(&section.key(key), &span, WHY, "remove the line");
    }
}
