//! Requests of unknown outcome: the reply was lost, or the process ended before it came.
//!
//! The API has no idempotency key, so the planner looks for such a request in the API's list: newest
//! first, page by page, until the entries are older than the request can be. New requests meanwhile push
//! entries to the next page, where they are seen again. An entry is adopted if all of this holds:
//!
//! - it purges the same assets of the same pipeline;
//! - it is no other request of ours;
//! - it was certainly made after the last change that the request has to cover.
//!
//! In doubt the request is sent again: a duplicate costs a call, a wrong adoption leaves old bytes at the
//! edge.
//!
//! The last condition needs the API's clock. Each response's `Date`, and the `created_at` of requests
//! that we created, bound how far it is ahead of ours (`core/api_time.rs`); `Open` stores the latest time
//! that the API's clock can have shown when the last change came. Before the first response nothing is
//! known, so the request is sent again. While another request for the same assets is on its way, the
//! search waits, since an entry may be either of the two. The search takes its calls from the same budget,
//! before all other calls.

use std::collections::{BTreeMap, BTreeSet};

use super::circuit::Asked;
use super::flight::{Flight, Stage};
use super::listing::Purpose;
use super::{Command, Planner, Step};
use crate::core::change::PipelineId;
use crate::core::purge::{Listed, ListedPage, Outcome, PAGE, Refusal, RequestId};
use crate::core::time::Time;

/// How many pages are read at most; what is not on them is sent again.
const MOST_PAGES: u32 = 10;

/// A search through the list of a pipeline, newest first.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pipeline: PipelineId,
    /// Those looked for. One whose outcome becomes unknown meanwhile waits for the next search.
    flights: BTreeSet<RequestId>,
    /// The oldest that any of them can be, by the API's clock.
    since: Time,
    page: u32,
    /// Every id that was shown. New requests push others to the next page, where they are shown
    /// again.
    seen: BTreeSet<String>,
    /// Those that may be one of ours.
    candidates: BTreeMap<String, Listed>,
}

impl Planner {
    /// A pipeline whose list is to be searched.
    pub(super) fn to_find(&self) -> Option<PipelineId> {
        if !self.lists.is_idle() {
            return None;
        }
        if let Some(search) = &self.lists.unread {
            return Some(search.pipeline.clone());
        }
        self.flights
            .values()
            .find(|flight| flight.is_doubtful() && !self.has_twin(flight))
            .map(|flight| flight.pipeline.clone())
    }

    /// Whether another request for the same is on its way: what is in the list may be either, until
    /// the reply to that one has come.
    fn has_twin(&self, doubtful: &Flight) -> bool {
        self.flights.values().any(|flight| {
            flight.stage == Stage::Submitting
                && flight.pipeline == doubtful.pipeline
                && flight.scope.names_the_same(&doubtful.scope)
        })
    }

    /// Asks for the next page of a search.
    pub(super) fn find(&mut self, pipeline: &PipelineId, step: &mut Step) -> Asked {
        let search = self.lists.unread.take();
        let search = search.unwrap_or_else(|| self.search(pipeline));
        let page = search.page;
        let list = self.lists.send(Purpose::Find(search));
        step.commands.push(Command::List {
            list,
            pipeline: Some(pipeline.clone()),
            page,
        });
        Asked::List(list)
    }

    fn search(&self, pipeline: &PipelineId) -> Search {
        let doubtful = || {
            self.flights
                .values()
                .filter_map(|flight| match flight.stage {
                    Stage::Doubtful { api_since, .. } if flight.pipeline == *pipeline => {
                        Some((flight.id, api_since))
                    }
                    _ => None,
                })
        };
        Search {
            pipeline: pipeline.clone(),
            flights: doubtful().map(|(id, _)| id).collect(),
            since: doubtful().map(|(_, since)| since).min().unwrap_or_default(),
            page: 1,
            seen: BTreeSet::new(),
            candidates: BTreeMap::new(),
        }
    }

    pub(super) fn found(
        &mut self,
        mut search: Search,
        reply: Result<ListedPage, Refusal>,
        now: Time,
        step: &mut Step,
    ) {
        let page = match reply {
            Ok(page) => page,
            // The search begins anew when the API answers again.
            Err(
                Refusal::RateLimited { .. }
                | Refusal::Transient(_)
                | Refusal::UnknownOutcome(_)
                | Refusal::Unauthorized(_),
            ) => return,
            Err(refusal) => {
                let why = format!("its outcome is unknown, and the list is refused: {refusal}");
                for id in search.flights {
                    self.settle(id, Outcome::Unsent, why.clone(), now, step);
                }
                return;
            }
        };
        if self.read_page(&mut search, page) {
            search.page += 1;
            self.lists.unread = Some(search);
            return;
        }
        self.adopt(&search, now, step);
    }

    /// Reads a page; `true` when the next one is needed.
    fn read_page(&self, search: &mut Search, page: ListedPage) -> bool {
        let full = page.requests.len() >= PAGE;
        let mut older = false;
        let mut new = 0;
        for listed in page.requests {
            older |= listed.created.is_some_and(|at| at < search.since);
            if search.seen.insert(listed.id.clone()) {
                new += 1;
            }
            let wanted = search
                .flights
                .iter()
                .filter_map(|id| self.flights.get(id))
                .any(|flight| listed.is_for(&flight.pipeline, &flight.scope));
            if wanted {
                search.candidates.insert(listed.id.clone(), listed);
            }
        }
        let all = u64::try_from(search.seen.len()).is_ok_and(|seen| seen >= page.total);
        // A page that is not full may still not be the last: the API may make smaller ones.
        let more = full || !all;
        !older && new > 0 && more && search.page < MOST_PAGES
    }

    /// The oldest request takes the oldest candidate that can be it, so that one for a later change
    /// never takes what was made before that change.
    fn adopt(&mut self, search: &Search, now: Time, step: &mut Step) {
        let mut ours: BTreeSet<String> = self
            .flights
            .values()
            .filter_map(|flight| flight.remote_id().map(str::to_owned))
            .chain(self.settled_ids.iter().cloned())
            .collect();
        let mut candidates: Vec<&Listed> = search.candidates.values().collect();
        candidates.sort_by_key(|listed| listed.created);
        for id in &search.flights {
            let Some(flight) = self.flights.get(id) else {
                continue;
            };
            let Stage::Doubtful { why, api_since } = &flight.stage else {
                continue;
            };
            if self.has_twin(flight) {
                continue;
            }
            let found = candidates.iter().find(|listed| {
                listed.is_for(&flight.pipeline, &flight.scope)
                    && listed.created.is_some_and(|at| at >= *api_since)
                    && !ours.contains(&listed.id)
            });
            if let Some(listed) = found {
                ours.insert(listed.id.clone());
                let (remote_id, status) = (listed.id.clone(), listed.status);
                self.accepted(*id, remote_id, status, now, step);
            } else {
                let why = format!("{why}; it is not in the API's list");
                self.settle(*id, Outcome::Unsent, why, now, step);
            }
        }
    }
}
