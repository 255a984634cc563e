//! The status as people read it: trouble first, then what is on its way, and a line for each pipeline
//! that is fresh. Where that is more than a screen, the names of the fresh ones only.

use std::time::Duration;

use anstyle::Style;

use crate::admin::api::{
    Cause, CauseWord, OldestChange, OrphanStatus, PipelineStatus, State, Status,
};
use crate::cli::moment::{Moment, counted, grouped, length};
use crate::cli::style::{BAD, BUSY, DIM, GOOD, NAME, WARN, styled};
use crate::cli::terminal::Size;
use crate::core::alarm::Alarm;
use crate::core::pause::{Holder, Pause};
use crate::core::purge::AllReason;
use crate::origin::{BucketStatus, OriginStatus};
use crate::scaleway::printable;
use crate::store::ListedDelivery;
use crate::webhook::RouteStatus;

/// How it is shown.
#[derive(Debug)]
pub(super) struct View {
    moment: Moment,
    size: Option<Size>,
    /// Everything about each pipeline, not only what is not as it should be.
    detail: bool,
}

impl View {
    /// Once, on a terminal of this size, or elsewhere.
    pub(super) const fn once(moment: Moment, size: Option<Size>, detail: bool) -> Self {
        Self {
            moment,
            size,
            detail,
        }
    }

    /// Again and again, where only what changes is to be said.
    pub(super) const fn log(moment: Moment, detail: bool) -> Self {
        Self {
            moment,
            size: None,
            detail,
        }
    }

    /// Text below something, with an indent, in as many lines as the width takes.
    fn below(&self, indent: usize, text: &str) -> Vec<String> {
        let width = self.size.map_or(usize::MAX, |size| size.columns.max(40));
        wrapped(text, width, indent)
    }
}

/// All of it, without the last line's end.
pub(super) fn text(status: &Status, view: &View) -> String {
    lines(status, view).join("\n")
}

/// The lines.
pub(super) fn lines(status: &Status, view: &View) -> Vec<String> {
    let mut before = vec![header(status, view)];
    for alarm in &status.alarms {
        before.extend(alarm_lines(status, alarm, view));
    }
    if !status.alarms.is_empty() {
        before.push(String::new());
    }
    let mut pipelines: Vec<&PipelineStatus> = status.pipelines.iter().collect();
    pipelines.sort_by(|a, b| (b.state, &a.name).cmp(&(a.state, &b.name)));
    let (others, fresh): (Vec<_>, Vec<_>) = pipelines
        .into_iter()
        .partition(|one| one.state != State::Fresh || view.detail);
    let columns = Columns::of(&status.pipelines);
    let one = |pipeline: &&PipelineStatus| pipeline_lines(status, pipeline, &columns, view);
    before.extend(others.iter().flat_map(one));
    let after = after(status, view);
    let mut healthy: Vec<String> = fresh.iter().flat_map(one).collect();
    let room = view
        .size
        .map_or(usize::MAX, |size| size.rows.saturating_sub(1));
    if before.len() + healthy.len() + after.len() > room && !fresh.is_empty() {
        healthy = names(&fresh, view);
    }
    before.into_iter().chain(healthy).chain(after).collect()
}

fn header(status: &Status, view: &View) -> String {
    let (shape, style) = look(status.state);
    let count = status.pipelines.len() as u64;
    let pipelines = counted(count, "pipeline");
    let fresh = status.pipelines.iter();
    let fresh = fresh.filter(|one| one.state == State::Fresh).count() as u64;
    let state = match status.alarms.len() {
        0 => status.state.as_str().to_owned(),
        alarms => counted(alarms as u64, "alarm"),
    };
    let of = if fresh == count || status.state == State::Fresh {
        pipelines
    } else {
        format!("{} of {pipelines} fresh", grouped(fresh))
    };
    let up = status.now.since(status.started);
    let up = if view.moment_is_live() {
        format!(", up {}", length(up))
    } else {
        String::new()
    };
    let head = styled(style, format!("{shape} {state}"));
    format!("{head} · {of} · edgepurge {}{up}", status.version)
}

