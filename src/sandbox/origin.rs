//! The origin behind an edge: directories, served as a plain web server does.
//!
//! `/` is `index.html`, `/a/` is `a/index.html`, `/a` with a directory `a` is a redirect to `/a/`;
//! there are no listings, and no compressed forms. No request path leads out of a root: each segment is decoded on its own and refused if it is
//! `.`, `..`, empty, or holds a slash or a NUL. Symlinks that the owner of the files made are
//! followed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use rustix::fs::{Mode, OFlags};

/// Larger files are passed through, and not cached.
pub(super) const MAX_CACHED: u64 = 8 * 1024 * 1024;

/// A directory, and the URL path below which it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The URL path, such as `/` or `/docs/`.
    pub url_prefix: String,
    /// The directory; it is looked up at every request, so it may be a symlink that a deploy swaps.
    pub root: PathBuf,
}

/// A web server behind an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebServer {
    /// What it serves.
    pub mounts: Vec<Mount>,
    /// Which files it can read; the others are a 403.
    pub reads: Reads,
}

/// Which files a web server can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Those that this process can read.
    Own,
    /// Those that others can read, from the root on: the web server of another user.
    Public,
}

/// An answer of the origin, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) status: u16,
    /// Its headers, but for those below.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) location: Option<String>,
    pub(super) etag: Option<String>,
    pub(super) body: Bytes,
}

impl Page {
    pub(super) fn text(status: u16, text: &'static str) -> Self {
        Self {
            status,
            headers: vec![of_type("text/plain; charset=utf-8")],
            location: None,
            etag: None,
            body: Bytes::from_static(text.as_bytes()),
        }
    }
}

/// What the origin answered.
#[derive(Debug)]
pub(super) enum Fetched {
    /// Something to keep: a page, and a 301, 403 or 404 too.
    Page(Page),
    /// A file too large to keep.
    Large {
        content_type: &'static str,
        file: File,
        bytes: u64,
    },
    /// The origin is in trouble.
    Broken,
}

/// Fetches a path, with the query of a redirect behind it. It reads files: not for an async thread.
pub(super) fn fetch(server: &WebServer, path: &str, query: Option<&str>) -> Fetched {
    let not_found = || Fetched::Page(Page::text(404, "Not Found\n"));
    let Some(wanted) = segments(path).and_then(|segments| locate(&server.mounts, &segments)) else {
        return not_found();
    };
    match open(&wanted, server.reads) {
        Ok(Opened::File(file, bytes)) => read(file, bytes, &wanted.file).unwrap_or(Fetched::Broken),
        Ok(Opened::Directory) => {
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            Fetched::Page(Page {
                location: Some(format!("{path}/{query}")),
                ..Page::text(301, "Moved Permanently\n")
            })
        }
        Ok(Opened::Other) => not_found(),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => not_found(),
            io::ErrorKind::PermissionDenied => Fetched::Page(Page::text(403, "Forbidden\n")),
            _ if is_nonsense(&error) => not_found(),
            _ => Fetched::Broken,
        },
    }
}

/// Names that no file can have, and links that lead nowhere.
fn is_nonsense(error: &io::Error) -> bool {
    let code = rustix::io::Errno::from_io_error(error);
    matches!(
        code,
        Some(rustix::io::Errno::NAMETOOLONG | rustix::io::Errno::LOOP)
    )
}

/// The decoded segments of an absolute path; the last is empty after a slash at the end.
fn segments(path: &str) -> Option<Vec<Vec<u8>>> {
    let raw: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let last = raw.len() - 1;
    raw.into_iter()
        .enumerate()
        .map(|(at, raw)| {
            let segment: Vec<u8> = percent_decode_str(raw).collect();
            let named = !segment.is_empty() || at == last;
            let plain = !segment.contains(&b'/') && !segment.contains(&0);
            (named && plain && segment != b"." && segment != b"..").then_some(segment)
        })
        .collect()
}

