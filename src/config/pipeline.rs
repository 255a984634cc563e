//! `[[pipeline]]` with its origins and rules, and what must be unique among them.

use std::path::Path;
use std::time::Duration;

use uuid::Uuid;

use crate::core::change::PipelineId;
use crate::core::mapping::{Encoding, Pages, Rule};

use super::keys::table;
use super::model::{ApiUrl, Webhook};
use super::origin::{self, Origin};
use super::range::{DAY, HOUR, MINUTE, SECOND};
use super::reader::Reader;
use super::rule;
use super::scaleway::{self, Scaleway};
use super::section::{Held, Section};
use super::shape::Shape;
use super::syntax::{Syntax, parsed, time};
use super::unique::Unique;
use super::value::{Complaint, complain, line, number, words};
use super::verify::{self, Verify};
use super::webhook::{self, Around};
use super::webhook_listener::Webhooks;
use crate::webhook::Origins;

/// The largest `all_above`: past so many assets the queue of a pipeline is full anyway.
const QUEUE_CAP: u64 = 100_000;

/// The longest name, in characters: it is part of every metric's labels and many lines.
const NAME_LIMIT: usize = 64;

table! {
    /// One for each Edge Services pipeline.
    "[[pipeline]]" => Option<Pipeline>, PipelineKeys {
        /// Its name, unique: letters, digits, `.`, `_` and `-`.
        name: String = required("give the pipeline a name, such as name = \"www\""), name();
        /// Its id at Scaleway, unique; lower case with hyphens.
        id: PipelineId = required(
            "write the pipeline's id; the Scaleway console shows it, and `scw edge-services pipeline list`"
        ), uuid(PipelineId::new, |id| id.as_str().to_owned());
        /// The project that it has to belong to: a pipeline of another one is refused.
        project_id: String = optional(), uuid(str::to_owned, String::clone);
        /// Assets per purge request, at least 1; the console takes 5.
        max_assets: usize = default(5), number(1..=1000, "assets");
        /// A batch closes when no change came for this long.
        debounce: Duration = default(SECOND / 2), time(Duration::ZERO..=HOUR);
        /// A batch closes this long after its first change; not below `debounce`.
        max_wait: Duration = default(10 * SECOND), time(Duration::ZERO..=DAY);
        /// A batch of more assets becomes one `all`.
        all_above: Option<usize> = default(Some(2000)), assets().or_word("never");
        /// A backlog that would need longer than this to drain becomes one `all`.
        all_after: Option<Duration> = default(Some(5 * MINUTE)), time(MINUTE..=DAY).or_word("never");
        /// Time between two `all` requests; doubles up to 30m while they repeat, but for those that a webhook
        /// asks for. A person does not wait.
        all_cooldown: Duration = default(MINUTE), time(Duration::ZERO..=30 * MINUTE);
        /// Which URLs an HTML file answers at: exact (its own path), directory (`a/index.html` also at `/a/` and
        /// `/a`) or clean (`a/b.html` also at `/a/b` and `/a/b/`, `a/index.html` also at `/a/index`).
        pages: Pages = default(Pages::default()), words();
        /// How a file's path is spelled in assets: canonical (encoded as RFC 3986 says, in upper-case hex) or both
        /// (also as links to it are known to be spelled).
        encoding: Encoding = default(Encoding::default()), words();
        /// What was purged is purged once more so much later: for origins with caches of their own.
        repurge_after: Option<Duration> = default(None), time(SECOND..=DAY).or_word("off");
        /// An asset that changes all the time is purged at most this often; its last change always. Eight purges
        /// in a row are still usual.
        hot_interval: Option<Duration> = default(Some(10 * SECOND)), time(SECOND..=DAY).or_word("off");
        /// Of several nodes on one database: a batch waits this long, at most, until each that runs has the files.
        fleet_wait: Option<Duration> = default(Some(30 * SECOND)), time(SECOND..=HOUR).or_word("off");
    } and {
        /// How it is looked at through the edge, if it is.
        verify: Option<Verify>;
        /// The directories that it serves.
        origins: Vec<Origin>;
        /// The rules; the first that matches holds.
        rules: Vec<Rule>;
        /// The routes of its deploy webhooks; each path is there once in the whole configuration.
        webhooks: Vec<Webhook>;
    }
}

/// The id that examples have, which is no pipeline's at the vendor.
pub const EXAMPLE_ID: &str = "11111111-1111-4111-8111-111111111111";

/// Reads every pipeline. Those with problems are left out: the list is dropped then.
pub(super) fn read_all(
    reader: &mut Reader<'_>,
    sections: Vec<Section<'_>>,
    state: &Path,
    listener: &Webhooks,
    scaleway: &Scaleway,
) -> Vec<Pipeline> {
    let mut seen = Seen {
        sandbox: scaleway.api_url == ApiUrl::Sandbox,
        at_the_vendor: scaleway::is_usual(&scaleway.api_url),
        ..Seen::default()
    };
    sections
        .into_iter()
        .filter_map(|section| read(reader, section, state, listener, &mut seen))
        .collect()
}

