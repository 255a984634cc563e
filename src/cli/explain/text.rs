//! An explanation as people read it.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::Subject;
use crate::explain::{FileExplained, Verdict};

pub(super) fn subject(subject: &Subject, config: &Path) -> String {
    let mut text = String::new();
    for file in &subject.files {
        of_file(&mut text, file, config).unwrap_or_default();
    }
    for asset in &subject.assets {
        of_asset(&mut text, asset).unwrap_or_default();
    }
    text
}

fn of_file(text: &mut String, file: &FileExplained, config: &Path) -> std::fmt::Result {
    // A name can hold anything, also what a terminal would obey.
    let path = file.path.escape_debug();
    let (origin, pipeline) = (&file.origin, &file.pipeline);
    writeln!(text, "{path}: a file of {pipeline}, origin {origin}")?;
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
        Some(since) => writeln!(text, "  {}", absent(since))?,
        None if !file.exists => writeln!(text, "  there is no such file now")?,
        None => {}
    }
    if file.unread {
        writeln!(
            text,
            "  its content is not read yet: until then every sign of a write is a change"
        )?;
    }
    let mut told: Vec<&Verdict> = Vec::new();
    for verdict in file.on.values() {
        if told.contains(&verdict) {
            continue;
        }
        told.push(verdict);
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

/// Why a file that is not there is not purged.
fn absent(since: &str) -> String {
    format!(
        "absent since {since}, and not purged: it counts as gone after gone_after, but for a sudden loss of many files (max_loss) or a filesystem that is not mounted any more, which are held back until the files are back or `edgepurge scan PIPELINE --apply --accept-loss`; `edgepurge status` says which"
    )
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

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// What a sender or a name brought, without what a terminal would obey.
fn shown(text: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(plain).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn of_asset(text: &mut String, asset: &Value) -> std::fmt::Result {
    writeln!(
        text,
        "{} of {}",
        word(&asset["asset"]),
        word(&asset["pipeline"])
    )?;
    let stands_for = &asset["stands_for"];
    for file in list(&stands_for["files"]) {
        let path = word(&file[1]).escape_debug();
        writeln!(text, "  stands for {path}, origin {}", word(&file[0]))?;
        if let Some(since) = stands_for["absent"][word(&file[1])].as_str() {
            writeln!(text, "    {}", absent(since))?;
        }
    }
    if let Some(canonical) = stands_for["purged_as"].as_str() {
        writeln!(
            text,
            "  is another spelling of {canonical}: changes purge that and not this"
        )?;
    }
    if stands_for["truncated"] == true {
        writeln!(text, "  and for more files")?;
    }
    if !stands_for.is_null() && list(&stands_for["files"]).next().is_none() {
        writeln!(text, "  stands for no file that is indexed")?;
    }
    for origin in list(&stands_for["unindexed"]) {
        writeln!(text, "  origin {} is not indexed yet", word(origin))?;
    }
    let history = &asset["history"];
    for waiting in list(&history["waiting"]) {
        writeln!(text, "  {}: {}", word(&waiting["stage"]), of_cause(waiting))?;
    }
    for purge in list(&history["purges"]) {
        writeln!(text, "  {}", of_purge(purge))?;
    }
    if list(&history["purges"]).next().is_none() {
        writeln!(text, "  no purge of it is in the history")?;
    }
    Ok(())
}

fn of_purge(purge: &Value) -> String {
    let request = &purge["request"];
    let mut line = format!(
        "{} {}: request {}",
        word(&request["created_at"]),
        word(&request["status"]),
        request["id"]
    );
    let mut more = |text: &str| line.push_str(text);
    if let Some(remote) = request["remote_id"].as_str() {
        more(&format!(" ({remote})"));
    }
    if let Some(reason) = request["reason"].as_str() {
        more(&format!(" of everything ({reason})"));
    }
    if let Some(settled) = request["settled_at"].as_str() {
        more(&format!(", settled {settled}"));
    }
    let attempt = request["attempt"].as_u64().unwrap_or(0) + 1;
    if attempt > 1 {
        more(&format!(", attempt {attempt}"));
    }
    if let Some(why) = request["why"].as_str().filter(|why| !why.is_empty()) {
        more(&format!(", {why}"));
    }
    let verified = &purge["verified"];
    if let (Some(verdict), Some(at)) = (verified["verdict"].as_str(), verified["at"].as_str()) {
        let why = verified["why"].as_str().filter(|why| !why.is_empty());
        let why = why.map_or_else(String::new, |why| format!(" ({})", shown(why)));
        more(&format!(", {verdict} at the edge {at}{why}"));
    }
    if !purge["cause"].is_null() {
        more(&format!("; {}", of_cause(&purge["cause"])));
    }
    line
}

/// Why it was to be purged: a file, a delivery, a person.
fn of_cause(cause: &Value) -> String {
    let (source, kind) = (word(&cause["source"]), word(&cause["kind"]));
    let detail = cause["detail"].as_str().filter(|text| !text.is_empty());
    let detail = detail.map(shown);
    let what = match (&cause["file"], source) {
        (Value::Array(file), _) => {
            let path = file.get(1).map_or("?", word).escape_debug();
            let how = detail.map_or_else(|| source.to_owned(), |why| format!("{source}, {why}"));
            format!("{path} {kind} ({how})")
        }
        (_, source) => detail.map_or_else(|| source.to_owned(), |why| format!("{source}, {why}")),
    };
    let delivery = match cause["delivery"].as_array().map(Vec::as_slice) {
        Some([route, event]) => {
            format!(", delivery {} at {}", shown(word(event)), word(route))
        }
        _ => String::new(),
    };
    format!("{what}{delivery}, noticed {}", word(&cause["seen"]))
}
