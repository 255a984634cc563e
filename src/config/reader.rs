//! Walks the tables of a configuration file, and keeps everything it finds wrong instead of
//! stopping there. Knows how to read and report, not what keys exist.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::core::suggestion::nearest;

use super::document::Document;
use super::effective::{Provenance, Setting};
use super::environment::Environment;
use super::keys;
use super::problem::Problem;
use super::section::{Given, Held, Section};
use super::syntax::Syntax;
use super::value::{Complaint, a_type};

/// What is read and what is found wrong.
#[derive(Debug)]
pub(super) struct Reader<'i> {
    document: Document<'i>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    settings: Vec<Setting>,
    /// Lines with a syntax error: what the parser made of them is a guess.
    broken: BTreeSet<usize>,
    environment: &'i Environment,
}

/// Where a path is by default: in a directory that systemd names.
pub(super) struct InDirectory {
    variable: &'static str,
    /// The file in that directory; empty for the directory itself.
    below: &'static str,
    default: &'static str,
}

impl InDirectory {
    /// The file `below` in the directory that `variable` names, or else in `default`.
    pub(super) const fn new(
        variable: &'static str,
        below: &'static str,
        default: &'static str,
    ) -> Self {
        Self {
            variable,
            below,
            default,
        }
    }

    /// The path where the variable is not set.
    pub(super) fn usual(&self) -> PathBuf {
        self.in_directory(Path::new(self.default))
    }

    fn in_directory(&self, directory: &Path) -> PathBuf {
        match self.below {
            "" => directory.to_owned(),
            file => directory.join(file),
        }
    }
}

