//! The program's sources as the compiler sees them: every module that is reached from `lib.rs` and
//! `main.rs`, what it uses, and whether it is only built for tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, UseTree};

/// What one file of the program uses, without its tests.
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// `origin`, `worker`, `root` for `src/origin/worker/root.rs`.
    pub(super) module: Vec<String>,
    /// Every path that is named, without `use` aliases: `crate::core::time`, `std::fs::read`.
    /// `super` and `self` are resolved.
    pub(super) names: BTreeSet<Vec<String>>,
    /// Every identifier, and `async` where something is.
    pub(super) words: BTreeSet<String>,
}

impl Source {
    /// A file with this text.
    pub(super) fn of(path: PathBuf, module: Vec<String>, text: &str) -> Self {
        let Reader { names, words, .. } = Reader::of(module.clone(), false, text);
        Self {
            path,
            module,
            names,
            words,
        }
    }

    /// The module right below `above` that this file belongs to: a room, where that is empty; the
    /// last name of `above` where it is that module itself.
    pub(super) fn part<'a>(&'a self, above: &[&'a str]) -> &'a str {
        let own = above.last().copied().unwrap_or("lib");
        self.module.get(above.len()).map_or(own, String::as_str)
    }

    /// The modules right below `above` that it uses, its own among them.
    pub(super) fn parts(&self, above: &[&str]) -> BTreeSet<&str> {
        let path = [&["crate"], above].concat();
        let inner = { self.names.iter() }.filter(|name| starts_with(name, &path));
        inner
            .filter_map(|name| Some(name.get(path.len())?.as_str()))
            .collect()
    }

    /// The rooms that it uses, its own among them.
    pub(super) fn rooms(&self) -> BTreeSet<&str> {
        self.parts(&[])
    }

    /// Whether it uses this word or this path, as in `tokio` and `std::fs`.
    pub(super) fn uses(&self, what: &str) -> bool {
        let path: Vec<&str> = what.split("::").collect();
        match path[..] {
            [word] => self.words.contains(word),
            _ => self.names.iter().any(|name| starts_with(name, &path)),
        }
    }
}

fn starts_with(name: &[String], path: &[&str]) -> bool {
    name.len() >= path.len() && name.iter().zip(path).all(|(name, part)| name == part)
}

/// The whole program.
#[derive(Default)]
pub(super) struct Program {
    pub(super) sources: Vec<Source>,
    /// Files that no `mod` leads to: the compiler never sees them.
    pub(super) unreached: Vec<PathBuf>,
}

impl Program {
    pub(super) fn read() -> Self {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut program = Self::default();
        let mut reached = BTreeSet::new();
        program.add(&src.join("lib.rs"), &src, Vec::new(), false, &mut reached);
        let main = vec!["main".to_owned()];
        program.add(&src.join("main.rs"), &src, main, false, &mut reached);
        let mut all = Vec::new();
        files(&src, &mut all);
        all.retain(|path| !reached.contains(path));
        program.unreached = all;
        program
    }

    /// The files below these modules.
    pub(super) fn below<'a>(&'a self, module: &'a [&str]) -> impl Iterator<Item = &'a Source> {
        let sources = self.sources.iter();
        sources.filter(|source| starts_with(&source.module, module))
    }

    /// Adds a file, and the modules that it declares, which lie below `directory`.
    fn add(
        &mut self,
        path: &Path,
        directory: &Path,
        module: Vec<String>,
        for_tests: bool,
        reached: &mut BTreeSet<PathBuf>,
    ) {
        reached.insert(path.to_owned());
        let text = fs::read_to_string(path).unwrap();
        let reader = Reader::of(module.clone(), for_tests, &text);
        for (name, test) in &reader.modules {
            let below = directory.join(name);
            let file = directory.join(format!("{name}.rs"));
            let inner = [&module[..], std::slice::from_ref(name)].concat();
            self.add(&file, &below, inner, *test, reached);
        }
        if !for_tests {
            let source = Source::of(path.to_owned(), module, &text);
            self.sources.push(source);
        }
    }
}

pub(super) fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Reads one file.
struct Reader {
    module: Vec<String>,
    names: BTreeSet<Vec<String>>,
    words: BTreeSet<String>,
    /// Modules in files of their own, and whether they are tests.
    modules: Vec<(String, bool)>,
    for_tests: bool,
}

impl Reader {
    fn of(module: Vec<String>, for_tests: bool, text: &str) -> Self {
        let file = syn::parse_file(text).unwrap();
        let mut reader = Self {
            module,
            names: BTreeSet::new(),
            words: BTreeSet::new(),
            modules: Vec::new(),
            for_tests,
        };
        reader.visit_file(&file);
        reader
    }

    /// Notes a path, as seen from the crate.
    fn name(&mut self, path: &[String]) {
        let mut base: Vec<String> = match path.first().map(String::as_str) {
            Some("self" | "super") => self.module.clone(),
            Some("edgepurge") if self.module[..] == ["main"] => Vec::new(),
            _ => {
                self.names.insert(path.to_owned());
                return;
            }
        };
        let mut rest = path;
        while let Some((first, below)) = rest.split_first() {
            match first.as_str() {
                "self" | "edgepurge" => {}
                "super" => drop(base.pop()),
                _ => break,
            }
            rest = below;
        }
        let crate_ = vec!["crate".to_owned()];
        self.names.insert([crate_, base, rest.to_vec()].concat());
    }

    fn use_tree(&mut self, tree: &UseTree, before: &mut Vec<String>) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.use_tree(&path.tree, before);
                before.pop();
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(tree, before);
                }
            }
            UseTree::Name(name) => self.leaf(before, name.ident.to_string()),
            UseTree::Rename(rename) => self.leaf(before, rename.ident.to_string()),
            UseTree::Glob(_) => self.leaf(before, "*".to_owned()),
        }
    }

    fn leaf(&mut self, before: &[String], last: String) {
        let path = [before, &[last]].concat();
        self.words.extend(path.iter().cloned());
        self.name(&path);
    }

    /// The paths in what a macro is given: the tokens of an unknown language.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(word) => {
                    self.words.insert(word.to_string());
                    if colons < 2 {
                        self.end(&mut path);
                    }
                    path.push(word.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    self.end(&mut path);
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Vec<String>) {
        if !path.is_empty() {
            self.name(&std::mem::take(path));
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let test = self.for_tests || attributes(item).iter().any(is_test);
        match item {
            Item::Mod(module) if module.content.is_none() => {
                self.modules.push((module.ident.to_string(), test));
            }
            _ if test => {}
            Item::Mod(module) => {
                self.module.push(module.ident.to_string());
                visit::visit_item(self, item);
                self.module.pop();
            }
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Fn(item) => &item.attrs[..],
            ImplItem::Const(item) => &item.attrs,
            _ => &[],
        };
        if !attributes.iter().any(is_test) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&item.tree, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter();
        let names: Vec<String> = segments.map(|segment| segment.ident.to_string()).collect();
        self.name(&names);
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_ident(&mut self, ident: &'ast syn::Ident) {
        self.words.insert(ident.to_string());
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        visit::visit_macro(self, item);
        self.tokens(item.tokens.clone());
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if signature.asyncness.is_some() {
            self.words.insert("async".to_owned());
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, block: &'ast syn::ExprAsync) {
        self.words.insert("async".to_owned());
        visit::visit_expr_async(self, block);
    }
}

pub(super) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// `#[cfg(test)]`.
pub(super) fn is_test(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute
            .parse_args::<syn::Path>()
            .is_ok_and(|condition| condition.is_ident("test"))
}
