//! One list of the API's requests at a time: to ask for the status of many at once, or to find those
//! of unknown outcome.

use std::collections::BTreeSet;
use std::time::Duration;

use super::circuit::Asked;
use super::doubt::Search;
use super::{Command, Planner, Step};
use crate::core::purge::{ListedPage, Refusal, RequestId};
use crate::core::time::Time;

/// From so many due polls on, a list is asked for instead.
const MANY: usize = 5;
/// The shortest wait between two lists for the same purpose.
const PAUSE: Duration = Duration::from_secs(1);
/// After a list that showed less than half of what was asked for, others fill it: no list for so
/// long.
const CROWDED: Duration = Duration::from_mins(1);

/// What a list is for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// The status of these.
    Track(BTreeSet<RequestId>),
    /// Requests of unknown outcome.
    Find(Search),
}

/// The list that is on its way.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists {
    last: u64,
    on_its_way: Option<Purpose>,
    /// A search whose next page is to be asked for.
    pub(super) unread: Option<Search>,
    /// No list for the status of many before this.
    track_from: Time,
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
}

impl Planner {
    /// The requests that are asked for with a list now; none where it is not worth it.
    pub(super) fn to_track(&self, now: Time) -> Vec<RequestId> {
        if !self.lists.is_idle() || self.lists.track_from > now {
            return Vec::new();
        }
        let due: Vec<RequestId> = self
            .flights
            .values()
            .filter(|flight| !flight.alone && flight.poll_at().is_some_and(|at| at <= now))
            .map(|flight| flight.id)
            .collect();
        if due.len() < MANY { Vec::new() } else { due }
    }

    pub(super) fn track(&mut self, due: &[RequestId], now: Time, step: &mut Step) -> Asked {
        let mut pipelines = BTreeSet::new();
        for id in due {
            if let Some(flight) = self.flights.get_mut(id) {
                flight.poll(now);
                pipelines.insert(flight.pipeline.clone());
            }
        }
        self.lists.track_from = now.after(PAUSE);
        let list = self
            .lists
            .send(Purpose::Track(due.iter().copied().collect()));
        let only = pipelines.pop_first().filter(|_| pipelines.is_empty());
        step.commands.push(Command::List {
            list,
            pipeline: only,
            page: 1,
        });
        Asked::List(list)
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
            Purpose::Track(asked) => self.tracked(&asked, reply, now, step),
            Purpose::Find(search) => self.found(search, reply, now, step),
        }
    }

    fn tracked(
        &mut self,
        asked: &BTreeSet<RequestId>,
        reply: Result<ListedPage, Refusal>,
        now: Time,
        step: &mut Step,
    ) {
        let page = match reply {
            Ok(page) => page,
            Err(refusal) => {
                // Where the list itself is refused, each is asked for alone.
                self.lists.track_from = now.after(CROWDED);
                for id in asked {
                    if let Some(flight) = self.flights.get_mut(id) {
                        flight.trouble = Some(refusal.to_string());
                        flight.poll_returned(now);
                    }
                }
                return;
            }
        };
        let mut shown = 0;
        for id in asked {
            let Some(flight) = self.flights.get_mut(id) else {
                continue;
            };
            let listed = page
                .requests
                .iter()
                .find(|listed| flight.remote_id() == Some(&listed.id));
            let Some(listed) = listed else {
                flight.poll_alone(now);
                continue;
            };
            shown += 1;
            if flight.poll_returned(now) {
                flight.trouble = None;
                self.observe(*id, listed.status, now, step);
            }
        }
        if shown * 2 < asked.len() {
            self.lists.track_from = now.after(CROWDED);
        }
    }
}