/// A file to be served, or a directory to be redirected to.
#[derive(Debug, PartialEq, Eq)]
struct Wanted<'a> {
    root: &'a Path,
    file: PathBuf,
    /// Whether the path named a directory, with a slash at its end.
    index: bool,
}

fn locate<'a>(mounts: &'a [Mount], segments: &[Vec<u8>]) -> Option<Wanted<'a>> {
    let (mount, depth) = mounts
        .iter()
        .filter_map(|mount| {
            let prefix: Vec<&str> = mount
                .url_prefix
                .split('/')
                .filter(|part| !part.is_empty())
                .collect();
            let below = segments.len() >= prefix.len()
                && prefix
                    .iter()
                    .zip(segments)
                    .all(|(part, segment)| part.as_bytes() == segment);
            below.then_some((mount, prefix.len()))
        })
        .max_by_key(|(_, depth)| *depth)?;
    let mut file = mount.root.clone();
    let mut index = false;
    for segment in segments.iter().skip(depth) {
        if segment.is_empty() {
            file.push("index.html");
            index = true;
        } else {
            file.push(OsStr::from_bytes(segment));
        }
    }
    Some(Wanted {
        root: &mount.root,
        file,
        index,
    })
}

enum Opened {
    File(File, u64),
    Directory,
    Other,
}

fn open(wanted: &Wanted<'_>, reads: Reads) -> io::Result<Opened> {
    let denied = || Err(io::ErrorKind::PermissionDenied.into());
    if reads == Reads::Public && closed_above(wanted) {
        return denied();
    }
    // Without waiting: a pipe in the directory must not hold the edge.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(&wanted.file, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if reads == Reads::Public && metadata.is_file() && metadata.mode() & 0o004 == 0 {
        return denied();
    }
    Ok(if metadata.is_file() {
        Opened::File(file, metadata.len())
    } else if metadata.is_dir() && !wanted.index {
        Opened::Directory
    } else {
        Opened::Other
    })
}

/// Whether a directory on the way, from the root on, may not be entered by others.
fn closed_above(wanted: &Wanted<'_>) -> bool {
    wanted
        .file
        .ancestors()
        .skip(1)
        .take_while(|directory| directory.starts_with(wanted.root))
        .filter_map(|directory| directory.metadata().ok())
        .any(|found| found.is_dir() && found.mode() & 0o001 == 0)
}

fn read(file: File, bytes: u64, path: &Path) -> io::Result<Fetched> {
    let content_type = content_type(path);
    if bytes > MAX_CACHED {
        return Ok(Fetched::Large {
            content_type,
            file,
            bytes,
        });
    }
    let mut body = Vec::new();
    file.take(MAX_CACHED + 1).read_to_end(&mut body)?;
    if body.len() as u64 > MAX_CACHED {
        // It grows while it is read; the next request sees how large it is.
        return Ok(Fetched::Broken);
    }
    Ok(Fetched::Page(Page {
        status: 200,
        headers: vec![of_type(content_type)],
        location: None,
        etag: Some(format!("\"{}\"", &blake3::hash(&body).to_hex()[..16])),
        body: body.into(),
    }))
}

fn of_type(content_type: &'static str) -> (HeaderName, HeaderValue) {
    (CONTENT_TYPE, HeaderValue::from_static(content_type))
}

