//! By when a client has to do its next thing. One timer for each connection watches it: to set a
//! timer for every head and every body would be a good part of what a small delivery costs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::core::time::Time;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// A whole head.
    Head(Time),
    /// More of a body.
    Body(Time),
    /// More of a body, for which it is too late.
    Late,
    /// Nothing that the client has to do.
    Answer,
}

/// What did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RanOut {
    /// A head: the connection is over.
    Head,
    /// A body. Its reader asks [`Deadlines::is_over`].
    Body,
    /// Nothing: the client has done its part.
    Nothing,
}

/// The patience of one connection. No body may be given less time than a head.
#[derive(Debug)]
pub(super) struct Deadlines {
    clock: Clock,
    /// From the first moment, or the last answer, to a whole head.
    head: Duration,
    awaited: Mutex<Awaited>,
    begun: AtomicBool,
}

impl Deadlines {
    /// The patience of a connection that has just been made.
    pub(super) fn new(clock: Clock, head: Duration) -> Self {
        let first = Awaited::Head(clock.now().after(head));
        Self {
            clock,
            head,
            awaited: Mutex::new(first),
            begun: AtomicBool::new(false),
        }
    }

    /// A head is awaited from now on.
    pub(super) fn head(&self) {
        *self.lock() = Awaited::Head(self.clock.now().after(self.head));
    }

    /// More of a body is awaited until then; not before the time that was said of it earlier. What
    /// is too late already stays so.
    pub(super) fn body(&self, until: Time) {
        let mut awaited = self.lock();
        if *awaited != Awaited::Late {
            *awaited = Awaited::Body(until);
        }
    }

    /// The client has done its part.
    pub(super) fn answer(&self) {
        *self.lock() = Awaited::Answer;
        self.begun.store(true, Ordering::Relaxed);
    }

    /// Whether a first head has come.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether the body that is awaited is too late.
    pub(super) fn is_over(&self) -> bool {
        *self.lock() == Awaited::Late
    }

    /// Waits until something did not come in time, or a while, at most until then.
    pub(super) async fn run_out(&self, until: Time) -> RanOut {
        // No wait that begins meanwhile is shorter than this one, so that none is noticed late.
        let at_most = until.min(self.clock.now().after(self.head));
        let until = match *self.lock() {
            Awaited::Head(until) | Awaited::Body(until) => until.min(at_most),
            Awaited::Late | Awaited::Answer => at_most,
        };
        tokio::time::sleep_until(self.clock.instant(until)).await;
        let mut awaited = self.lock();
        let now = self.clock.now();
        match *awaited {
            Awaited::Head(until) if until <= now => RanOut::Head,
            Awaited::Body(until) if until <= now => {
                *awaited = Awaited::Late;
                RanOut::Body
            }
            _ => RanOut::Nothing,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Awaited> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Duration = Duration::from_secs(5);

    /// Waits until a deadline passes. Returns it, and its length in seconds.
    async fn runs_out(deadlines: &Deadlines) -> (RanOut, u64) {
        let began = deadlines.clock.now();
        let never = began.after(Duration::from_hours(1));
        loop {
            let ran_out = deadlines.run_out(never).await;
            if ran_out != RanOut::Nothing {
                return (ran_out, deadlines.clock.now().since(began).as_secs());
            }
        }
    }

    /// Waits as a connection does, while `then` happens after so many seconds.
    async fn meanwhile(deadlines: &Deadlines, seconds: u64, then: impl FnOnce()) {
        tokio::select! {
            biased;
            early = runs_out(deadlines) => panic!("{early:?}"),
            () = tokio::time::sleep(Duration::from_secs(seconds)) => then(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_is_awaited_from_the_first_moment_or_the_last_answer() {
        let deadlines = Deadlines::new(Clock::start(), HEAD);
        assert!(!deadlines.has_begun());
        assert_eq!(runs_out(&deadlines).await, (RanOut::Head, 5));
        let deadlines = Deadlines::new(Clock::start(), HEAD);
        meanwhile(&deadlines, 3, || deadlines.answer()).await;
        // However long an answer takes, the client has done its part.
        meanwhile(&deadlines, 60, || deadlines.head()).await;
        assert!(deadlines.has_begun());
        meanwhile(&deadlines, 4, || deadlines.answer()).await;
        meanwhile(&deadlines, 0, || deadlines.head()).await;
        assert_eq!(runs_out(&deadlines).await, (RanOut::Head, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_late_stays_so_until_it_is_answered() {
        let clock = Clock::start();
        let deadlines = Deadlines::new(clock, HEAD);
        deadlines.answer();
        let began = clock.now();
        deadlines.body(began.after(Duration::from_secs(6)));
        meanwhile(&deadlines, 5, || ()).await;
        // What it brought earns it two more seconds.
        deadlines.body(began.after(Duration::from_secs(8)));
        assert!(!deadlines.is_over());
        assert_eq!(runs_out(&deadlines).await, (RanOut::Body, 3));
        deadlines.body(began.after(Duration::from_secs(9)));
        assert!(deadlines.is_over());
        deadlines.answer();
        assert!(!deadlines.is_over());
    }
}
