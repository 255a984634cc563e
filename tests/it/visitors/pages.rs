//! The site as a model: which files it has, and what the next deploy makes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// The bytes of every path.
pub(super) type Tree = BTreeMap<String, String>;

/// Directories that are always there, each with its page.
const ALWAYS: [&str; 3] = ["", "blog/", "docs/guide/"];
/// Names of pages that come and go.
const PAGES: u32 = 36;
/// Directories that come and go.
const VERSIONS: u32 = 10;
/// Files with hashed names.
const CHUNKS: u32 = 24;
/// As many files as there are to be.
const USUAL: usize = 70;
/// What is lost within so much time is one loss.
const WINDOW: Duration = Duration::from_secs(75);

/// What a deploy does to the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    /// Files are new and changed, and none goes.
    Adds,
    /// Files are new, changed and gone.
    Any,
    /// Every hashed name is another.
    Hashes,
    /// A third of the files goes.
    Fewer,
    /// Nearly all of the files go.
    FarFewer,
    /// Files change, and none comes or goes.
    Contents,
    /// New directories.
    Directories,
    /// Files become shorter.
    Shorter,
    /// Something is added to files.
    Longer,
}

pub(super) struct Pages {
    pub(super) tree: Tree,
    version: u32,
    chunk: u32,
    /// What each path was since the last rest. It becomes nothing of that again before the next: that it
    /// was something else in between may not have been seen.
    was: BTreeMap<String, BTreeSet<Option<String>>>,
    /// What each path was ever.
    ever: BTreeMap<String, Vec<String>>,
    /// How many files there were, when.
    counts: Vec<(Instant, usize)>,
}

fn page(number: u32) -> String {
    match number % 6 {
        0 => format!("page {number}.html"),
        1 => format!("blog/ü{number}.html"),
        2 => format!("blog/{number}.html"),
        3 => format!("docs/guide/{number}.css"),
        4 => format!("docs/{number}.json"),
        _ => format!("{number}.txt"),
    }
}

fn chunk(number: u32) -> String {
    format!("assets/app-{:08x}.js", number.wrapping_mul(0x9E37_79B9))
}

impl Pages {
    pub(super) fn new(rng: &mut fastrand::Rng) -> Self {
        let mut pages = Self {
            tree: Tree::new(),
            version: 0,
            chunk: 0,
            was: BTreeMap::new(),
            ever: BTreeMap::new(),
            counts: Vec::new(),
        };
        let mut tree = Tree::new();
        for directory in ALWAYS {
            pages.write(&mut tree, format!("{directory}index.html"), rng);
        }
        for number in 0..PAGES {
            if rng.u32(0..3) > 0 {
                pages.write(&mut tree, page(number), rng);
            }
        }
        for _ in 0..CHUNKS {
            pages.new_chunk(&mut tree, rng);
        }
        pages.tree = tree;
        pages
    }

    /// Every name that there is or may be before long.
    pub(super) fn names(&self) -> Vec<String> {
        let coming = (self.chunk..self.chunk + CHUNKS).map(chunk);
        let versions = (0..VERSIONS).flat_map(version);
        let pages = (0..PAGES).map(page);
        let all = self.tree.keys().cloned().chain(coming).chain(versions);
        all.chain(pages).collect()
    }

    /// At rest, everything was seen.
    pub(super) fn rested(&mut self) {
        self.was.clear();
    }

    /// The tree after the next deploy.
    pub(super) fn next(&mut self, change: Change, rng: &mut fastrand::Rng) -> Tree {
        let mut tree = self.tree.clone();
        match change {
            Change::Nothing => {}
            Change::Adds => self.add(&mut tree, rng),
            Change::Any => {
                self.add(&mut tree, rng);
                self.remove(&mut tree, rng);
            }
            Change::Hashes => {
                self.touch(&mut tree, 1, rng);
                for _ in 0..self.remove_chunks(&mut tree, usize::MAX) {
                    self.new_chunk(&mut tree, rng);
                }
            }
            Change::Fewer => {
                let all = self.tree.len() / 3;
                self.thin(&mut tree, self.floor().max(self.tree.len() - all), rng);
            }
            Change::FarFewer => self.thin(&mut tree, self.tree.len() / 5, rng),
            Change::Contents => self.touch(&mut tree, 4, rng),
            Change::Directories => {
                for _ in 0..2 {
                    self.new_version(&mut tree, rng);
                }
            }
            Change::Shorter => self.edit(&mut tree, rng, |text, rng| {
                let length = text.chars().count();
                (length > 8).then(|| text.chars().take(rng.usize(4..length)).collect())
            }),
            Change::Longer => self.edit(&mut tree, rng, |text, rng| {
                Some(format!("{text} and {}", rng.u32(..)))
            }),
        }
        for path in differing(&self.tree, &tree) {
            let was = self.was.entry(path.clone()).or_default();
            was.insert(self.tree.get(&path).cloned());
            was.insert(tree.get(&path).cloned());
        }
        // It is there from now on, and the one before was until now.
        for count in [self.tree.len(), tree.len()] {
            self.counts.push((Instant::now(), count));
        }
        tree
    }

    /// More would be lost than is believed.
    fn floor(&self) -> usize {
        let now = Instant::now();
        let counts = self.counts.iter();
        let recent = counts.filter(|(when, _)| now.duration_since(*when) < WINDOW);
        let most = recent.map(|(_, count)| *count).max();
        most.unwrap_or(0).max(self.tree.len()) * 6 / 10
    }

