//! An explanation as people read it.

use std::fmt::Write as _;
use std::path::Path;

use super::Subject;
use crate::admin::api::AssetExplained;
use crate::explain::{AssetFiles, FileExplained, Verdict, absent};
use crate::store::{AssetPurge, Cause};

pub(super) fn subject(subject: &Subject, config: &Path) -> String {
    let mut text = String::new();
    for file in &subject.files {
        of_file(&mut text, file, config).unwrap_or_default();
    }
    let (known, unknown): (Vec<_>, Vec<_>) =
        { subject.assets.iter() }.partition(|one| one.is_known());
    for asset in known {
        of_asset(&mut text, asset, config).unwrap_or_default();
    }
    match unknown.as_slice() {
        [first, _, ..] if subject.files.is_empty() => {
            let names: Vec<&str> = unknown.iter().map(|one| one.pipeline.as_str()).collect();
            let (asset, names) = (&first.asset, names.join(", "));
            let said = "stands for no file that is indexed, and has no purge in the history, of";
            writeln!(text, "{asset} {said} {names}").unwrap_or_default();
            for other in unknown.iter().filter_map(|one| one.other_host.as_ref()) {
                writeln!(text, "  {other}").unwrap_or_default();
            }
        }
        few => {
            for one in few {
                of_asset(&mut text, one, config).unwrap_or_default();
            }
        }
    }
    text
}

fn of_file(text: &mut String, file: &FileExplained, config: &Path) -> std::fmt::Result {
    // A name can hold anything, also what a terminal would obey.
    let path = file.path.escape_debug();
    let (origin, pipeline) = (&file.origin, &file.pipeline);
    match &file.bucket {
        Some(bucket) => writeln!(
            text,
            "{path}: an object of {pipeline}, origin {origin}, bucket {bucket}"
        )?,
        None => writeln!(text, "{path}: a file of {pipeline}, origin {origin}")?,
    }
    if let Some(why) = &file.refused {
        let said = "left out, since browsers and servers do not agree on its URL";
        return writeln!(text, "  {said}: {why}");
    }
    if let Some(by) = &file.ignored_by {
        let list = match (by.built_in, by.line) {
            (true, _) => "the built-in list".to_owned(),
            (false, None) => "ignore".to_owned(),
            (false, Some(line)) => format!("ignore, {}:{line}", config.display()),
        };
        let (pattern, matched) = (by.pattern.escape_debug(), by.matched.escape_debug());
        return writeln!(
            text,
            "  ignored: nothing is purged for it, since {pattern} ({list}) matches {matched}"
        );
    }
    if let Some(link) = &file.not_followed {
        let link = link.escape_debug();
        return writeln!(
            text,
            "  behind the link {link}, which is not followed, since links lead there in too many ways, or round and round: nothing is purged for this name"
        );
    }
    match &file.absent {
        Some(since) => writeln!(text, "  {}", absent(since, file.bucket.is_some()))?,
        None if !file.exists => writeln!(text, "  there is no such {} now", file.noun())?,
        None => {}
    }
    if file.unread {
        writeln!(
            text,
            "  its {} not read yet: until then every sign of a write is a change",
            file.unread_noun()
        )?;
    }
    if !file.diverged.is_empty() {
        let said = file.diverged.join(", ");
        writeln!(
            text,
            "  diverged: {said}; each change of it is purged, and not waited for"
        )?;
    }
    let mut shown: Vec<&Verdict> = Vec::new();
    for verdict in file.on.values() {
        if shown.contains(&verdict) {
            continue;
        }
        shown.push(verdict);
        let kinds = file.on.iter().filter(|(_, other)| *other == verdict);
        let kinds: Vec<&str> = kinds.map(|(kind, _)| kind.as_str()).collect();
        writeln!(
            text,
            "  {}: {}",
            kinds.join(", "),
            of_verdict(verdict, config)
        )?;
        for refused in &verdict.refused {
            writeln!(
                text,
                "    left out, since no request can name it: {refused}"
            )?;
        }
    }
    Ok(())
}

fn of_verdict(verdict: &Verdict, config: &Path) -> String {
    let purges = match verdict.assets.as_slice() {
        _ if verdict.all => "everything".to_owned(),
        [] => "nothing".to_owned(),
        assets => assets.join(", "),
    };
    match (verdict.rule, &verdict.pattern) {
        (Some(rule), Some(pattern)) => {
            let place = verdict
                .line
                .map_or_else(String::new, |line| format!(", {}:{line}", config.display()));
            format!("rule {rule} ({pattern}{place}) purges {purges}")
        }
        _ => format!("the built-in mapping purges {purges}"),
    }
}