/// What there may be once in the whole file.
#[derive(Default)]
struct Seen {
    /// Whether the API is the sandbox.
    sandbox: bool,
    /// Whether the API is the vendor's, where no pipeline has the id of the example.
    at_the_vendor: bool,
    names: Unique,
    ids: Unique,
    routes: Unique,
}

fn read(
    reader: &mut Reader<'_>,
    mut section: Section<'_>,
    state: &Path,
    listener: &Webhooks,
    seen: &mut Seen,
) -> Option<Pipeline> {
    let keys = PipelineKeys::read(reader, &mut section);
    if let (Some(name), Some(span)) = (&keys.name.value, &keys.name.span) {
        seen.names.add(reader, &section.key("name"), name, span);
    }
    if let (Some(id), Some(span)) = (&keys.id.value, &keys.id.span) {
        seen.ids.add(reader, &section.key("id"), id.as_str(), span);
        if seen.at_the_vendor && id.as_str() == EXAMPLE_ID {
            let hint = "put the id of your pipeline here; the Scaleway console shows it";
            reader.warn(&section.key("id"), span, "is the id of the example", hint);
        }
    }
    check_waits(reader, &section, &keys.debounce, &keys.max_wait);
    let verify = verify::read(reader, &mut section);
    let origins = origin::read_all(reader, &mut section, state, seen.sandbox);
    let rules = rule::read_all(reader, &mut section);
    let has_origins = !origins.is_empty() || section.has("origin");
    if !rules.is_empty() && !has_origins {
        let hint = "add a [[pipeline.origin]], or remove the rules";
        let why = "will never match: the pipeline has no origin";
        reader.warn(&section.key("rule"), &section.span().clone(), why, hint);
    }
    let id = keys.id.value.clone();
    let around = Around {
        listener,
        pipeline: id.unwrap_or_else(|| PipelineId::new("")),
        origins: &origins,
        serves: match has_origins {
            false => Origins::None,
            true if origins.iter().any(|one| one.bucket.is_some()) => Origins::Buckets,
            true => Origins::Directories,
        },
    };
    let webhooks = webhook::read_all(reader, &mut section, &around, &mut seen.routes);
    reader.end(&section);
    keys.complete(verify, origins, rules, webhooks)
}

fn check_waits(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    debounce: &Held<Duration>,
    max_wait: &Held<Duration>,
) {
    if debounce.refused || max_wait.refused || debounce.value <= max_wait.value {
        return;
    }
    let (key, span, why) = match (&debounce.span, &max_wait.span) {
        (Some(span), _) => (
            "debounce",
            span,
            format!(
                "is longer than max_wait, which is {}",
                super::duration::written(max_wait.value)
            ),
        ),
        (None, Some(span)) => (
            "max_wait",
            span,
            format!(
                "is shorter than debounce, which is {}",
                super::duration::written(debounce.value)
            ),
        ),
        (None, None) => return,
    };
    let complaint = Complaint {
        why,
        hint: "make debounce shorter or max_wait longer".to_owned(),
    };
    reader.report(&section.key(key), span, &complaint);
}

/// A pipeline is named on the command line by name or id, and in labels of metrics by name.
fn name() -> Syntax<String> {
    let shape = Shape::pattern("a name", "^[^ -,/:-@\\[-\\^`{-~]{1,64}$");
    line().checked(shape, |name| check_name(name))
}

fn check_name(name: &str) -> Result<(), Complaint> {
    const HINT: &str = "use letters, digits, `.`, `_` and `-`, a letter or digit first";
    if name.chars().count() > NAME_LIMIT {
        return complain(format!("is longer than {NAME_LIMIT} characters"), HINT);
    }
    if !name.starts_with(|c: char| c.is_alphanumeric())
        || !name
            .chars()
            .all(|c| c.is_alphanumeric() || "._-".contains(c))
    {
        return complain("is not a name", HINT);
    }
    if Uuid::parse_str(name).is_ok() {
        return complain(
            "looks like an id",
            "choose a name that can't be taken for a UUID",
        );
    }
    Ok(())
}

/// A UUID in the API's spelling.
fn uuid<T: 'static>(made: fn(&str) -> T, written: fn(&T) -> String) -> Syntax<T> {
    const HINT: &str = "write it as the Scaleway console shows it, \
                        such as \"11111111-1111-4111-8111-111111111111\"";
    let shape = Shape::pattern(
        "a UUID",
        "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
    );
    let parse = move |text: &str| match Uuid::try_parse(text) {
        // Other spellings (braces, no hyphens) are not the API's.
        Ok(id) if text.len() == 36 => Ok(made(&id.hyphenated().to_string())),
        _ => complain("is not a UUID", HINT),
    };
    parsed(shape, HINT, parse, written)
}

/// A number of assets, beside the word `never`.
fn assets() -> Syntax<usize> {
    number(1..=QUEUE_CAP, "assets").of_type("a whole number", || Complaint {
        why: "is neither a whole number nor \"never\"".to_owned(),
        hint: format!("write 1 to {QUEUE_CAP} without quotes, or \"never\""),
    })
}