/// The content type of a name.
pub(super) fn content_type(path: &Path) -> &'static str {
    let extension = path
        .extension()
        .and_then(OsStr::to_str)
        .unwrap_or_default()
        .to_ascii_lowercase();
    match extension.as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "xhtml" => "application/xhtml+xml",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "xml" => "application/xml",
        "txt" | "md" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "pdf" => "application/pdf",
        "mp4" => "video/mp4",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn site() -> (tempfile::TempDir, Vec<Mount>) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("site");
        fs::create_dir_all(root.join("a b")).unwrap();
        fs::write(root.join("index.html"), "home").unwrap();
        fs::write(root.join("a b/index.html"), "a b").unwrap();
        fs::write(root.join("ü.txt"), "umlaut").unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        let docs = dir.path().join("docs");
        fs::create_dir(&docs).unwrap();
        fs::write(docs.join("index.html"), "docs").unwrap();
        let mounts = vec![
            Mount {
                url_prefix: "/".to_owned(),
                root,
            },
            Mount {
                url_prefix: "/docs/".to_owned(),
                root: docs,
            },
        ];
        (dir, mounts)
    }

    fn get(mounts: &[Mount], path: &str) -> (u16, String) {
        get_as(Reads::Own, mounts, path)
    }

    fn get_as(reads: Reads, mounts: &[Mount], path: &str) -> (u16, String) {
        let mounts = mounts.to_vec();
        match fetch(&WebServer { mounts, reads }, path, Some("q")) {
            Fetched::Page(page) => {
                let text = page
                    .location
                    .unwrap_or_else(|| String::from_utf8_lossy(&page.body).into_owned());
                (page.status, text)
            }
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn paths_lead_to_files_as_on_any_web_server() {
        let (_dir, mounts) = site();
        for (path, status, text) in [
            ("/", 200, "home"),
            ("/index.html", 200, "home"),
            ("/a%20b/", 200, "a b"),
            ("/a%20b", 301, "/a%20b/?q"),
            ("/%C3%BC.txt", 200, "umlaut"),
            ("/docs/", 200, "docs"),
            ("/docs", 301, "/docs/?q"),
            ("/index.html/", 404, "Not Found\n"),
            ("/nowhere", 404, "Not Found\n"),
            ("//", 404, "Not Found\n"),
        ] {
            assert_eq!(get(&mounts, path), (status, text.to_owned()), "{path}");
        }
        let long = format!("/{}", "x".repeat(5_000));
        assert_eq!(get(&mounts, &long).0, 404);
    }

    #[test]
    fn no_path_leads_out_of_the_root() {
        let (_dir, mounts) = site();
        for path in [
            "/../secret",
            "/%2e%2e/secret",
            "/..%2fsecret",
            "/%2e%2e%2fsecret",
            "/a%20b/../../secret",
            "/./../secret",
            "//secret",
            "/docs/../secret",
            "/%00",
            "secret",
            "",
        ] {
            assert_eq!(get(&mounts, path).0, 404, "{path}");
        }
    }

    #[test]
    fn the_server_of_another_user_reads_only_what_everybody_can() {
        use std::os::unix::fs::PermissionsExt as _;
        let (dir, mounts) = site();
        let mode = |name: &str, mode: u32| {
            let path = dir.path().join(name);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let status = |path: &str| get_as(Reads::Public, &mounts, path).0;
        mode("site", 0o755);
        mode("site/a b", 0o755);
        mode("site/index.html", 0o644);
        mode("site/a b/index.html", 0o640);
        assert_eq!((status("/"), status("/a%20b/")), (200, 403));
        assert_eq!((status("/a%20b"), status("/nowhere")), (301, 404));
        mode("site/a b/index.html", 0o644);
        mode("site/a b", 0o754);
        assert_eq!((status("/"), status("/a%20b/")), (200, 403));
        mode("site", 0o750);
        assert_eq!((status("/"), status("/nowhere")), (403, 403));
    }

    #[test]
    fn a_pipe_in_the_directory_does_not_hold_the_edge() {
        let (dir, mounts) = site();
        let pipe = dir.path().join("site/pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        assert_eq!(get(&mounts, "/pipe").0, 404);
    }

    proptest! {
        #[test]
        fn no_segment_climbs_or_splits(path in "/([a-z./%0-9A-F]{0,40})") {
            for segment in segments(&path).unwrap_or_default() {
                prop_assert!(segment != b".." && segment != b".");
                prop_assert!(!segment.contains(&b'/') && !segment.contains(&0));
            }
        }
    }
}
