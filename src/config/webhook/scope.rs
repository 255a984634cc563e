//! What a route is for: events, repositories, branches, workflows and environments; and which of that
//! can never match.

use std::ops::Range;

use crate::config::problem::printable;
use crate::config::reader::Reader;
use crate::config::section::{Given, Section};
use crate::config::shape::Shape;
use crate::config::syntax::{Syntax, list, one_or_list, parsed};
use crate::config::value::{Complaint, complain};
use crate::webhook::{BranchProblem, Kind, RepositoryProblem, check_branch, check_repository};

use super::WebhookKeys;

/// What a route says that it is for.
pub(super) struct Scope {
    pub(super) repositories: Given<Vec<String>>,
    pub(super) events: Given<Vec<String>>,
    pub(super) branches: Given<Vec<String>>,
    pub(super) workflows: Given<Vec<String>>,
    pub(super) environments: Given<Vec<String>>,
}

/// Reads it. What a repository is called depends on the kind; without one, any text is taken.
pub(super) fn read(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    kind: Option<&Kind>,
) -> Scope {
    let repositories = reader.optional(section, "repository", &repositories(kind.cloned()));
    Scope {
        repositories,
        events: WebhookKeys::events(reader, section),
        branches: WebhookKeys::branches(reader, section),
        workflows: WebhookKeys::workflows(reader, section),
        environments: WebhookKeys::environments(reader, section),
    }
}

/// Names of repositories, as a kind calls them.
pub(super) fn repositories(kind: Option<Kind>) -> Syntax<Vec<String>> {
    const HINT: &str = "write its name in quotes, or a list of such";
    let parse = move |name: &str| {
        named(name)?;
        match kind
            .as_ref()
            .map(|kind| check_repository(kind.sender.forge, name))
        {
            Some(Err(problem)) => complain(problem.to_string(), repository_hint(problem)),
            _ => Ok(name.to_owned()),
        }
    };
    let name = parsed(Shape::text("a name"), HINT, parse, String::clone);
    one_or_list(HINT, name).filled(NOTHING, AT_LEAST_ONE)
}

/// Refuses what no branch can be.
pub(super) fn branch(name: &str) -> Result<(), Complaint> {
    check_branch(name).or_else(|problem| complain(problem.to_string(), branch_hint(problem)))
}

const NOTHING: &str = "is empty, so that nothing would count";
const AT_LEAST_ONE: &str = "list at least one, or remove the line";

fn repository_hint(problem: RepositoryProblem) -> &'static str {
    match problem {
        RepositoryProblem::Pattern => "list them: repository = [\"owner/one\", \"owner/two\"]",
        RepositoryProblem::NoOwner | RepositoryProblem::Impossible | RepositoryProblem::TooLong => {
            "write \"owner/name\" (GitLab: \"group/project\"; Bitbucket Data Center: \"KEY/slug\"), or the address \
             that it is cloned from"
        }
    }
}

fn branch_hint(problem: BranchProblem) -> &'static str {
    match problem {
        BranchProblem::OtherRef => "only branches can be told apart: write \"main\", or remove it",
        BranchProblem::Negated => "list the branches that count",
        BranchProblem::Stars => "write `**` between slashes, as in \"release/**\"",
        BranchProblem::Impossible => {
            "write \"main\", \"refs/heads/main\", or a pattern such as \"release/*\" (`*` stops at a `/`, `**` does not)"
        }
    }
}