impl View {
    const fn moment_is_live(&self) -> bool {
        self.moment.tells_ages()
    }
}

/// The shape of a state, so that it can be read without colour, and its colour.
const fn look(state: State) -> (&'static str, Style) {
    match state {
        State::Fresh => ("●", GOOD),
        State::Paused => ("‖", WARN),
        State::Working => ("◐", BUSY),
        State::Starting => ("◌", BUSY),
        State::Trouble => ("▲", BAD),
    }
}

fn alarm_lines(status: &Status, alarm: &Alarm, view: &View) -> Vec<String> {
    let (whose, reason) = (alarm.whose(), alarm.reason);
    let since = alarm.since.unwrap_or(status.now);
    let mut lines = vec![
        String::new(),
        format!(
            "{} since {}",
            styled(BAD, format!("▲ {whose}{reason}")),
            view.moment.past(since)
        ),
    ];
    lines.extend(view.below(2, &alarm.text));
    lines.extend(view.below(2, &format!("means: {}", alarm.meaning)));
    let place = alarm.place.as_ref();
    let place = place.map_or_else(String::new, |place| format!(" ({place})"));
    let remedy = view.below(2, &format!("do: {}{place}", alarm.remedy));
    lines.extend(remedy.into_iter().map(|line| styled(NAME, line)));
    lines
}

/// How wide the columns of the pipelines' lines are.
struct Columns {
    name: usize,
    fresh: usize,
    today: usize,
}

impl Columns {
    fn of(pipelines: &[PipelineStatus]) -> Self {
        let widest = |text: fn(&PipelineStatus) -> String| {
            let widths = pipelines.iter().map(|one| text(one).chars().count());
            widths.max().unwrap_or(0)
        };
        Self {
            name: widest(|one| one.name.clone()),
            fresh: widest(fresh),
            today: widest(today),
        }
    }
}

/// How long the last day's changes took until they were fresh.
fn fresh(pipeline: &PipelineStatus) -> String {
    let millis = |of: Option<u64>| of.map(|millis| length(Duration::from_millis(millis)));
    let recent = &pipeline.recent;
    match (millis(recent.fresh_p50_ms), millis(recent.fresh_p95_ms)) {
        (Some(half), Some(most)) => format!("{half} (p95 {most})"),
        _ => "no purge in 24 h".to_owned(),
    }
}

fn today(pipeline: &PipelineStatus) -> String {
    let recent = &pipeline.recent;
    if recent.requests_today == 0 {
        return String::new();
    }
    let all = match recent.all_today {
        0 => String::new(),
        all => format!(", {} of them everything", grouped(all)),
    };
    let assets = counted(recent.assets_today, "asset");
    let requests = counted(recent.requests_today, "request");
    format!("{assets} today in {requests}{all}")
}

