//! The documents agree with the code: every path that they name exists, every limit in
//! `docs/limits.md` is the constant that it names, and the routes of each kind are its example.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use edgepurge::webhook::kind::SENDERS;
use syn::visit::{self, Visit};
use syn::{Ident, Item};

use super::source::{attributes, files, is_test};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let top = ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"].map(|name| root().join(name));
    let docs = docs.map(|entry| entry.unwrap().path());
    let texts = docs.filter(|path| path.extension().is_some_and(|ext| ext == "md"));
    top.into_iter().chain(texts).collect()
}

/// The paths in a text: its words that end as a source or a document does, or begin with a directory
/// of the repository.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|letter: char| letter.is_whitespace() || "`()[]|,;*\"".contains(letter));
    let words = words.map(|word| word.split("::").next().unwrap());
    let words = words.map(|word| word.split('#').next().unwrap());
    words
        .map(|word| word.trim_end_matches(['.', ':']))
        .filter(|word| {
            let ends = [".rs", ".md"].iter().any(|end| word.ends_with(end));
            let begins = ["src/", "tests/", "docs/"];
            ends || begins.iter().any(|begin| word.starts_with(begin))
        })
}

#[test]
fn every_path_in_the_documents_exists() {
    let mut faults = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let bases = [root(), &root().join("src"), document.parent().unwrap()];
        for path in paths(&text) {
            if !bases.iter().any(|base| base.join(path).exists()) {
                faults.push(format!("{}: there is no {path}", document.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The constants of a file, without those of its tests, with their values as written.
struct Constants<'text> {
    text: &'text str,
    values: BTreeMap<String, String>,
}

impl<'text> Constants<'text> {
    fn of(text: &'text str) -> Self {
        let values = BTreeMap::new();
        let mut constants = Self { text, values };
        constants.visit_file(&syn::parse_file(text).unwrap());
        constants
    }

    fn add(&mut self, name: &Ident) {
        let declared = self.text.split_once(&format!("const {name}: "));
        let value = declared.and_then(|(_, rest)| rest.split_once('='));
        let Some((value, _)) = value.and_then(|(_, value)| value.split_once(';')) else {
            return;
        };
        let line = value.split_whitespace().collect::<Vec<_>>().join(" ");
        let value = line.replace("[ ", "[").replace(", ]", "]");
        self.values.entry(name.to_string()).or_insert(value);
    }
}

impl<'ast> Visit<'ast> for Constants<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !attributes(item).iter().any(is_test) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.add(&item.ident);
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.add(&item.ident);
    }
}

/// `FILE::NAME = VALUE` as the code says it now. `Err` with all that have this name, where `FILE`
/// has none.
fn as_written(file: &str, name: &str) -> Result<String, Vec<String>> {
    let said = |file: &str| {
        let text = fs::read_to_string(root().join("src").join(file)).ok()?;
        let value = Constants::of(&text).values.remove(name)?;
        Some(format!("{file}::{name} = {value}"))
    };
    said(file).ok_or_else(|| {
        let src = root().join("src");
        let mut all = Vec::new();
        files(&src, &mut all);
        let all = all.iter().map(|path| path.strip_prefix(&src).unwrap());
        all.filter_map(|path| said(path.to_str().unwrap()))
            .collect()
    })
}

/// With `EDGEPURGE_ACCEPT=1`, rewrites the table. A constant that has moved is followed where only
/// one other file has its name.
#[test]
fn every_limit_is_the_constant_that_it_names() {
    let path = root().join("docs/limits.md");
    let mut text = fs::read_to_string(&path).unwrap();
    let accept = std::env::var_os("EDGEPURGE_ACCEPT").is_some();
    let mut faults = Vec::new();
    let rows: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| what "))
        .map(str::to_owned)
        .collect();
    for row in &rows {
        let constants = row.split('`').filter_map(|said| {
            let (file, value) = said.split_once(".rs::")?;
            Some((said, format!("{file}.rs"), value.split(' ').next()?))
        });
        let mut constants = constants.peekable();
        if constants.peek().is_none() && !row.contains("| no constant: ") {
            faults.push(format!("this row names no constant: {row}"));
        }
        for (said, file, name) in constants {
            let now = match as_written(&file, name) {
                Ok(now) => now,
                Err(others) if others.len() == 1 => others[0].clone(),
                Err(others) => {
                    faults.push(format!("{file} has no {name}; others: {others:?}"));
                    continue;
                }
            };
            if now != said && accept {
                text = text.replace(&format!("`{said}`"), &format!("`{now}`"));
            } else if now != said {
                faults.push(format!("`{said}` is now `{now}`"));
            }
        }
    }
    assert!(rows.len() > 50, "only {} rows", rows.len());
    if accept {
        fs::write(path, text).unwrap();
    }
    assert!(
        faults.is_empty(),
        "{faults:#?}\nEDGEPURGE_ACCEPT=1 rewrites"
    );
}

/// Compares what stands between two texts of a document. With `EDGEPURGE_ACCEPT=1`, rewrites it.
fn is_between(document: &str, begin: &str, end: &str, wanted: &str) {
    let path = root().join(document);
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(begin).unwrap();
    let (found, after) = rest.split_once(end).unwrap();
    if std::env::var_os("EDGEPURGE_ACCEPT").is_some() {
        fs::write(path, [before, begin, wanted, end, after].concat()).unwrap();
    } else {
        assert_eq!(found, wanted, "{document}; EDGEPURGE_ACCEPT=1 rewrites");
    }
}

#[test]
fn the_documents_have_the_example_of_every_kind() {
    let examples: Vec<&str> = SENDERS.iter().map(|sender| sender.example).collect();
    let routes = examples.join("\n");
    let begin = "unless `workflows` does.\n\n```toml\n";
    is_between("docs/webhooks.md", begin, "```", &routes);
    let left_out = routes.lines().fold(String::new(), |text, line| {
        let comment = line.starts_with('#') || line.is_empty();
        text + if comment { "" } else { "#" } + line + "\n"
    });
    let begin = "# One route for each kind:\n\n";
    let end = "\n# More senders, ";
    is_between("config.example.toml", begin, end, &left_out);
}
