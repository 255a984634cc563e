//! One list of the API's requests at a time: to ask for the status of many at once, or to find those
//! of unknown outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::circuit::Asked;
use super::doubt::Search;
use super::flight::Flight;
use super::{Command, Planner, Step};
use crate::core::change::PipelineId;
use crate::core::purge::{ListedPage, Refusal, RemoteStatus, RequestId};
use crate::core::time::Time;

/// With so many in flight that may be asked for, one list asks for all that are due.
const MANY: usize = 3;
/// How many requests, of those asked about or found, make one more page of the list worth its call.
const WORTH_A_PAGE: usize = 8;
/// After a list that did not show what was asked for, each is asked for alone for so long,
const CROWDED: Duration = Duration::from_secs(5);
/// doubling up to this while that goes on.
const LONGEST_CROWDED: Duration = Duration::from_mins(1);

/// What a list is for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// The status of many.
    Track(Sweep),
    /// Requests of unknown outcome.
    Find(Search),
}

/// A list that is read page by page for the status of many requests. New requests push others to the
/// next page, where they are shown again.
#[derive(Clone, Debug)]
pub(super) struct Sweep {
    /// Those that were due, and were not shown yet.
    asked: BTreeSet<RequestId>,
    /// How many were due.
    many: usize,
    /// Only of this pipeline.
    pipeline: Option<PipelineId>,
    page: u32,
    /// How many entries were read.
    read: u64,
    /// Which of ours were shown, due or not.
    shown: BTreeSet<RequestId>,
}

/// The list that is on its way.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists {
    last: u64,
    on_its_way: Option<Purpose>,
    /// A search whose next page is to be asked for.
    pub(super) unread: Option<Search>,
    /// The same for the status of many.
    sweep: Option<Sweep>,
    /// When the last list for the status of many was begun.
    swept: Time,
    /// No list for the status of many before this,
    crowded_until: Time,
    /// and the wait that led to it; zero after a list that showed what it was asked for.
    crowded: Duration,
}

impl Lists {
    pub(super) const fn is_idle(&self) -> bool {
        self.on_its_way.is_none()
    }

    /// A list is sent: returns its number.
    pub(super) fn send(&mut self, purpose: Purpose) -> u64 {
        self.last += 1;
        self.on_its_way = Some(purpose);
        self.last
    }

    fn are_crowded(&mut self, now: Time) {
        self.crowded = (self.crowded * 2).clamp(CROWDED, LONGEST_CROWDED);
        self.crowded_until = now.after(self.crowded);
    }
}

/// What is asked for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// A page of the list, for many.
    Page,
    /// One request.
    One(RequestId),
}

impl Planner {
    /// The next question for the status of requests, and when it is due. `None`: there is none before
    /// a reply has come.
    pub(super) fn next_question(&self, now: Time) -> Option<(Time, Question)> {
        let (mut many, mut first, mut last, mut alone) = (0_usize, None, Time::ZERO, None);
        for flight in self.flights.values() {
            if let Some(at) = flight.poll_at() {
                let due = Some((at, flight.id));
                if flight.alone {
                    alone = alone.min(due).or(due);
                } else {
                    many += 1;
                    last = last.max(at);
                    first = first.min(due).or(due);
                }
            }
        }
        let one = |due: Option<(Time, RequestId)>| due.map(|(at, id)| (at, Question::One(id)));
        let listed = if self.lists.sweep.is_some() {
            Some((now, Question::Page))
        } else if many >= MANY && self.lists.crowded_until <= now {
            let swept = self.lists.swept;
            first.map(|(first, _)| {
                let some = first.max(swept.after(self.usual.pause()));
                let all = last.max(swept.after(self.usual.interval()));
                (some.min(all), Question::Page)
            })
        } else {
            one(first)
        };
        let busy = !self.lists.is_idle();
        let listed = listed.filter(|(_, question)| !(busy && *question == Question::Page));
        [listed, one(alone)]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
    }

    /// Asks for the next page of a list for many.
    pub(super) fn track(&mut self, now: Time, step: &mut Step) -> Asked {
        let sweep = self.lists.sweep.take();
        let sweep = sweep.unwrap_or_else(|| self.sweep(now));
        let (pipeline, page) = (sweep.pipeline.clone(), sweep.page);
        let list = self.lists.send(Purpose::Track(sweep));
        step.commands.push(Command::List {
            list,
            pipeline,
            page,
        });
        Asked::List(list)
    }

