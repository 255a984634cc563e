//! `[[pipeline.origin]]`: a directory or a bucket that a pipeline serves, and how its changes are noticed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::origin::{Compare, FollowSymlinks, WatchMode};
use ignore::gitignore::GitignoreBuilder;
use toml::de::DeValue;

use super::bucket;
use super::glob::may_match;
use super::keys::table;
use super::model::{ApiUrl, Group, Percent};
use super::problem::printable;
use super::range::{DAY, HOUR, MINUTE, SECOND};
use super::reader::Reader;
use super::section::{Given, Held, Section};
use super::shape::Shape;
use super::syntax::{Syntax, list, scalar, time};
use super::unique::Unique;
use super::value::{Complaint, complain, group, line, path, percent, text, words};

/// A filesystem that does not answer within this hangs.
const PATIENCE: Duration = Duration::from_secs(2);

/// The keys of which an origin has just one.
pub(super) const ONE_OF: [&str; 2] = ["root", "bucket"];

table! {
    /// Zero or more: the directories and buckets that the pipeline serves.
    "[[pipeline.origin]]" => Origin, OriginKeys {
        /// Its name, unique in the pipeline. What is remembered belongs to this name, not to the root.
        /// Left out: `url_prefix`.
        name: String = own(read_name), line();
        /// The directory, absolute. It may be, or lie behind, a symlink that a deploy swaps; it may not
        /// exist now. An origin has a root or a bucket.
        root: PathBuf = optional(), path();
        /// The bucket of Object Storage, which is listed to find its changes. An origin has a root or a bucket.
        bucket: String = optional(), bucket::name();
        /// The region that the bucket is in; a bucket needs it.
        region: String = optional(), bucket::region();
        /// What the keys begin with that are served: empty, or something that ends with `/`.
        prefix: String = default(String::new()), bucket::prefix();
        /// Time between two listings of a bucket; what asks for a scan has it listed at once.
        poll: Duration = default(5 * MINUTE), time(SECOND..=DAY);
        /// The server of a bucket; `sandbox` is the embedded simulator, where that is the API too. Left out: that
        /// of Scaleway in the region.
        endpoint: ApiUrl = optional(), bucket::endpoint();
        /// The file that holds the access key of a bucket, where that is another than the one of the API.
        access_key_file: PathBuf = optional(), path();
        /// The file that holds the secret key of a bucket, where that is another than the one of the API.
        secret_key_file: PathBuf = optional(), path();
        /// What its paths begin with as assets; begins and ends with `/`.
        url_prefix: String = default(String::from("/")), url_prefix();
        /// What is compared to find a change of a file: its content (a hash), or metadata (size, times, inode).
        compare: Compare = default(Compare::Content), words();
        /// How changes are noticed: auto (by file events where the file system has them, else by polling),
        /// poll, or off (by scans and webhooks only).
        watch: WatchMode = default(WatchMode::Auto), words();
        /// Time between two background scans, which find the changes that caused no event.
        rescan: Duration = default(HOUR), time(SECOND..=30 * DAY);
        /// A file that is being written is looked at when it is complete, or after this.
        write_wait: Duration = default(MINUTE), time(Duration::ZERO..=HOUR);
        /// How long a file must be absent to count as gone.
        gone_after: Duration = default(2 * SECOND), time(Duration::ZERO..=HOUR);
        /// More than this part of the files (and 20) lost within a minute is an alarm, and purges nothing.
        max_loss: Percent = default(Percent::HALF), percent();
        /// Which symlinks are followed: any, those with targets below the root, or no.
        follow_symlinks: FollowSymlinks = default(FollowSymlinks::Any), words();
        /// The group that the web server runs as, by name or number: what it may read counts, beside what
        /// others may. Left out: only what others may.
        web_group: Group = optional(), group();
        /// What is no part of the site, in gitignore syntax; added to the built-in list, which a pattern with
        /// `!` takes back.
        ignore: Vec<String> = own(read_ignore, Vec::new()), ignored(None);
    }
}

fn url_prefix() -> Syntax<String> {
    let shape = Shape::pattern("a path that begins and ends with `/`", "^/([^?#\\\\]*/)?$");
    line().checked(shape, |prefix| check_prefix(prefix))
}

/// The name; by default the prefix.
fn read_name(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    key: &'static str,
) -> Held<String> {
    let prefix = Reader::peek(section, "url_prefix", &url_prefix()).value;
    let prefix = prefix.unwrap_or_else(|| "/".to_owned());
    reader.setting(section, key, prefix, &line())
}

/// The patterns, for what is below the root.
fn read_ignore(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    key: &'static str,
) -> Held<Vec<String>> {
    let root = Reader::peek(section, "root", &path()).value;
    reader.setting(section, key, Vec::new(), &ignored(root))
}

fn ignored(root: Option<PathBuf>) -> Syntax<Vec<String>> {
    list(
        "write a list of patterns, such as [\"*.tmp\", \".git/\"]",
        scalar(
            Shape::text("a pattern"),
            move |raw| read_pattern(raw, root.as_deref()),
            String::clone,
        ),
    )
}

/// Reads the origins of a pipeline; `sandbox`: whether the API is the sandbox.
pub(super) fn read_all(
    reader: &mut Reader<'_>,
    pipeline: &mut Section<'_>,
    state: &Path,
    sandbox: bool,
) -> Vec<Origin> {
    let mut names = Unique::default();
    reader
        .tables(pipeline, "origin")
        .into_iter()
        .map(|section| read(reader, section, state, sandbox, &mut names))
        .collect()
}

