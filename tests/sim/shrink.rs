//! Makes a failing history shorter: leaves out steps as long as it still fails.

use crate::history::History;

/// So many tries, so that a test that fails does not hang.
const TRIES: usize = 400;

pub(crate) fn shrink(mut history: History, fails: impl Fn(&History) -> bool) -> History {
    let mut tries = 0;
    let mut chunk = history.steps.len().div_ceil(2);
    while chunk > 0 && tries < TRIES {
        let mut from = 0;
        while from < history.steps.len() && tries < TRIES {
            let mut shorter = history.clone();
            let to = (from + chunk).min(shorter.steps.len());
            shorter.steps.drain(from..to);
            tries += 1;
            if fails(&shorter) {
                history = shorter;
            } else {
                from = to;
            }
        }
        chunk /= 2;
    }
    history
}
