//! Where a body says what it is about: JSON pointers.

use crate::config::reader::Reader;
use crate::config::section::Section;
use crate::config::value::{Complaint, complain, text};
use crate::webhook::Pointer;
use crate::webhook::kind::generic;

use super::{Refused, complete, one_or_more};

/// Reads the pointers; `named` where the body also names the event.
pub(super) fn read(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    named: bool,
) -> Result<generic::Fields, Refused> {
    let paths = one_or_more(
        reader,
        section,
        "paths",
        "write a JSON pointer in quotes, such as \"/files\", or a list of them",
        pointer,
    );
    let texts = |paths: &Vec<Pointer>| -> toml::Value {
        let texts: Vec<String> = paths.iter().map(|path| path.as_str().to_owned()).collect();
        texts.into()
    };
    let from = reader.source(paths.span.as_ref());
    reader.record(section, "paths", paths.value.as_ref().map(texts), from);
    let mut paths = paths;
    if let (Some(list), Some(span)) = (&paths.value, &paths.span)
        && !(1..=8).contains(&list.len())
    {
        let why = "has to name one to eight places";
        reader.report_key(&section.key("paths"), span, why, "name at least one");
        paths.value = None;
    }
    let repository = one_pointer(reader, section, "repository_pointer");
    let branch = one_pointer(reader, section, "branch");
    let event = if named {
        one_pointer(reader, section, "event")
    } else {
        Ok(None)
    };
    let id = one_pointer(reader, section, "id");
    Ok(generic::Fields {
        paths: complete(paths)?.unwrap_or_default(),
        repository: repository?,
        branch: branch?,
        event: event?,
        id: id?,
    })
}

fn one_pointer(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    key: &'static str,
) -> Result<Option<Pointer>, Refused> {
    let given = reader.given(section, key, |raw| pointer(text(raw, POINTER_HINT)?));
    let from = reader.source(given.span.as_ref());
    let written = given.value.as_ref().map(|pointer| pointer.as_str().into());
    reader.record(section, key, written, from);
    complete(given)
}

const POINTER_HINT: &str = "write a JSON pointer in quotes, such as \"/push/branch\"";

fn pointer(text: &str) -> Result<Pointer, Complaint> {
    if text.chars().any(char::is_control) {
        return complain("holds a control character", "remove it");
    }
    Pointer::parse(text).map_or_else(|| complain("is not a JSON pointer", POINTER_HINT), Ok)
}