impl<'i> Reader<'i> {
    /// Reads a document's syntax, and hands the root table to `walk`.
    pub(super) fn new(
        file: &str,
        text: &'i str,
        environment: &'i Environment,
    ) -> (Self, Spanned<DeTable<'i>>) {
        let document = Document::new(file, text);
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reader = Self {
            document,
            problems: Vec::new(),
            warnings: Vec::new(),
            settings: Vec::new(),
            broken: BTreeSet::new(),
            environment,
        };
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            // One slip makes the parser complain several times about the rest of the line.
            if reader.broken.insert(reader.document.line(span.start)) {
                let (why, mut hint) = syntax(error.message());
                if reader.document.is_header(reader.document.line(span.start))
                    && error.message().contains("must be quoted")
                {
                    hint = "close the list that begins in a line above, with ]";
                }
                let problem = reader.document.problem("", &span, false, &why, hint);
                reader.problems.push(problem);
            }
        }
        // Below a broken header, the parser counts the keys to another table.
        let headless: BTreeSet<usize> = reader
            .broken
            .iter()
            .filter(|line| reader.document.is_header(**line))
            .flat_map(|line| reader.document.lines_of_table(*line))
            .collect();
        reader
            .problems
            .retain(|p| p.line.is_none_or(|line| !headless.contains(&line)));
        reader.broken.extend(headless);
        (reader, table)
    }

    /// The environment.
    pub(super) fn environment(&self) -> &'i Environment {
        self.environment
    }

    /// The problems and warnings in the order of the file, and the settings.
    pub(super) fn finish(mut self) -> (Vec<Problem>, Vec<Problem>, Vec<Setting>) {
        self.problems.sort_by_key(|p| (p.line, p.column));
        self.warnings.sort_by_key(|p| (p.line, p.column));
        (self.problems, self.warnings, self.settings)
    }

    /// Reports a problem at `span`.
    pub(super) fn report(&mut self, key: &str, span: &Range<usize>, complaint: &Complaint) {
        if !self.broken.contains(&self.document.line(span.start)) {
            let Complaint { why, hint } = complaint;
            let problem = self.document.problem(key, span, true, why, hint);
            self.problems.push(problem);
        }
    }

    /// Reports a problem of a key or a header, not of a value.
    pub(super) fn report_key(&mut self, key: &str, span: &Range<usize>, why: &str, hint: &str) {
        if !self.broken.contains(&self.document.line(span.start)) {
            let problem = self.document.problem(key, span, false, why, hint);
            self.problems.push(problem);
        }
    }

    /// Whether something is wrong with the value of a key already.
    pub(super) fn is_refused(&self, key: &str) -> bool {
        self.problems.iter().any(|problem| problem.key == key)
    }

    /// Forgets what holds for keys that have no meaning in a section.
    pub(super) fn forget(&mut self, section: &Section<'_>, names: &[&str]) {
        self.settings.retain(|setting| {
            setting.section != section.path || !names.contains(&setting.name.as_str())
        });
    }

    /// Reports a problem that has no place in the file.
    pub(super) fn report_elsewhere(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Says something that is suspicious, but may be meant.
    pub(super) fn warn(&mut self, key: &str, span: &Range<usize>, why: &str, hint: &str) {
        let problem = self.document.problem(key, span, true, why, hint);
        self.warnings.push(problem);
    }

    /// Remembers what holds for a key, and why.
    pub(super) fn record(
        &mut self,
        section: &Section<'_>,
        key: &str,
        value: Option<toml::Value>,
        from: Provenance,
    ) {
        self.settings.push(Setting {
            section: section.path.clone(),
            name: key.to_owned(),
            value,
            from,
        });
    }

    /// [`Provenance::File`] for a place in this file.
    pub(super) fn in_file(&self, span: &Range<usize>) -> Provenance {
        Provenance::File {
            file: self.document.file().to_owned(),
            line: self.document.line(span.start),
        }
    }

    /// The raw value of a key, which is known from now on.
    pub(super) fn raw<'t>(
        section: &mut Section<'t>,
        key: &'static str,
    ) -> Option<&'t Spanned<DeValue<'t>>> {
        section.known.insert(key);
        section.table.and_then(|table| table.get(key))
    }

    /// What a key has, without a report.
    pub(super) fn peek<T: 'static>(
        section: &Section<'_>,
        key: &str,
        syntax: &Syntax<T>,
    ) -> Given<T> {
        let raw = section.table.and_then(|table| table.get(key));
        Given {
            value: raw.and_then(|raw| syntax.read(raw).ok()),
            span: raw.map(Spanned::span),
        }
    }

    /// The value of a key; what is refused is reported.
    pub(super) fn given<T: 'static>(
        &mut self,
        section: &mut Section<'_>,
        key: &'static str,
        syntax: &Syntax<T>,
    ) -> Given<T> {
        let Some(raw) = Self::raw(section, key) else {
            return Given {
                value: None,
                span: None,
            };
        };
        let value = match syntax.read(raw) {
            Ok(value) => Some(value),
            Err(wrongs) => {
                let path = section.key(key);
                for wrong in wrongs {
                    let path = match wrong.item {
                        Some(at) => format!("{path}[{at}]"),
                        None => path.clone(),
                    };
                    self.report(&path, &wrong.span, &wrong.complaint);
                }
                None
            }
        };
        Given {
            value,
            span: Some(raw.span()),
        }
    }

    /// The value of a key that has a default.
    pub(super) fn setting<T: 'static>(
        &mut self,
        section: &mut Section<'_>,
        key: &'static str,
        default: T,
        syntax: &Syntax<T>,
    ) -> Held<T> {
        let given = self.given(section, key, syntax);
        let held = self.held(given, default);
        let from = self.source(held.span.as_ref());
        self.record(section, key, Some(syntax.written(&held.value)), from);
        held
    }

    /// The value of a key that may be left out.
    pub(super) fn optional<T: 'static>(
        &mut self,
        section: &mut Section<'_>,
        key: &'static str,
        syntax: &Syntax<T>,
    ) -> Given<T> {
        let given = self.given(section, key, syntax);
        let from = self.source(given.span.as_ref());
        let written = given.value.as_ref().map(|value| syntax.written(value));
        self.record(section, key, written, from);
        given
    }

    /// The value of a key that must be there.
    pub(super) fn required<T: 'static>(
        &mut self,
        section: &mut Section<'_>,
        key: &'static str,
        hint: &str,
        syntax: &Syntax<T>,
    ) -> Given<T> {
        let given = self.optional(section, key, syntax);
        if given.span.is_none() {
            self.missing(section, key, hint);
        }
        given
    }

    /// A path: the first of file, environment, default.
    pub(super) fn directory(
        &mut self,
        section: &mut Section<'_>,
        key: &'static str,
        place: &InDirectory,
        syntax: &Syntax<PathBuf>,
    ) -> Held<PathBuf> {
        let given = self.given(section, key, syntax);
        let named = self.environment.first_directory(place.variable);
        let (path, from) = if let Some(span) = &given.span {
            let from = self.in_file(span);
            (given.value.clone().unwrap_or_default(), from)
        } else if let Some(directory) = named {
            let path = place.in_directory(&directory);
            let raw = Spanned::new(0..0, DeValue::String(path.display().to_string().into()));
            let complaint = if directory.is_absolute() {
                let wrongs = syntax.read(&raw).err().unwrap_or_default();
                wrongs.into_iter().next().map(|wrong| wrong.complaint)
            } else {
                Some(Complaint {
                    why: "is not an absolute path".to_owned(),
                    hint: "let systemd set it, or unset it".to_owned(),
                })
            };
            if let Some(Complaint { why, hint }) = complaint {
                let why = format!("{} {why}", path.display());
                let at = section.key(key);
                self.report_elsewhere(Problem::of_variable(place.variable, &at, &why, &hint));
            }
            (path, Provenance::Environment(place.variable))
        } else {
            (place.usual(), Provenance::Default)
        };
        self.record(section, key, Some(syntax.written(&path)), from);
        self.held(given, path)
    }

    /// Reports that a key has to be there. Not said of a file with broken lines: it may be there.
    pub(super) fn missing(&mut self, section: &Section<'_>, key: &str, hint: &str) {
        if self.broken.is_empty() {
            self.report_key(
                &section.key(key),
                &section.span().clone(),
                "is missing",
                hint,
            );
        }
    }

    /// Where a value is from that is in this file, or else the default.
    pub(super) fn source(&self, span: Option<&Range<usize>>) -> Provenance {
        span.map_or(Provenance::Default, |span| self.in_file(span))
    }

    /// The given value, or the default.
    pub(super) fn held<T>(&self, given: Given<T>, default: T) -> Held<T> {
        let refused = given.value.is_none() && given.span.is_some();
        let broken = given.span.as_ref();
        Held {
            refused: refused
                || broken.is_some_and(|s| self.broken.contains(&self.document.line(s.start))),
            value: given.value.unwrap_or(default),
            span: given.span,
        }
    }

    /// A `[table]` of a section; an absent one has only defaults.
    pub(super) fn table<'t>(
        &mut self,
        section: &mut Section<'t>,
        key: &'static str,
    ) -> Section<'t> {
        let path = section.key(key);
        let Some(raw) = Self::raw(section, key) else {
            return Section::absent(path);
        };
        match raw.get_ref() {
            DeValue::Table(table) => Section::new(table, path, raw.span()),
            // `[[scaleway]]`: read the first, so that its problems are seen too.
            DeValue::Array(items) if is_tables(raw.get_ref()) => {
                let hint = format!("write [{}] once", plain(&path));
                self.report_key(
                    &path,
                    &raw.span(),
                    "is a list of tables, not a table",
                    &hint,
                );
                items
                    .first()
                    .and_then(|first| first.get_ref().as_table())
                    .map_or_else(
                        || Section::absent(path.clone()),
                        |table| Section::new(table, path.clone(), raw.span()),
                    )
            }
            other => {
                let complaint = Complaint {
                    why: format!("is {}, not a table", a_type(other)),
                    hint: format!("write [{}] on a line of its own", plain(&path)),
                };
                self.report(&path, &raw.span(), &complaint);
                Section::absent(path)
            }
        }
    }

    /// The `[[tables]]` of a section.
    pub(super) fn tables<'t>(
        &mut self,
        section: &mut Section<'t>,
        key: &'static str,
    ) -> Vec<Section<'t>> {
        let path = section.key(key);
        let Some(raw) = Self::raw(section, key) else {
            return Vec::new();
        };
        let header = plain(&path);
        match raw.get_ref() {
            DeValue::Table(table) => {
                let why = "is one table, not a list of tables";
                let hint = format!("write [[{header}]], with two brackets");
                self.report_key(&path, &raw.span(), why, &hint);
                vec![Section::new(table, format!("{path}[0]"), raw.span())]
            }
            DeValue::Array(items) if is_tables(raw.get_ref()) => items
                .iter()
                .enumerate()
                .filter_map(|(at, item)| {
                    let table = item.get_ref().as_table()?;
                    Some(Section::new(table, format!("{path}[{at}]"), item.span()))
                })
                .collect(),
            other => {
                let complaint = Complaint {
                    why: format!("is {}, not a list of tables", a_type(other)),
                    hint: format!("write [[{header}]] on a line of its own"),
                };
                self.report(&path, &raw.span(), &complaint);
                Vec::new()
            }
        }
    }

    /// Reports every key of a section that was not read. The last call for a section.
    pub(super) fn end(&mut self, section: &Section<'_>) {
        for (key, _) in section.table.into_iter().flatten() {
            let name: &str = key.get_ref();
            if section.known.contains(name) {
                continue;
            }
            let hint = unknown_hint(name, &section.known);
            let shown = super::problem::printable(name);
            self.report_key(
                &section.key(&shown),
                &key.span(),
                "is not a key that is known here",
                &hint,
            );
        }
    }

    /// The line, from 1, that a place is in.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        self.document.line(span.start)
    }
}

