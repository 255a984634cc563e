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
