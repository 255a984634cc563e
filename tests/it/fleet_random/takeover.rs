//! How long it takes until another node leads.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use edgepurge::core::time::Time;
use serde_json::json;

use super::history::Sort;
use super::judge::Trouble;

/// The line of a log that says so.
pub(super) const LEADS: &str = "this node leads from now on";

/// Whether nothing else was wrong meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alone {
    Alone,
    AmidOthers,
}

/// Times until the next node led, by what the leader, or its database, met.
#[derive(Clone, Default)]
pub(super) struct Takeovers(BTreeMap<(Sort, Alone), Vec<Duration>>);

impl Takeovers {
    /// Those of these troubles, by the logs of the nodes. A database counts from when it is back.
    pub(super) fn of(logs: &[String], troubles: &[Trouble]) -> Self {
        let mut began: Vec<(Time, usize)> = Vec::new();
        for (node, log) in logs.iter().enumerate() {
            let lines = log.lines().filter(|line| line.contains(LEADS));
            began.extend(lines.map(|line| (time(line), node)));
        }
        began.sort_unstable();
        let mut takeovers = Self::default();
        for one in troubles {
            let from = if one.node.is_some() { one.from } else { one.to };
            let next = began.partition_point(|(at, _)| *at <= from);
            let led = next.checked_sub(1).map(|before| began[before]);
            let (Some((since, led)), Some((at, leads))) = (led, began.get(next)) else {
                continue;
            };
            // One that goes on in time goes on to lead.
            let goes_on = matches!(one.sort, Sort::Halted | Sort::Cut);
            let had_ended = |other: &Trouble| {
                let ended = matches!(other.sort, Sort::Killed | Sort::Stopped);
                ended && other.node == Some(led) && since < other.from && other.from < one.from
            };
            if one.node.is_some_and(|node| led != node)
                || goes_on && (*at > one.to || *leads == led)
                || troubles.iter().any(had_ended)
            {
                continue;
            }
            let meanwhile = |other: &&Trouble| other.from <= *at && other.to >= one.from;
            let alone = match troubles.iter().filter(meanwhile).count() {
                1 => Alone::Alone,
                _ => Alone::AmidOthers,
            };
            let times = takeovers.0.entry((one.sort, alone)).or_default();
            times.push(at.since(from));
        }
        takeovers
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (of, times) in &other.0 {
            self.0.entry(*of).or_default().extend(times);
        }
    }
}

/// Least, median and most of each.
impl fmt::Debug for Takeovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.iter().map(|((sort, alone), times)| {
            let mut times = times.clone();
            times.sort_unstable();
            let [least, median, most] = [0, times.len() / 2, times.len() - 1].map(|at| times[at]);
            let of = format!("{sort:?} {alone:?}");
            (
                of,
                format!("{}: {least:?}/{median:?}/{most:?}", times.len()),
            )
        });
        f.debug_map().entries(all).finish()
    }
}

/// When a line was logged.
fn time(line: &str) -> Time {
    let time = line.split_whitespace().next().unwrap();
    serde_json::from_value(json!(time)).unwrap()
}