fn pipeline_lines(
    status: &Status,
    pipeline: &PipelineStatus,
    columns: &Columns,
    view: &View,
) -> Vec<String> {
    let (shape, style) = look(pipeline.state);
    let pad = |text: &str, width: usize| format!("{text:<width$}");
    let files: u64 = pipeline.origins.iter().map(|one| one.indexed_files).sum();
    let files = if pipeline.origins.is_empty() {
        "no origin".to_owned()
    } else {
        counted(files, "file")
    };
    let line = format!(
        "{} {}  {}  {}  {}  {files}",
        styled(style, shape),
        styled(NAME, pad(&pipeline.name, columns.name)),
        styled(style, pad(pipeline.state.as_str(), 8)),
        pad(&fresh(pipeline), columns.fresh),
        pad(&today(pipeline), columns.today),
    );
    let mut lines = vec![line.trim_end().to_owned()];
    let moment = &view.moment;
    let planned = &pipeline.planned;
    for pause in &planned.pauses {
        lines.extend(view.below(4, &paused(pause, moment)));
        lines.extend(view.below(4, &format!("do: {}", pause.remedy(&pipeline.name))));
    }
    let said = |cause: &Cause| match cause.word {
        CauseWord::Paused | CauseWord::Refused => true,
        CauseWord::Unseen => { status.alarms.iter() }.any(|alarm| cause.text.contains(&alarm.text)),
        _ => false,
    };
    let waits = pipeline.causes.iter().filter(|cause| !said(cause));
    let waits: Vec<String> = waits.map(|cause| wait(cause, moment)).collect();
    if !waits.is_empty() {
        lines.extend(view.below(4, &format!("waits: {}", waits.join("; "))));
    }
    if let Some(oldest) = &pipeline.oldest {
        lines.extend(view.below(4, &oldest_change(oldest, moment)));
    }
    if let Some(most) = planned.learned_max_assets {
        let text = format!(
            "the API takes {} in a request",
            counted(most as u64, "asset")
        );
        lines.extend(view.below(4, &text));
    }
    for hot in &planned.hot {
        let (asset, since) = (&hot.asset, view.moment.past(hot.since));
        lines.extend(view.below(4, &format!("hot: {asset}, since {since}: {hot}")));
    }
    for origin in &pipeline.origins {
        lines.extend(origin_lines(origin, view));
    }
    for trees in &pipeline.trees {
        let said = trees.said(|time| moment.past(time));
        lines.extend(view.below(4, &format!("origin {}: {said}", trees.origin)));
    }
    if view.detail {
        lines.extend(detail(pipeline, view));
    }
    lines
}

/// What else there is to say of a pipeline.
fn detail(pipeline: &PipelineStatus, view: &View) -> Vec<String> {
    let last = pipeline.recent.last_purge;
    let last = last.map_or_else(|| "none".to_owned(), |at| view.moment.past(at));
    let place = pipeline.place.as_ref();
    let place = place.map_or_else(String::new, |place| format!(" ({place})"));
    let text = format!("last purge: {last}; id {}{place}", pipeline.id);
    view.below(4, &text)
}

/// `paused by alice since 16:02 (3 min) until resumed: a migration`.
fn paused(pause: &Pause, moment: &Moment) -> String {
    let since = moment.past(pause.since);
    let until = match (&pause.holder, pause.until) {
        (Holder::Deploy(_), Some(until)) => {
            format!("since {since}, at least until {}", moment.clock(until))
        }
        (Holder::Operator, Some(until)) => format!("since {since} until {}", moment.clock(until)),
        (_, None) => format!("since {since} until resumed"),
    };
    let what = pause.what();
    match pause.reason.as_str() {
        "" => format!("{what} {until}"),
        reason => format!("{what} {until}: {}", printable(reason)),
    }
}

fn wait(cause: &Cause, moment: &Moment) -> String {
    match cause.until {
        Some(until) => format!("{} ({})", cause.text, moment.until(until)),
        None => cause.text.clone(),
    }
}

/// `oldest: /a.css, 18 min ago: a.css of / changed (watch)`.
fn oldest_change(oldest: &OldestChange, moment: &Moment) -> String {
    let seen = moment.ago(oldest.seen);
    let Some(change) = &oldest.change else {
        return format!("oldest: {seen}");
    };
    let asset = change.asset.as_deref().unwrap_or("everything");
    let cause = &change.cause;
    let why = match (&cause.file, cause.detail.as_str()) {
        (Some((origin, path)), _) => format!("{} of origin {origin} ", path.escape_debug()),
        (None, "") => String::new(),
        (None, detail) => format!("{} ", printable(detail)),
    };
    let (kind, source) = (cause.kind.as_str(), cause.source.as_str());
    format!("oldest: {asset}, noticed {seen}: {why}{kind} ({source})")
}

