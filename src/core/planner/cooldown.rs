//! The time between two purges of a pipeline's whole cache.
//!
//! `all_cooldown` lies between two of them; meanwhile assets are purged one by one. It doubles, up to 30
//! minutes, while those repeat that neither a person nor a delivery asked for (`AllReason::by`). A
//! delivery's waits for the configured time and no longer, so that earlier purges do not delay a deploy.
//! A person's does not wait. Three in a row raise the alarm `all_repeats`, which names who asked and
//! lasts until they stop.
//!
//! Only an `all` that the API took starts the time: a refused one emptied no cache, and is sent again
//! after its backoff.
//!
//! `never`, as the value of `all_above` or `all_after`, turns off its own reason only. For `backlog`, the
//! pace is that of the last five minutes in which there was a backlog, a working API and no pause
//! (`core/planner/drain_rate.rs`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::core::purge::{AllBy, AllReason};
use crate::core::time::Time;

/// The longest time between two that were not asked for, however often they repeat.
const LONGEST: Duration = Duration::from_mins(30);
/// So many in a row are too many.
const TOO_MANY: u32 = 3;
/// How many of those who asked are named.
const NAMED: usize = 5;

/// Purges of everything that came soon after each other: how many, and when the last was.
#[derive(Clone, Copy, Debug, Default)]
struct Streak {
    last: Option<Time>,
    count: u32,
}

impl Streak {
    fn add(&mut self, now: Time, soon: Duration) {
        let again = self.last.is_some_and(|last| now.since(last) < soon);
        self.count = if again {
            self.count.saturating_add(1)
        } else {
            1
        };
        self.last = self.last.max(Some(now));
    }

    fn lasts(&self, now: Time, soon: Duration) -> bool {
        self.count >= TOO_MANY && self.last.is_some_and(|last| now.since(last) < soon)
    }
}

/// What is undone where the API did not take it.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    /// The last of all.
    last: Option<Time>,
    asked: Streak,
    own: Streak,
}

/// The purges of everything of one pipeline.
#[derive(Clone, Debug)]
pub(super) struct Cooldown {
    /// As configured.
    wait: Duration,
    sent: Sent,
    /// Before the last one.
    before: Sent,
    /// Who asked, the last one at the end.
    askers: VecDeque<(Time, Arc<str>)>,
}

impl Cooldown {
    pub(super) fn new(wait: Duration, last: Option<Time>) -> Self {
        let own = Streak {
            last,
            count: u32::from(last.is_some()),
        };
        let sent = Sent {
            last,
            asked: Streak::default(),
            own,
        };
        Self {
            wait,
            sent,
            before: sent,
            askers: VecDeque::new(),
        }
    }

    /// The time between two that were not asked for.
    pub(super) fn own(&self) -> Duration {
        let doublings = self.sent.own.count.saturating_sub(1).min(16);
        self.wait
            .saturating_mul(1 << doublings)
            .min(LONGEST.max(self.wait))
    }

    /// When one for this reason may be sent.
    pub(super) fn ends(&self, reason: AllReason) -> Time {
        let after = |last: Option<Time>, wait| last.map_or(Time::ZERO, |last| last.after(wait));
        let any = after(self.sent.last, self.wait);
        match reason.by() {
            AllBy::Person => Time::ZERO,
            AllBy::Delivery => any,
            AllBy::Edgepurge => any.max(after(self.sent.own.last, self.own())),
        }
    }

    /// A person or a delivery asks for one; the reason as it was given.
    pub(super) fn asked(&mut self, who: Arc<str>, now: Time) {
        self.askers.retain(|(_, other)| *other != who);
        if self.askers.len() >= NAMED {
            self.askers.pop_front();
        }
        self.askers.push_back((now, who));
    }

    /// One is sent.
    pub(super) fn sent(&mut self, reason: AllReason, now: Time) {
        self.before = self.sent;
        match reason.by() {
            AllBy::Edgepurge => self.sent.own.add(now, self.own().saturating_mul(2)),
            AllBy::Person | AllBy::Delivery => self.sent.asked.add(now, self.asks_soon()),
        }
        // At a start, one that may have been sent is not always the last.
        self.sent.last = self.sent.last.max(Some(now));
    }

    /// The API took it: from now on the next one waits.
    pub(super) fn taken(&mut self, reason: AllReason, now: Time) {
        self.sent.last = Some(now);
        match reason.by() {
            AllBy::Edgepurge => self.sent.own.last = Some(now),
            AllBy::Person | AllBy::Delivery => self.sent.asked.last = Some(now),
        }
        // Another one that comes to nothing takes nothing of that back.
        self.before = self.sent;
    }

