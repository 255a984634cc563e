//! Asset templates: `/blog/{stem}/`, filled in from the path of the file that changed.

use std::fmt;

use super::builtin::split_name;
use crate::core::asset::{Asset, AssetError, push_path, push_query_value, sent_path, sent_query};

/// An asset with placeholders.
///
/// It is the whole URL path: an origin's `url_prefix` is not put before it. `{path}` is the file's
/// path below the root of its origin, which is what a rule's patterns match; `{dir}` its directory
/// without a `/` at the end, empty at the root; `{name}` its file name; `{stem}` and `{ext}` the
/// name before and after its last dot (`.htaccess` is all stem).
///
/// What is put in is encoded exactly once, and inside a query so that it stays one value. An empty
/// `{dir}` leaves no empty segment: `/{dir}/{name}` becomes `/a.json` at the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    path: Vec<Part>,
    query: Option<Vec<Part>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Value(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Path,
    Dir,
    Name,
    Stem,
    Ext,
}

/// Why something is not an asset template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It could never be an asset.
    #[error(transparent)]
    Asset(#[from] AssetError),
    /// A placeholder that there is not.
    #[error(
        "there is no placeholder `{{{0}}}`: write one of {{path}} {{dir}} {{name}} {{stem}} {{ext}}"
    )]
    Unknown(String),
    /// A brace without its other half.
    #[error("the template {0:?} has an unpaired brace: write `%7B` for `{{` and `%7D` for `}}`")]
    Unpaired(String),
}

impl Template {
    /// Reads a template. Its literal parts are read as [`Asset::parse`] reads an asset: they stay as they
    /// are written.
    ///
    /// # Errors
    /// An unknown placeholder, an unpaired brace, or what could not become an asset whatever is
    /// put in.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        // With an innocent name for each placeholder, a template has to be an asset.
        let mut probe = String::new();
        let mut path = Vec::new();
        let mut query: Option<Vec<Part>> = None;
        for piece in pieces(text)? {
            match piece {
                Piece::Literal(literal) => {
                    probe.push_str(literal);
                    if let Some(query) = &mut query {
                        query.push(Part::Literal(sent_query(literal)));
                    } else if let Some((before, after)) = literal.split_once('?') {
                        path.push(Part::Literal(sent_path(before)));
                        query = Some(vec![Part::Literal(sent_query(after))]);
                    } else {
                        path.push(Part::Literal(sent_path(literal)));
                    }
                }
                Piece::Value(value) => {
                    probe.push('x');
                    query.as_mut().unwrap_or(&mut path).push(Part::Value(value));
                }
            }
        }
        Asset::parse(&probe).map_err(|error| error.problem.of(text.as_bytes()))?;
        Ok(Self { path, query })
    }

    /// The asset for the file at `file`, a raw path below its origin's root.
    ///
    /// # Errors
    /// A name that leaves no proper asset here: a `.` or `..` segment, or more than 8 KiB.
    pub fn expand(&self, file: &[u8]) -> Result<Asset, AssetError> {
        let mut asset = String::new();
        for part in &self.path {
            match part {
                Part::Literal(literal) => asset.push_str(literal),
                Part::Value(value) => push_path(&mut asset, value.of(file)),
            }
        }
        // Neither the template nor a file's path has an empty segment: only an empty value made it.
        while let Some(at) = asset.find("//") {
            asset.remove(at);
        }
        if let Some(query) = &self.query {
            asset.push('?');
            for part in query {
                match part {
                    Part::Literal(literal) => asset.push_str(literal),
                    Part::Value(value) => push_query_value(&mut asset, value.of(file)),
                }
            }
        }
        Asset::checked(asset, file)
    }
}

/// The template with what can't be sent as it was written encoded.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = |f: &mut fmt::Formatter<'_>, parts: &[Part]| {
            parts.iter().try_for_each(|part| match part {
                Part::Literal(literal) => f.write_str(literal),
                Part::Value(value) => write!(f, "{{{}}}", value.word()),
            })
        };
        parts(f, &self.path)?;
        self.query.as_ref().map_or(Ok(()), |query| {
            f.write_str("?")?;
            parts(f, query)
        })
    }
}

impl Value {
    const ALL: [Self; 5] = [Self::Path, Self::Dir, Self::Name, Self::Stem, Self::Ext];

    const fn word(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Dir => "dir",
            Self::Name => "name",
            Self::Stem => "stem",
            Self::Ext => "ext",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|value| value.word() == word)
    }

    fn of(self, file: &[u8]) -> &[u8] {
        let (directory, name) = split_name(file);
        let dot = name
            .iter()
            .rposition(|&byte| byte == b'.')
            .filter(|&at| at > 0);
        match self {
            Self::Path => file,
            Self::Dir => directory.strip_suffix(b"/").unwrap_or(directory),
            Self::Name => name,
            Self::Stem => &name[..dot.unwrap_or(name.len())],
            Self::Ext => dot.map_or(&[], |at| &name[at + 1..]),
        }
    }
}

enum Piece<'a> {
    Literal(&'a str),
    Value(Value),
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let unpaired = || TemplateError::Unpaired(text.to_owned());
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (literal, from_brace) = rest.split_at(at);
        let (word, after) = from_brace
            .strip_prefix('{')
            .and_then(|inside| inside.split_once('}'))
            .ok_or_else(unpaired)?;
        if word.contains('{') {
            return Err(unpaired());
        }
        let value = Value::parse(word).ok_or_else(|| TemplateError::Unknown(word.to_owned()))?;
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        pieces.push(Piece::Value(value));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest));
    }
    Ok(pieces)
}
