//! What a route is for: which repositories, branches, workflows and environments.
//!
//! An authentic delivery about anything else (another repository, branch, event, workflow or environment,
//! a ping, or no repository where one is wanted) asks for nothing and is no error, since forges switch
//! off hooks that answer with errors. The answer and the log have what came and what was wanted.

use super::RouteSettings;
use crate::webhook::payload::branch::Ref;
use crate::webhook::payload::content::{listed, printable};
use crate::webhook::payload::pattern::Pattern;
use crate::webhook::payload::reading::{Reading, Run};
use crate::webhook::payload::repository::RepositoryName;

/// What a route is for. An empty list takes everything, but of environments only production.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    repositories: Vec<RepositoryName>,
    branches: Vec<Pattern>,
    workflows: Vec<Pattern>,
    environments: Vec<Pattern>,
}

impl Scope {
    /// What the settings say. What the configuration would have refused is meant literally.
    pub(super) fn new(settings: &RouteSettings) -> Self {
        let repository = |text: &String| {
            RepositoryName::parse(settings.kind.sender.forge, text)
                .unwrap_or_else(|_| RepositoryName::exactly(text))
        };
        let branch =
            |text: &String| Pattern::branch(text).unwrap_or_else(|_| Pattern::literal(text));
        Self {
            repositories: settings.repositories.iter().map(repository).collect(),
            branches: settings.branches.iter().map(branch).collect(),
            workflows: settings
                .workflows
                .iter()
                .map(|text| Pattern::workflow(text))
                .collect(),
            environments: settings
                .environments
                .iter()
                .map(|text| Pattern::name(text))
                .collect(),
        }
    }

    /// Why a delivery is about something that the route is not for.
    pub(super) fn elsewhere(&self, reading: &Reading) -> Option<String> {
        self.other_repository(reading)
            .or_else(|| self.other_branch(reading))
            .or_else(|| self.other_workflow(reading.run.as_ref()?))
            .or_else(|| self.other_environment(reading))
    }

    fn other_repository(&self, reading: &Reading) -> Option<String> {
        let ours = |one: &RepositoryName| one.is_one_of(&reading.repository);
        if self.repositories.is_empty() || self.repositories.iter().any(ours) {
            return None;
        }
        let wanted = listed(self.repositories.iter().map(RepositoryName::as_str));
        Some(match reading.repository.first() {
            Some(came) => format!(
                "it is about another repository, {}; the route is for {wanted}",
                printable(came)
            ),
            None => format!("it names no repository, and the route is for {wanted}"),
        })
    }

    fn other_branch(&self, reading: &Reading) -> Option<String> {
        let ours = |one: &Ref| match one {
            Ref::Branch(name) => self.branches.iter().any(|branch| branch.matches(name)),
            Ref::Other => false,
        };
        // What says nothing of branches (a build of pages) may well be the deploy.
        if self.branches.is_empty() || reading.refs.is_empty() || reading.refs.iter().any(ours) {
            return None;
        }
        let wanted = listed(self.branches.iter().map(Pattern::as_str));
        Some(match reading.refs.first() {
            Some(Ref::Branch(name)) => format!(
                "the branch {} is not among the route's branches, {wanted}",
                printable(name)
            ),
            _ => format!("it is not about a branch, and the route is for {wanted}"),
        })
    }

    fn other_workflow(&self, run: &Run) -> Option<String> {
        if self.workflows.is_empty() {
            return run.proposed.then(|| {
                "a pull request started it; what deploys all the same has to be named in the route's workflows"
                    .to_owned()
            });
        }
        let ours = |name: &String| self.workflows.iter().any(|one| one.matches(name));
        if run.names.iter().any(ours) {
            return None;
        }
        let wanted = listed(self.workflows.iter().map(Pattern::as_str));
        Some(if run.names.is_empty() {
            format!("it names no workflow, and the route is for {wanted}")
        } else {
            let came = listed(run.names.iter().map(String::as_str));
            format!("the workflow {came} is not among the route's workflows, {wanted}")
        })
    }

    fn other_environment(&self, reading: &Reading) -> Option<String> {
        let came = reading.environments.as_ref()?;
        let names = || listed(came.iter().map(|one| one.name.as_str()));
        if self.environments.is_empty() {
            let counts = came.is_empty() || came.iter().any(|one| one.production);
            return (!counts).then(|| {
                format!(
                    "the environment {} is not what its sender calls production; the route's environments can name it",
                    names()
                )
            });
        }
        let ours = |name: &str| self.environments.iter().any(|one| one.matches(name));
        if came.iter().any(|one| ours(&one.name)) {
            return None;
        }
        let wanted = listed(self.environments.iter().map(Pattern::as_str));
        Some(if came.is_empty() {
            format!("it names no environment, and the route is for {wanted}")
        } else {
            format!(
                "the environment {} is not among the route's environments, {wanted}",
                names()
            )
        })
    }
}