fn origin_lines(origin: &OriginStatus, view: &View) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |text: String| lines.extend(view.below(4, &text));
    let name = &origin.name;
    if view.detail {
        let state = origin.word();
        let files = counted(origin.indexed_files, "file");
        let directories = match origin.watched_directories {
            0 => String::new(),
            1 => ", 1 directory watched".to_owned(),
            many => format!(", {} directories watched", grouped(many)),
        };
        let polled = match origin.unwatched_directories {
            0 => String::new(),
            many => format!(", {} polled", grouped(many)),
        };
        let scan = origin.last_scan.as_ref();
        let scan = scan.map_or_else(String::new, |scan| {
            format!(", last scan {}", view.moment.past(scan.ended))
        });
        add(format!(
            "origin {name}: {state}, {files}{directories}{polled}{scan}"
        ));
    }
    if let Some(bucket) = origin.bucket.as_ref().filter(|_| view.detail) {
        add(format!(
            "origin {name}: {} to the bucket since the start, the headers of {} still to be read",
            counted(bucket.calls_total, "call"),
            counted(bucket.unread_headers, "object")
        ));
        add(format!("origin {name}: {}", served(bucket)));
        if let Some(look) = &bucket.last_look {
            add(format!(
                "origin {name}: looked at {} that webhooks named, the last {}: {} from {}, {} new, {} changed, {} gone",
                counted(bucket.named_total, "object"),
                view.moment.past(look.ended),
                counted(look.objects, "object"),
                look.first.escape_debug(),
                look.new,
                look.changed,
                look.gone
            ));
        }
    }
    if let Some((bucket, first)) = { origin.bucket.as_ref() }
        .and_then(|bucket| Some((bucket, bucket.first_refused.as_deref()?)))
    {
        add(format!(
            "origin {name}: {} left out, since no URL leads there for sure, the first is {}",
            counted(bucket.refused_keys, "key"),
            first.escape_debug()
        ));
    }
    if origin.unreadable_directories > 0 {
        let many = match origin.unreadable_directories {
            1 => "1 directory".to_owned(),
            many => format!("{} directories", grouped(many)),
        };
        add(format!(
            "origin {name}: {many} can't be listed: nothing new in them is noticed"
        ));
    }
    if origin.unreadable_files > 0 {
        let first = origin.unreadable_file.as_deref().unwrap_or_default();
        let files = counted(origin.unreadable_files, "file");
        let first = first.escape_debug();
        add(format!(
            "origin {name}: {files} can't be read, the first is {first}: compared by size and times"
        ));
    }
    lines
}

/// The names of pipelines that are fresh, where a line for each is too much.
fn names(fresh: &[&PipelineStatus], view: &View) -> Vec<String> {
    let names: Vec<&str> = fresh.iter().map(|one| one.name.as_str()).collect();
    let (shape, style) = look(State::Fresh);
    let head = counted(fresh.len() as u64, "pipeline");
    let mut lines = view.below(2, &format!("{head} fresh: {}", names.join(" ")));
    if let Some(first) = lines.first_mut() {
        *first = format!("{} {}", styled(style, shape), first.trim_start());
    }
    lines
}

/// What is not about one pipeline.
fn after(status: &Status, view: &View) -> Vec<String> {
    let mut lines = Vec::new();
    for OrphanStatus { left, in_flight } in &status.orphaned {
        let id = &left.id;
        let all = everything(left.queued_all);
        let changes = counted(left.queued_changes, "change");
        let requests = counted(*in_flight as u64, "request");
        let failed = counted(left.failed_changes, "change");
        let text = format!(
            "{id} is in the config no more: {changes} queued{all}, {requests} in flight, {failed} failed; kept \
             until it returns, or `edgepurge drop {id}`"
        );
        lines.extend(view.below(0, &text));
    }
    if !status.nodes.is_empty() {
        let nodes = crate::cli::node::list(status, &view.moment);
        lines.extend(nodes.iter().flat_map(|line| view.below(0, line)));
    }
    lines.extend(webhooks(status, view));
    for credential in &status.credentials {
        let copied = credential.copied.map(|at| view.moment.past(at));
        let text = format!(
            "secret {}: the copy that systemd made at {}; a new one takes systemctl restart edgepurge",
            credential.name,
            copied.as_deref().unwrap_or("an unknown time")
        );
        lines.extend(dimmed(view.below(0, &text)));
    }
    let since = status.api_limits_since;
    let since = since.map_or_else(String::new, |at| {
        format!(", since {}", view.moment.past(at))
    });
    let calls = if status.leads {
        let (most, rate) = (status.api_rate_limit, status.api_rate());
        let at_once = status.api_calls_at_once;
        format!("at most {most:.1} {rate}{since}, {at_once} at once")
    } else {
        "called by the leader".to_owned()
    };
    let text = format!(
        "API {}, {calls} · {}, read {}",
        status.api_url,
        status.config_file.display(),
        view.moment.clock(status.config_read)
    );
    lines.extend(dimmed(view.below(0, &text)));
    lines
}