fn read(
    reader: &mut Reader<'_>,
    mut section: Section<'_>,
    state: &Path,
    sandbox: bool,
    names: &mut Unique,
) -> Origin {
    let mut keys = OriginKeys::read(reader, &mut section);
    refuse_state(reader, &section, &mut keys.root, state);
    warn_of_root(reader, &section, &keys.root);
    bucket::check(reader, &section, keys.endpoint.value.as_ref(), sandbox);
    if !keys.url_prefix.refused || keys.name.span.is_some() {
        check_name(reader, &section, &keys.name, names);
    }
    reader.end(&section);
    keys.complete()
}

/// Refuses a root in which the daemon writes: what it writes would be a change, which it writes down,
/// without end.
fn refuse_state(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    root: &mut Given<PathBuf>,
    state: &Path,
) {
    if let (Some(path), Some(span)) = (&root.value, &root.span)
        && state.starts_with(path)
    {
        let complaint = Complaint {
            why: format!("holds the state directory, {}", state.display()),
            hint: "move state.directory out of what is served".to_owned(),
        };
        reader.report(&section.key("root"), span, &complaint);
        root.value = None;
    }
}

/// Says where there is no root now: there may be one later.
fn warn_of_root(reader: &mut Reader<'_>, section: &Section<'_>, root: &Given<PathBuf>) {
    if let (Some(path), Some(span)) = (&root.value, &root.span) {
        let (problem, hint) = match is_directory(path) {
            Some(true) => (None, ""),
            Some(false) => (
                Some("is not a directory that can be seen now; nothing is purged until it is"),
                "create it, or correct the path",
            ),
            None => (
                Some("does not answer now; nothing there is noticed until it does"),
                "where it is a network mount, see to its server",
            ),
        };
        if let Some(problem) = problem {
            reader.warn(&section.key("root"), span, problem, hint);
        }
    }
}

/// Reports a name that another origin of the pipeline has; it may have it from its prefix.
fn check_name(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    name: &Held<String>,
    names: &mut Unique,
) {
    let key = section.key("name");
    match &name.span {
        _ if name.refused => {}
        Some(span) => names.add(reader, &key, &name.value, span),
        None => {
            let header = section.span().clone();
            if let Some(line) = names.taken(reader, &name.value, &header) {
                let why = format!(
                    "is missing, and the default, url_prefix, is the name of the origin in line {line}"
                );
                reader.report_key(&key, &header, &why, "give each origin a name of its own");
            }
        }
    }
}

fn check_prefix(prefix: &str) -> Result<(), Complaint> {
    const HINT: &str =
        "write the path that the files are served below, such as \"/\" or \"/static/\"";
    if !prefix.starts_with('/') || !prefix.ends_with('/') {
        return complain("does not begin and end with /", HINT);
    }
    if prefix.contains(['?', '#', '\\']) {
        return complain("holds a character that no path of a URL has", HINT);
    }
    if prefix.split('/').any(|part| part == "." || part == "..") || prefix.contains("//") {
        return complain("is not in its shortest form", HINT);
    }
    Ok(())
}

/// Whether there is a directory; `None` where the file system does not answer, as a network mount whose
/// server is away. A thread of its own asks, since reading a configuration must not hang.
fn is_directory(path: &Path) -> Option<bool> {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let path = path.to_owned();
    let asking = std::thread::Builder::new().name("look at a root".to_owned());
    // Who asked may have given up.
    let started = asking.spawn(move || tell.send(path.is_dir()).unwrap_or_default());
    started.ok().and_then(|_| told.recv_timeout(PATIENCE).ok())
}

/// Reads a pattern of `ignore`, for what is below `root`.
fn read_pattern(value: &DeValue<'_>, root: Option<&Path>) -> Result<String, Complaint> {
    let pattern = text(value, "write the pattern in quotes")?;
    if pattern.trim().is_empty() || pattern.starts_with('#') {
        return complain(
            "ignores nothing",
            "remove it; a # at the front is written \\#",
        );
    }
    let bare = pattern.strip_prefix('!').unwrap_or(pattern).trim_end();
    let inside = root.and_then(|root| Path::new(bare).strip_prefix(root).ok());
    if let Some(inside) = inside
        && bare.starts_with('/')
        && root != Some(Path::new("/"))
    {
        let inside = printable(&inside.display().to_string());
        return complain(
            "begins with the root, and patterns are about what is below it: it ignores nothing",
            format!("write \"/{inside}\""),
        );
    }
    may_match(bare)?;
    let mut builder = GitignoreBuilder::new("/");
    builder.allow_unclosed_class(false);
    let built = builder.add_line(None, pattern).and_then(|b| b.build());
    if let Err(error) = built {
        return complain(
            format!("is not a pattern in gitignore syntax: {}", reason(&error)),
            "close what is open, write ranges as [a-z], and a [, { or \\ that is meant as \\[, \\{ or \\\\",
        );
    }
    Ok(pattern.to_owned())
}

/// What is wrong with a pattern. The problem itself already shows the pattern.
fn reason(error: &ignore::Error) -> String {
    match error {
        ignore::Error::Glob { err, .. } => err.clone(),
        other => other.to_string(),
    }
}
