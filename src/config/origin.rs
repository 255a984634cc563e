//! Reads `[[pipeline.origin]]`: a directory that a pipeline serves, and how it is watched.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ignore::gitignore::GitignoreBuilder;
use toml::de::DeValue;

use super::defaults;
use super::glob::may_match;
use super::model::{Compare, FollowSymlinks, Origin, WatchMode};
use super::problem::printable;
use super::range::{self, DAY, HOUR, SECOND};
use super::reader::Reader;
use super::section::{Given, Held, Section};
use super::unique::Unique;
use super::value::{Complaint, Value as _, complain, text};

/// A filesystem that does not answer within this hangs.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads the origins of a pipeline.
pub(super) fn read_all(
    reader: &mut Reader<'_>,
    pipeline: &mut Section<'_>,
    state: &Path,
) -> Vec<Origin> {
    let mut names = Unique::default();
    reader
        .tables(pipeline, "origin")
        .into_iter()
        .filter_map(|section| read(reader, section, state, &mut names))
        .collect()
}

fn read(
    reader: &mut Reader<'_>,
    mut section: Section<'_>,
    state: &Path,
    names: &mut Unique,
) -> Option<Origin> {
    let given = reader.given(&mut section, "name", String::read);
    let at_name = reader.reserve();
    let root = reader.required::<PathBuf>(
        &mut section,
        "root",
        "name the directory that the pipeline serves, such as root = \"/srv/www\"",
        |root| {
            if state.starts_with(root) {
                // What the daemon writes would be a change, which it writes down, without end.
                return complain(
                    format!("holds the state directory, {}", state.display()),
                    "move state.directory out of what is served",
                );
            }
            Ok(())
        },
    );
    warn_of_root(reader, &section, &root);
    let url_prefix = reader.setting(
        &mut section,
        "url_prefix",
        defaults::URL_PREFIX.to_owned(),
        |prefix| check_prefix(prefix),
    );
    // The name goes first in the list of settings, and its default is known only now.
    let name = reader.held(given, url_prefix.value.clone());
    reader.record_at(
        at_name,
        &section,
        "name",
        Some(name.value.written()),
        name.span.as_ref(),
    );
    if !url_prefix.refused || name.span.is_some() {
        check_name(reader, &section, &name, names);
    }

    let compare = reader.setting(&mut section, "compare", Compare::default(), range::any);
    let watch = reader.setting(&mut section, "watch", WatchMode::default(), range::any);
    let rescan = reader.setting(
        &mut section,
        "rescan",
        defaults::RESCAN,
        range::time(SECOND..=30 * DAY),
    );
    let write_wait = reader.setting(
        &mut section,
        "write_wait",
        defaults::WRITE_WAIT,
        range::time(Duration::ZERO..=HOUR),
    );
    let gone_after = reader.setting(
        &mut section,
        "gone_after",
        defaults::GONE_AFTER,
        range::time(Duration::ZERO..=HOUR),
    );
    let max_loss = reader.setting(&mut section, "max_loss", defaults::MAX_LOSS, range::any);
    let follow_symlinks = reader.setting(
        &mut section,
        "follow_symlinks",
        FollowSymlinks::default(),
        range::any,
    );
    let web_group = reader.optional(&mut section, "web_group", range::any);
    let ignore = reader.list(
        &mut section,
        "ignore",
        "write a list of patterns, such as [\"*.tmp\", \".git/\"]",
        |raw| read_pattern(raw, root.value.as_deref()),
    );
    let from = reader.source(ignore.span.as_ref());
    let ignore = ignore.value.unwrap_or_default();
    reader.record(&section, "ignore", Some(ignore.clone().into()), from);
    reader.end(&section);
    Some(Origin {
        name: name.value,
        root: root.value?,
        url_prefix: url_prefix.value,
        compare: compare.value,
        watch: watch.value,
        rescan: rescan.value,
        write_wait: write_wait.value,
        gone_after: gone_after.value,
        max_loss: max_loss.value,
        follow_symlinks: follow_symlinks.value,
        web_group: web_group.value,
        ignore,
    })
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

/// Whether there is a directory; `None` where nobody answers, as on a network mount whose server is
/// away. Whoever reads a configuration must not hang for that, so a thread asks, which may.
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

/// What is wrong, without the pattern, which is told anyway.
fn reason(error: &ignore::Error) -> String {
    match error {
        ignore::Error::Glob { err, .. } => err.clone(),
        other => other.to_string(),
    }
}