fn is_tables(value: &DeValue<'_>) -> bool {
    value.as_array().is_some_and(|items| {
        !items.is_empty() && items.iter().all(|item| item.get_ref().is_table())
    })
}

/// A path as a header has it, without the indices.
fn plain(path: &str) -> String {
    path.split('.')
        .map(|part| part.split('[').next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join(".")
}

fn unknown_hint(name: &str, known: &BTreeSet<&'static str>) -> String {
    let secret = ["secret", "token", "password", "secret_key"];
    if secret.contains(&name) {
        return "a secret is never written here: put it into a file that only its reader can \
                read, and name that file"
            .to_owned();
    }
    if let Some(header) = keys::home(name) {
        return format!("it belongs below {header}, before the next header");
    }
    nearest(name, known.iter().copied()).map_or_else(
        || {
            let known: Vec<&str> = known.iter().copied().collect();
            format!("remove it; known here are {}", known.join(", "))
        },
        |word| format!("did you mean {word}?"),
    )
}

/// The parser's message as the two halves of a problem.
fn syntax(message: &str) -> (String, &'static str) {
    let hint = match message {
        m if m.contains("must be quoted") || m.contains("invalid boolean") => {
            "write the value in quotes"
        }
        m if m.contains("duplicate key") => {
            "each key and each [section] may be there once; a [[section]] may be repeated"
        }
        m if m.contains("unclosed") => "close it",
        _ => "see https://toml.io for how TOML is written",
    };
    (format!("not TOML: {message}"), hint)
}
