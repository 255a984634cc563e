//! Where a body says what it is about: JSON pointers.

use crate::config::reader::Reader;
use crate::config::section::Section;
use crate::config::shape::Shape;
use crate::config::syntax::{Syntax, one_or_list, parsed};
use crate::config::value::{Complaint, complain};
use crate::webhook::Pointer;
use crate::webhook::kind::generic;

use super::{Refused, WebhookKeys, complete};

/// Reads the pointers; `named` where the body also names the event.
pub(super) fn read(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    named: bool,
) -> Result<generic::Fields, Refused> {
    let mut paths = WebhookKeys::paths(reader, section);
    if let (Some(list), Some(span)) = (&paths.value, &paths.span)
        && !(1..=8).contains(&list.len())
    {
        let why = "has to name one to eight places";
        reader.report_key(&section.key("paths"), span, why, "name at least one");
        paths.value = None;
    }
    let repository = complete(WebhookKeys::repository_pointer(reader, section));
    let branch = complete(WebhookKeys::branch(reader, section));
    let event = if named {
        complete(WebhookKeys::event(reader, section))
    } else {
        Ok(None)
    };
    let id = complete(WebhookKeys::id(reader, section));
    Ok(generic::Fields {
        paths: complete(paths)?.unwrap_or_default(),
        repository: repository?,
        branch: branch?,
        event: event?,
        id: id?,
    })
}

/// One pointer.
pub(super) fn pointer() -> Syntax<Pointer> {
    written_with(POINTER_HINT)
}

/// One pointer, or a list.
pub(super) fn pointers() -> Syntax<Vec<Pointer>> {
    const HINT: &str = "write a JSON pointer in quotes, such as \"/files\", or a list of them";
    one_or_list(HINT, written_with(HINT))
}

const POINTER_HINT: &str = "write a JSON pointer in quotes, such as \"/push/branch\"";

fn written_with(hint: &'static str) -> Syntax<Pointer> {
    let shape = Shape::pattern("a JSON pointer", "^(/.*)?$");
    parsed(shape, hint, parse, |pointer| pointer.as_str().to_owned())
}

fn parse(text: &str) -> Result<Pointer, Complaint> {
    if text.chars().any(char::is_control) {
        return complain("holds a control character", "remove it");
    }
    Pointer::parse(text).map_or_else(|| complain("is not a JSON pointer", POINTER_HINT), Ok)
}