/// Reports what can never match, or is never looked at.
pub(super) fn check(reader: &mut Reader<'_>, section: &Section<'_>, scope: &Scope, kind: &Kind) {
    for (key, given, has, what) in [
        (
            "repository",
            &scope.repositories,
            kind.names_repository(),
            "repository",
        ),
        ("events", &scope.events, kind.names_event(), "event"),
        ("branches", &scope.branches, kind.names_branch(), "branch"),
        (
            "workflows",
            &scope.workflows,
            !kind.sender.run_events.is_empty(),
            "workflow",
        ),
        (
            "environments",
            &scope.environments,
            !kind.sender.deployment_events.is_empty(),
            "environment",
        ),
    ] {
        if let (Some(span), false) = (&given.span, has) {
            unnamed(reader, section, (key, span), kind, what);
        }
    }
    if !check_events(reader, section, &scope.events, kind) {
        return;
    }
    for (key, given, all, what) in [
        (
            "workflows",
            &scope.workflows,
            kind.sender.run_events,
            "tells of a run",
        ),
        (
            "environments",
            &scope.environments,
            kind.sender.deployment_events,
            "names an environment",
        ),
    ] {
        let (Some(span), false) = (&given.span, all.is_empty()) else {
            continue;
        };
        if !events(&scope.events, kind)
            .iter()
            .any(|event| all.contains(event))
        {
            let why = format!("is never looked at: none of the route's events {what}");
            let hint = format!(
                "choose one of {} as an event, or remove the line",
                all.join(", ")
            );
            reader.warn(&section.key(key), span, &why, &hint);
        }
    }
    let odd = |name: &String| Some((printable(name), (kind.sender.never_sends)(name)?));
    if let (Some(names), Some(span)) = (&scope.events.value, &scope.events.span) {
        for (name, like) in names.iter().filter_map(odd) {
            let why = format!(
                "hold \"{name}\", which kind = \"{}\" never sends",
                kind.as_str()
            );
            let hint = format!("write {like}");
            reader.warn(&section.key("events"), span, &why, &hint);
        }
    }
    let remote = |name: &&String| name.starts_with("origin/") || name.starts_with("heads/");
    if let (Some(names), Some(span)) = (&scope.branches.value, &scope.branches.span)
        && let Some(name) = names.iter().find(remote)
    {
        let why = format!(
            "hold \"{}\", which is how a clone calls a branch",
            printable(name)
        );
        reader.warn(
            &section.key("branches"),
            span,
            &why,
            "write it as the forge calls it, such as \"main\"",
        );
    }
}

/// The events that count.
pub(super) fn events<'e>(given: &'e Given<Vec<String>>, kind: &Kind) -> Vec<&'e str> {
    match &given.value {
        Some(events) => events.iter().map(String::as_str).collect(),
        None => kind.sender.default_events.to_vec(),
    }
}

/// A list of names, at least one, that pass `check`.
pub(super) fn names(
    check: impl Fn(&str) -> Result<(), Complaint> + 'static,
) -> Syntax<Vec<String>> {
    let parse = move |name: &str| {
        named(name)?;
        check(name).map(|()| name.to_owned())
    };
    let hint = "write each name in quotes";
    let name = parsed(Shape::text("a name"), hint, parse, String::clone);
    list("write a list of names in quotes and brackets", name).filled(NOTHING, AT_LEAST_ONE)
}

fn named(name: &str) -> Result<(), Complaint> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return complain("is not a name", "remove it");
    }
    Ok(())
}

fn unnamed(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    (key, span): (&str, &Range<usize>),
    kind: &Kind,
    what: &str,
) {
    let kind = kind.as_str();
    let hint = match (kind, what) {
        ("generic" | "standard" | "cloudevents", "branch") => {
            "say where in the body it is, with branch = \"/…\""
        }
        ("generic" | "standard", "event") => "say where in the body it is, with event = \"/…\"",
        ("generic" | "standard", "repository") => {
            "say where in the body it is, with repository_pointer = \"/…\""
        }
        _ => "remove the line",
    };
    let why = format!("can't be looked at: deliveries of kind = \"{kind}\" name no {what}");
    reader.report_key(&section.key(key), span, &why, hint);
}

/// Reports unknown events; returns whether there are none.
fn check_events(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    events: &Given<Vec<String>>,
    kind: &Kind,
) -> bool {
    let known = kind.sender.events;
    let (Some(names), Some(span), false) = (&events.value, &events.span, known.is_empty()) else {
        return events.value.is_some() || events.span.is_none();
    };
    let unknown = names.iter().filter(|name| !known.contains(&name.as_str()));
    let mut good = true;
    for name in unknown {
        good = false;
        let name = printable(name);
        let why = format!(
            "holds \"{name}\", which is not an event that kind = \"{}\" knows",
            kind.as_str()
        );
        let hint = format!("known are {}", known.join(", "));
        reader.report_key(&section.key("events"), span, &why, &hint);
    }
    good
}