fn dimmed(lines: Vec<String>) -> impl Iterator<Item = String> {
    lines.into_iter().map(|line| styled(DIM, line))
}

/// That everything is queued to be purged, if it is.
fn everything(queued: Option<AllReason>) -> String {
    queued.map_or_else(String::new, |reason| {
        format!(" and everything ({})", reason.as_str())
    })
}

/// The routes that refuse what they get or whose last delivery failed; in detail all of them.
fn webhooks(status: &Status, view: &View) -> Vec<String> {
    let routes = status.webhooks.iter().flat_map(|one| &one.routes);
    let mut lines = Vec::new();
    let mut quiet = 0;
    for route in routes {
        let last = status.last_deliveries.iter();
        let last = last
            .filter(|one| one.route == route.route)
            .max_by_key(|one| one.id);
        let refused = route.answers.get("unauthorized").copied().unwrap_or(0);
        let failed = last.is_some_and(|one| one.record.state.as_str() == "failed");
        if view.detail || refused > 0 || failed {
            lines.extend(view.below(0, &route_line(route, last, refused, view)));
        } else {
            quiet += 1;
        }
    }
    if quiet > 0 {
        let last = status
            .last_deliveries
            .iter()
            .max_by_key(|one| one.record.at);
        let last = last.map_or_else(
            || "no delivery yet".to_owned(),
            |last| format!("last delivery {}", view.moment.past(last.record.at)),
        );
        let routes = counted(quiet, "webhook route");
        lines.extend(dimmed(view.below(0, &format!("{routes}: {last}"))));
    }
    lines
}

fn route_line(
    route: &RouteStatus,
    last: Option<&ListedDelivery>,
    refused: u64,
    view: &View,
) -> String {
    let last = match last {
        Some(last) => {
            let (at, state) = (view.moment.past(last.record.at), last.record.state.as_str());
            format!("last delivery {at}: {state}")
        }
        None => "no delivery yet".to_owned(),
    };
    let refused = match refused {
        0 => String::new(),
        many => match &route.last_refusal {
            None => format!("; {} not authentic since the start", grouped(many)),
            Some(refusal) => format!(
                "; refused: {} since {}, the last from {}: {}; {}",
                route.refused(),
                view.moment.past(refusal.since),
                refusal.client,
                refusal.what.escape_debug(),
                if route.refusal_is_over() {
                    "a delivery was taken since".to_owned()
                } else {
                    format!("do: {}", refusal.remedy)
                }
            ),
        },
    };
    let (path, kind, pipeline) = (&route.route, &route.kind, &route.pipeline);
    format!("webhook {path} ({kind}) of {pipeline}: {last}{refused}")
}

/// Breaks a text at spaces, with an indent, and a deeper one from the second line on.
fn wrapped(text: &str, width: usize, indent: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = " ".repeat(indent);
    let mut used = indent;
    let mut empty = true;
    for word in text.split(' ') {
        let long = word.chars().count();
        if !empty && used + 1 + long > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent + 2)));
            (used, empty) = (indent + 2, true);
        }
        if !empty {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        (used, empty) = (used + long, false);
    }
    lines.push(line);
    lines
}

/// How a bucket is served, as it says itself.
fn served(bucket: &BucketStatus) -> String {
    match (&bucket.website, &bucket.website_trouble) {
        (_, Some(why)) => format!("how the bucket is served can't be read: {why}"),
        (Some(website), None) => format!("the bucket is a website: {website}"),
        (None, None) if bucket.website_read => "the bucket is no website".to_owned(),
        (None, None) => "how the bucket is served is not read yet".to_owned(),
    }
}

#[cfg(test)]
mod tests;