    fn may(&self, path: &str, is: Option<&String>) -> bool {
        let was = self.was.get(path);
        was.is_none_or(|was| !was.contains(&is.cloned()))
    }

    /// Another text for a path: mostly one that it never had, of the same length.
    fn write(&mut self, tree: &mut Tree, path: String, rng: &mut fastrand::Rng) {
        let now = tree.get(&path).cloned();
        let before = self.ever.get(&path).cloned().unwrap_or_default();
        let back = before
            .into_iter()
            .rfind(|text| Some(text) != now.as_ref() && self.may(&path, Some(text)));
        let text = match back {
            Some(text) if rng.u32(0..4) == 0 => text,
            _ => {
                self.version += 1;
                let text = format!("{:06} of {path} {}", self.version, "-".repeat(40));
                let ever = self.ever.entry(path.clone()).or_default();
                ever.push(text.clone());
                text
            }
        };
        tree.insert(path, text);
    }

    fn new_chunk(&mut self, tree: &mut Tree, rng: &mut fastrand::Rng) {
        let path = chunk(self.chunk);
        self.chunk += 1;
        self.write(tree, path, rng);
    }

    fn remove_chunks(&mut self, tree: &mut Tree, most: usize) -> usize {
        let chunks: Vec<String> = tree
            .keys()
            .filter(|path| path.starts_with("assets/") && self.may(path, None))
            .take(most)
            .cloned()
            .collect();
        for path in &chunks {
            tree.remove(path);
        }
        chunks.len()
    }

    fn new_version(&mut self, tree: &mut Tree, rng: &mut fastrand::Rng) {
        let names = version(rng.u32(0..VERSIONS));
        if names.iter().any(|path| tree.contains_key(path)) {
            return;
        }
        for path in names {
            self.write(tree, path, rng);
        }
    }

    /// Other bytes in some files.
    fn touch(&mut self, tree: &mut Tree, times: usize, rng: &mut fastrand::Rng) {
        for _ in 0..times {
            let at = rng.usize(0..tree.len());
            let path = tree.keys().nth(at).unwrap().clone();
            self.write(tree, path, rng);
        }
    }

    fn edit(
        &mut self,
        tree: &mut Tree,
        rng: &mut fastrand::Rng,
        edit: impl Fn(&str, &mut fastrand::Rng) -> Option<String>,
    ) {
        for _ in 0..3 {
            let at = rng.usize(0..tree.len());
            let (path, text) = tree.iter().nth(at).unwrap();
            let (path, text) = (path.clone(), edit(text, rng));
            if let Some(text) = text.filter(|text| self.may(&path, Some(text))) {
                tree.insert(path, text);
            }
        }
    }

    fn add(&mut self, tree: &mut Tree, rng: &mut fastrand::Rng) {
        self.touch(tree, 4, rng);
        let most = if tree.len() < USUAL { 8 } else { 2 };
        for _ in 0..rng.usize(1..=most) {
            let path = page(rng.u32(0..PAGES));
            if !tree.contains_key(&path) {
                self.write(tree, path, rng);
            }
            if tree.len() < USUAL {
                self.new_chunk(tree, rng);
            }
        }
        if rng.bool() {
            self.new_version(tree, rng);
        }
    }

    fn remove(&mut self, tree: &mut Tree, rng: &mut fastrand::Rng) {
        let chunks = self.remove_chunks(tree, 3);
        for _ in 0..chunks {
            self.new_chunk(tree, rng);
        }
        let gone = version(rng.u32(0..VERSIONS));
        if gone.iter().all(|path| self.may(path, None)) {
            tree.retain(|path, _| !gone.contains(path));
        }
        let keep = tree.len().saturating_sub(rng.usize(1..4)).max(self.floor());
        self.thin(tree, keep.max(20), rng);
    }

    /// Takes away files until so many are left. Pages of directories stay, since a directory may.
    fn thin(&mut self, tree: &mut Tree, keep: usize, rng: &mut fastrand::Rng) {
        let mut may: Vec<String> = tree
            .keys()
            .filter(|path| !path.ends_with("index.html") && !path.starts_with('v'))
            .filter(|path| self.may(path, None))
            .cloned()
            .collect();
        rng.shuffle(&mut may);
        for path in may {
            if tree.len() <= keep {
                break;
            }
            tree.remove(&path);
        }
    }
}

/// The files of a directory that comes and goes.
fn version(number: u32) -> Vec<String> {
    ["index.html", "style.css", "deep/er/index.html"]
        .map(|name| format!("v{number}/{name}"))
        .to_vec()
}

/// The paths that are not the same in both.
pub(super) fn differing(one: &Tree, other: &Tree) -> Vec<String> {
    let paths: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    paths
        .into_iter()
        .filter(|path| one.get(*path) != other.get(*path))
        .cloned()
        .collect()
}

pub(super) fn write(root: &Path, tree: &Tree) {
    for (path, text) in tree {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// What is there, by a walk of its own.
pub(super) fn read(root: &Path) -> Tree {
    fn walk(root: &Path, below: &str, tree: &mut Tree) {
        for entry in fs::read_dir(root.join(below)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = if below.is_empty() {
                name
            } else {
                format!("{below}/{name}")
            };
            if root.join(&path).is_dir() {
                walk(root, &path, tree);
            } else {
                let bytes = fs::read(root.join(&path)).unwrap();
                tree.insert(path, String::from_utf8(bytes).unwrap());
            }
        }
    }
    let mut tree = Tree::new();
    walk(root, "", &mut tree);
    tree
}
