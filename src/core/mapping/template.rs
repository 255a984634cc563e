//! Templates of rules: from the path that changed to an asset that is stale.

use crate::core::asset::{self, Asset, AssetError};

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// As the user wrote it.
    Literal(String),
    /// The path below the origin's root.
    Path,
    /// Its directory, without a `/` at the end; empty in the root.
    Dir,
    /// Its last segment.
    Name,
    /// That without its last ending.
    Stem,
    /// The last ending, without the dot.
    Ext,
}

const PLACEHOLDERS: [(&str, Part); 5] = [
    ("path", Part::Path),
    ("dir", Part::Dir),
    ("name", Part::Name),
    ("stem", Part::Stem),
    ("ext", Part::Ext),
];

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It does not begin with `/`.
    #[error("a template begins with `/`")]
    NotAbsolute,
    /// It has a placeholder that is none.
    #[error("`{{{0}}}` is no placeholder; there are {{path}} {{dir}} {{name}} {{stem}} {{ext}}")]
    Unknown(String),
    /// A brace is not closed.
    #[error("a `{{` is not closed")]
    Unclosed,
}

/// A template of assets, such as `/blog/{stem}/?page=1`. Placeholders take the path below the
/// origin's root, encoded; the rest is what the user wrote, an absolute URL path with an optional
/// query. Where an empty `{dir}` makes `//`, it is `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if !text.starts_with('/') {
            return Err(TemplateError::NotAbsolute);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(TemplateError::Unclosed)?;
            let (_, part) = PLACEHOLDERS
                .iter()
                .find(|(known, _)| *known == name)
                .ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
            parts.push(Part::Literal(literal.to_owned()));
            parts.push(part.clone());
            rest = after;
        }
        parts.push(Part::Literal(rest.to_owned()));
        Ok(Self(parts))
    }

    /// The asset that the template makes of a path.
    ///
    /// # Errors
    /// When it makes none of this path: a name like `..html`, whose stem is `.`.
    pub(super) fn render(&self, path: &[u8]) -> Result<Asset, AssetError> {
        let cut = path.iter().rposition(|byte| *byte == b'/');
        let (dir, name) = match cut {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&path[..0], path),
        };
        let dot = name
            .iter()
            .rposition(|byte| *byte == b'.')
            .filter(|dot| *dot > 0);
        let (stem, ext) = match dot {
            Some(dot) => (&name[..dot], &name[dot + 1..]),
            None => (name, &name[..0]),
        };
        let mut text = String::new();
        for part in &self.0 {
            let value = match part {
                Part::Literal(literal) => {
                    text.push_str(literal);
                    continue;
                }
                Part::Path => path,
                Part::Dir => dir,
                Part::Name => name,
                Part::Stem => stem,
                Part::Ext => ext,
            };
            text.extend(asset::encoded(value));
        }
        Asset::parse(&without_empty_segments(&text))
    }
}

/// `//` before the query becomes `/`.
fn without_empty_segments(text: &str) -> String {
    let (path, query) = text.split_at(text.find('?').unwrap_or(text.len()));
    let mut path = path.to_owned();
    while path.contains("//") {
        path = path.replace("//", "/");
    }
    path + query
}