    /// The API did not take the last one: it emptied no cache, and nothing waits for it.
    pub(super) fn undo(&mut self) {
        self.sent = self.before;
    }

    /// Asked for within this, they are asked for often.
    const fn asks_soon(&self) -> Duration {
        self.wait.saturating_mul(2)
    }

    /// What an operator should know, while it lasts.
    pub(super) fn alarm(&self, now: Time) -> Option<String> {
        if self.sent.asked.lasts(now, self.asks_soon()) {
            let soon = self.asks_soon();
            let recent = self
                .askers
                .iter()
                .filter(|(at, _)| now.since(*at) < soon.saturating_mul(3));
            let names: Vec<&str> = recent.map(|(_, who)| &**who).collect();
            return Some(format!(
                "the whole cache was purged {} times in a row since it was asked for, by: {}; ask \
                 for less: limit a route to what deploys (`workflows`, `environments`, `branches`, \
                 `events`), or have it purge \"scan\" or \"files\" instead of \"all\"",
                self.sent.asked.count,
                names.join("; "),
            ));
        }
        let own = self.own();
        self.sent.own.lasts(now, own.saturating_mul(2)).then(|| {
            format!(
                "the whole cache was purged again and again: at most every {} s now; find out \
                 what rewrites the origin, or raise all_above",
                own.as_secs()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn minute() -> Cooldown {
        Cooldown::new(Duration::from_mins(1), None)
    }

    #[test]
    fn what_is_asked_for_never_waits_longer_than_configured() {
        let mut cooldown = minute();
        let mut now = 0;
        for _ in 0..20 {
            cooldown.asked("route /hooks/www".into(), at(now));
            now = now.max(cooldown.ends(AllReason::Webhook).millis() / 1_000);
            cooldown.sent(AllReason::Webhook, at(now));
            cooldown.taken(AllReason::Webhook, at(now));
            assert_eq!(cooldown.ends(AllReason::Webhook), at(now + 60));
            assert_eq!(cooldown.ends(AllReason::Manual), Time::ZERO);
            assert_eq!(cooldown.ends(AllReason::Count), at(now + 60));
        }
    }

    #[test]
    fn what_nobody_asked_for_waits_longer_and_longer() {
        let mut cooldown = minute();
        let mut now = 100;
        for wait in [60, 120, 240, 480, 960, 1_800, 1_800] {
            cooldown.sent(AllReason::Count, at(now));
            cooldown.taken(AllReason::Count, at(now));
            assert_eq!(cooldown.ends(AllReason::Backlog), at(now + wait));
            // It does not keep a deploy waiting.
            assert_eq!(cooldown.ends(AllReason::Webhook), at(now + 60));
            now += wait;
        }
        assert!(cooldown.alarm(at(now)).is_some());
        assert_eq!(cooldown.alarm(at(now + 3_600)), None, "it rests");
        cooldown.sent(AllReason::Count, at(now + 3_600));
        assert_eq!(cooldown.own(), Duration::from_mins(1));
    }

    #[test]
    fn who_asks_so_often_is_named_until_they_stop() {
        let mut cooldown = minute();
        for minutes in 0..4 {
            for who in ["route /hooks/www: lint", "route /hooks/www: deploy"] {
                cooldown.asked(who.into(), at(minutes * 60));
            }
            cooldown.sent(AllReason::Webhook, at(minutes * 60));
            assert_eq!(cooldown.alarm(at(minutes * 60)).is_some(), minutes >= 2);
        }
        let text = cooldown.alarm(at(200)).unwrap();
        assert!(text.contains("4 times"), "{text}");
        assert!(
            text.contains("by: route /hooks/www: lint; route /hooks/www: deploy;"),
            "{text}"
        );
        assert_eq!(cooldown.alarm(at(600)), None);
    }

    #[test]
    fn one_that_the_api_did_not_take_counts_for_nothing() {
        let mut cooldown = minute();
        for reason in [AllReason::Count, AllReason::Webhook, AllReason::Manual] {
            cooldown.sent(reason, at(100));
            cooldown.undo();
            assert_eq!(cooldown.ends(AllReason::Count), Time::ZERO, "{reason:?}");
            assert_eq!(cooldown.ends(AllReason::Webhook), Time::ZERO, "{reason:?}");
        }
    }

    #[test]
    fn the_last_one_before_a_start_is_waited_for_and_no_longer_than_configured() {
        let cooldown = Cooldown::new(Duration::from_mins(1), Some(at(100)));
        assert_eq!(cooldown.ends(AllReason::Count), at(160));
        assert_eq!(cooldown.ends(AllReason::Webhook), at(160));
    }
}