    /// A list for all that are due, or are before the next list could be.
    fn sweep(&mut self, now: Time) -> Sweep {
        let soon = now.after(self.usual.pause());
        let mut pipelines = BTreeSet::new();
        let mut asked = BTreeSet::new();
        for flight in self.flights.values_mut() {
            if !flight.alone && flight.poll_at().is_some_and(|at| at <= soon) {
                flight.poll(now);
                pipelines.insert(flight.pipeline.clone());
                asked.insert(flight.id);
            }
        }
        self.lists.swept = now;
        Sweep {
            many: asked.len(),
            asked,
            pipeline: pipelines.pop_first().filter(|_| pipelines.is_empty()),
            page: 1,
            read: 0,
            shown: BTreeSet::new(),
        }
    }

    pub(super) fn listed(
        &mut self,
        list: u64,
        reply: Result<ListedPage, Refusal>,
        now: Time,
        step: &mut Step,
    ) {
        if list != self.lists.last {
            return;
        }
        let Some(purpose) = self.lists.on_its_way.take() else {
            return;
        };
        self.answered(Asked::List(list), reply.as_ref().err(), now, step);
        match purpose {
            Purpose::Track(sweep) => self.tracked(sweep, reply, now, step),
            Purpose::Find(search) => self.found(search, reply, now, step),
        }
    }

    fn tracked(
        &mut self,
        mut sweep: Sweep,
        reply: Result<ListedPage, Refusal>,
        now: Time,
        step: &mut Step,
    ) {
        let page = match reply {
            Ok(page) => page,
            // There is no such page.
            Err(Refusal::Invalid(_) | Refusal::Unclear(_) | Refusal::NotFound(_))
                if sweep.page > 1 =>
            {
                ListedPage::default()
            }
            Err(refusal) => {
                // Where the list itself is refused, each is asked for alone.
                self.lists.are_crowded(now);
                for id in sweep.asked {
                    if let Some(flight) = self.flights.get_mut(&id) {
                        flight.trouble = Some(refusal.to_string());
                        flight.poll_returned(now);
                    }
                }
                return;
            }
        };
        let more = self.read_statuses(&mut sweep, &page, now, step);
        if more {
            sweep.page += 1;
            self.lists.sweep = Some(sweep);
            return;
        }
        if sweep.asked.len() * 2 > sweep.many {
            self.lists.are_crowded(now);
        } else {
            self.lists.crowded = Duration::ZERO;
        }
        for id in sweep.asked {
            if let Some(flight) = self.flights.get_mut(&id) {
                flight.poll_alone(now);
            }
        }
    }

    /// Reads a page, also for those that are not due; `true` when the next one is needed, and worth
    /// its call.
    fn read_statuses(
        &mut self,
        sweep: &mut Sweep,
        page: &ListedPage,
        now: Time,
        step: &mut Step,
    ) -> bool {
        let listed: BTreeMap<&str, RemoteStatus> = page
            .requests
            .iter()
            .map(|listed| (listed.id.as_str(), listed.status))
            .collect();
        let status = |flight: &Flight| Some((flight.id, *listed.get(flight.remote_id()?)?));
        let ours: Vec<_> = self.flights.values().filter_map(status).collect();
        for (id, status) in ours {
            sweep.shown.insert(id);
            let Some(flight) = self.flights.get_mut(&id) else {
                continue;
            };
            let due = sweep.asked.remove(&id) && flight.poll_returned(now);
            if due {
                flight.trouble = None;
            }
            // That one is not done before it is due teaches nothing.
            if due || matches!(status, RemoteStatus::Done | RemoteStatus::Error) {
                self.observe(id, status, now, step);
            }
        }
        sweep.read += u64::try_from(page.requests.len()).unwrap_or(u64::MAX);
        let ends = page.requests.is_empty() || (page.total > 0 && sweep.read >= page.total);
        // What settled otherwise meanwhile is not waited for.
        sweep.asked.retain(|id| self.flights.contains_key(id));
        let worth = 1 + (sweep.many + sweep.shown.len()) / WORTH_A_PAGE;
        let worth = u32::try_from(worth).unwrap_or(u32::MAX);
        !sweep.asked.is_empty() && !ends && sweep.page < worth
    }
}