/// What a sender or a name brought, without what a terminal would obey.
fn shown(text: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(plain).collect()
}

fn of_asset(text: &mut String, explained: &AssetExplained, config: &Path) -> std::fmt::Result {
    writeln!(text, "{} of {}", explained.asset, explained.pipeline)?;
    if let Some(other) = &explained.other_host {
        writeln!(text, "  {other}")?;
    }
    if let Some(files) = &explained.stands_for {
        of_files(text, files, config)?;
    }
    let history = explained.history.iter();
    for waiting in history.clone().flat_map(|history| &history.waiting) {
        writeln!(text, "  {}: {}", waiting.stage, of_cause(waiting))?;
    }
    if !explained.not_yet_on.is_empty() {
        writeln!(text, "  not yet on {}", explained.not_yet_on.join(", "))?;
    }
    let mut purges = history.flat_map(|history| &history.purges).peekable();
    if purges.peek().is_none() {
        writeln!(text, "  no purge of it is in the history")?;
    }
    for purge in purges {
        writeln!(text, "  {}", of_purge(purge))?;
    }
    Ok(())
}

fn of_files(text: &mut String, stands_for: &AssetFiles, config: &Path) -> std::fmt::Result {
    for (origin, path) in &stands_for.files {
        let shown = path.escape_debug();
        writeln!(text, "  stands for {shown}, origin {origin}")?;
        if let Some(since) = stands_for.absent.get(path) {
            let bucket = stands_for.buckets.contains(origin);
            writeln!(text, "    {}", absent(since, bucket))?;
        }
    }
    if let Some(canonical) = &stands_for.purged_as {
        writeln!(
            text,
            "  is another spelling of {canonical}: changes purge that and not this"
        )?;
    }
    if stands_for.truncated {
        writeln!(text, "  and for more files")?;
    }
    for ruled in &stands_for.ruled {
        let (path, origin) = (ruled.path.escape_debug(), &ruled.origin);
        let verdict = of_verdict(&ruled.verdict, config);
        writeln!(text, "  {path}, origin {origin}, answers there: {verdict}")?;
    }
    if stands_for.files.is_empty() && stands_for.ruled.is_empty() {
        writeln!(text, "  stands for no file that is indexed")?;
    }
    for origin in &stands_for.unindexed {
        writeln!(text, "  origin {origin} is not indexed yet")?;
    }
    Ok(())
}

fn of_purge(purge: &AssetPurge) -> String {
    let request = &purge.request;
    let mut line = format!(
        "{} {}: request {}",
        request.created_at, request.status, request.id
    );
    let mut more = |text: &str| line.push_str(text);
    if let Some(remote) = &request.remote_id {
        more(&format!(" ({remote})"));
    }
    if let Some(reason) = &request.reason {
        more(&format!(" of everything ({reason})"));
    }
    if let Some(settled) = request.settled_at {
        more(&format!(", settled {settled}"));
    }
    let attempt = request.attempt + 1;
    if attempt > 1 {
        more(&format!(", attempt {attempt}"));
    }
    if !request.why.is_empty() {
        more(&format!(", {}", request.why));
    }
    if let Some(seen) = &purge.verified {
        let why = match seen.why.as_str() {
            "" => String::new(),
            why => format!(" ({})", shown(why)),
        };
        let verdict = seen.verdict.as_str();
        more(&format!(", {verdict} at the edge {}{why}", seen.at));
    }
    if let Some(cause) = &purge.cause {
        more(&format!("; {}", of_cause(cause)));
    }
    line
}

/// Why it was to be purged: a file, a delivery, an operator.
fn of_cause(cause: &Cause) -> String {
    let source = match cause.detail.as_str() {
        "" => cause.source.as_str().to_owned(),
        why => format!("{}, {}", cause.source.as_str(), shown(why)),
    };
    let what = match &cause.file {
        Some((_, path)) => format!("{} {} ({source})", path.escape_debug(), cause.kind.as_str()),
        None => source,
    };
    let delivery = match &cause.delivery {
        Some((route, event)) => format!(", delivery {} at {route}", shown(event)),
        None => String::new(),
    };
    format!("{what}{delivery}, noticed {}", cause.seen)
}
