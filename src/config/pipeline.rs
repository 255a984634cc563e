//! Reads `[[pipeline]]` with its origins and rules, and what must be unique among them.

use std::path::Path;
use std::time::Duration;

use toml::de::DeValue;
use uuid::Uuid;

use crate::core::change::PipelineId;
use crate::core::mapping::{Encoding, Pages};

use super::model::{Pipeline, Webhooks};
use super::range::{self, DAY, HOUR, MINUTE};
use super::reader::Reader;
use super::section::{Held, Section};
use super::unique::Unique;
use super::value::{Complaint, Value, complain};
use super::verify::OrOff;
use super::webhook::{self, Around};
use super::{defaults, origin, rule, verify};

/// The largest `all_above`: past so many assets the queue of a pipeline is full anyway.
const QUEUE_CAP: usize = 100_000;

/// The longest name, in characters: it is part of every metric's labels and many lines.
const NAME_LIMIT: usize = 64;

/// Reads every pipeline. Those with problems are left out: nobody will see the list then.
pub(super) fn read_all(
    reader: &mut Reader<'_>,
    sections: Vec<Section<'_>>,
    state: &Path,
    listener: &Webhooks,
) -> Vec<Pipeline> {
    let mut seen = Seen::default();
    sections
        .into_iter()
        .filter_map(|section| read(reader, section, state, listener, &mut seen))
        .collect()
}

/// What there may be once in the whole file.
#[derive(Default)]
struct Seen {
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
    let name = reader.required(
        &mut section,
        "name",
        "give the pipeline a name, such as name = \"www\"",
        |name: &String| check_name(name),
    );
    if let (Some(value), Some(span)) = (&name.value, &name.span) {
        seen.names.add(reader, &section.key("name"), value, span);
    }
    let id: super::section::Given<Id> = reader.required(
        &mut section,
        "id",
        "write the pipeline's id; the Scaleway console shows it, and `scw edge-services pipeline list`",
        range::any,
    );
    if let (Some(value), Some(span)) = (&id.value, &id.span) {
        seen.ids.add(reader, &section.key("id"), &value.0, span);
    }
    let project_id = reader.optional::<Id>(&mut section, "project_id", range::any);
    let max_assets = reader.setting(
        &mut section,
        "max_assets",
        defaults::MAX_ASSETS,
        range::number(1..=1000),
    );
    let debounce = reader.setting(
        &mut section,
        "debounce",
        defaults::DEBOUNCE,
        range::time(Duration::ZERO..=HOUR),
    );
    let max_wait = reader.setting(
        &mut section,
        "max_wait",
        defaults::MAX_WAIT,
        range::time(Duration::ZERO..=DAY),
    );
    check_waits(reader, &section, &debounce, &max_wait);
    let all_above = reader.setting(
        &mut section,
        "all_above",
        AllAbove(Some(defaults::ALL_ABOVE)),
        range::any,
    );
    let all_after = reader.setting(
        &mut section,
        "all_after",
        AllAfter(Some(defaults::ALL_AFTER)),
        range::any,
    );
    let all_cooldown = reader.setting(
        &mut section,
        "all_cooldown",
        defaults::ALL_COOLDOWN,
        range::time(Duration::ZERO..=30 * MINUTE),
    );
    let pages = reader.setting(&mut section, "pages", Pages::default(), range::any);
    let encoding = reader.setting(&mut section, "encoding", Encoding::default(), range::any);
    let repurge_after = verify::repurge_after(reader, &mut section);
    let hot_interval = hot_interval(reader, &mut section);
    let verify = verify::read(reader, &mut section);

    let origins = origin::read_all(reader, &mut section, state);
    let rules = rule::read_all(reader, &mut section);
    let has_origins = !origins.is_empty() || section.has("origin");
    if !rules.is_empty() && !has_origins {
        let hint = "add a [[pipeline.origin]], or remove the rules";
        let why = "will never match: the pipeline has no origin";
        reader.warn(&section.key("rule"), &section.span().clone(), why, hint);
    }
    let around = Around {
        listener,
        pipeline: PipelineId::new(id.value.as_ref().map_or("", |id| &id.0)),
        origins: &origins,
        has_origins,
    };
    let webhooks = webhook::read_all(reader, &mut section, &around, &mut seen.routes);
    reader.end(&section);
    Some(Pipeline {
        name: name.value?,
        id: PipelineId::new(&id.value?.0),
        project_id: project_id.value.map(|id| id.0),
        max_assets: max_assets.value,
        debounce: debounce.value,
        max_wait: max_wait.value,
        all_above: all_above.value.0,
        all_after: all_after.value.0,
        all_cooldown: all_cooldown.value,
        pages: pages.value,
        encoding: encoding.value,
        repurge_after,
        hot_interval,
        verify,
        origins,
        rules,
        webhooks,
    })
}

/// Reads `hot_interval`; `None` is `off`.
fn hot_interval(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<Duration> {
    let usual = OrOff(Some(defaults::HOT_INTERVAL));
    let interval = reader.setting(section, "hot_interval", usual, range::any);
    interval.value.0
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
struct Id(String);

impl Value for Id {
    fn read(value: &DeValue<'_>) -> Result<Self, Complaint> {
        const HINT: &str = "write it as the Scaleway console shows it, \
                            such as \"11111111-1111-4111-8111-111111111111\"";
        let text = super::value::text(value, HINT)?;
        match Uuid::try_parse(text) {
            // Other spellings (braces, no hyphens) are not the API's.
            Ok(id) if text.len() == 36 => Ok(Self(id.hyphenated().to_string())),
            _ => complain("is not a UUID", HINT),
        }
    }

    fn written(&self) -> toml::Value {
        toml::Value::String(self.0.clone())
    }
}

/// A time to drain, or `never`.
struct AllAfter(Option<Duration>);

impl Value for AllAfter {
    fn read(value: &DeValue<'_>) -> Result<Self, Complaint> {
        if value.as_str() == Some("never") {
            return Ok(Self(None));
        }
        let after = Duration::read(value)?;
        range::time(MINUTE..=DAY)(&after)?;
        Ok(Self(Some(after)))
    }

    fn written(&self) -> toml::Value {
        self.0.map_or_else(
            || toml::Value::String("never".to_owned()),
            |after| after.written(),
        )
    }
}

/// A number of assets, or `never`.
struct AllAbove(Option<usize>);

impl Value for AllAbove {
    fn read(value: &DeValue<'_>) -> Result<Self, Complaint> {
        if value.as_str() == Some("never") {
            return Ok(Self(None));
        }
        if !value.is_integer() {
            return complain(
                "is neither a whole number nor \"never\"",
                format!("write 1 to {QUEUE_CAP} without quotes, or \"never\""),
            );
        }
        let assets = usize::read(value)?;
        range::number(1..=QUEUE_CAP)(&assets)?;
        Ok(Self(Some(assets)))
    }

    fn written(&self) -> toml::Value {
        self.0
            .map_or_else(|| toml::Value::String("never".to_owned()), |n| n.written())
    }
}
