//! The small site that the demo makes.

use std::io;
use std::path::{Path, PathBuf};

const FILES: [(&str, &str); 6] = [
    (
        "index.html",
        "<!doctype html>\n<title>Demo</title>\n<link rel=stylesheet href=/style.css>\n<h1>Hello</h1>\n<p><a href=/blog/>Blog</a>\n",
    ),
    ("style.css", "h1 { color: darkgreen }\n"),
    (
        "blog/index.html",
        "<!doctype html>\n<title>Blog</title>\n<h1>Blog</h1>\n<p><a href=/blog/first.html>First</a>\n",
    ),
    (
        "blog/first.html",
        "<!doctype html>\n<title>First</title>\n<h1>First</h1>\n",
    ),
    ("robots.txt", "User-agent: *\nAllow: /\n"),
    ("data/prices.json", "{\"apple\": 3}\n"),
];

/// Makes the site below a directory, and returns its root.
pub(super) fn make(home: &Path) -> io::Result<PathBuf> {
    let root = home.join("site");
    for (name, content) in FILES {
        let path = root.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, content)?;
    }
    Ok(root)
}

/// Uploads every file below a directory; links are left out.
pub(super) fn upload(root: &Path, mut put: impl FnMut(&str, &[u8]) -> bool) -> io::Result<()> {
    each_file(root, |name, path| {
        let body = std::fs::read(path)?;
        if name.to_str().is_some_and(|key| put(key, &body)) {
            return Ok(());
        }
        let why = format!("the bucket does not take {}", path.display());
        Err(io::Error::other(why))
    })
}

/// Copies every file below a directory; links are left out.
pub(super) fn copy(root: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    each_file(root, |name, path| {
        let copy = to.join(name);
        if let Some(parent) = copy.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::copy(path, copy).map(drop)
    })
}

/// Hands over every file below a directory, with its name there.
fn each_file(root: &Path, mut take: impl FnMut(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory)? {
            let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
            if kind.is_dir() {
                directories.push(path);
            } else if kind.is_file() {
                take(path.strip_prefix(root).unwrap_or(&path), &path)?;
            }
        }
    }
    Ok(())
}
