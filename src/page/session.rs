//! Who has logged in. A session is a random number in a cookie, and never the token: cookies are sent to
//! every port of a host.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use subtle::ConstantTimeEq as _;

use crate::core::time::Time;

/// Sessions that are kept, at most; the oldest makes room.
const SESSIONS: usize = 32;
/// How long one lasts.
pub(super) const LASTS: Duration = Duration::from_hours(12);
/// Wrong tokens that are compared in a [`WINDOW`], of all clients together.
const ATTEMPTS: usize = 20;
const WINDOW: Duration = Duration::from_mins(1);

/// A session of an operator.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Its number: what the cookie says.
    pub(super) id: String,
    /// What every form has to say, so that no other page can send it.
    pub(super) form: String,
    /// Whose it is, in words: for the history and the log.
    pub(super) who: String,
    /// When it began.
    began: Time,
    /// What the last action came to, until it is shown.
    said: Option<Said>,
}

impl Session {
    /// Whether a form is of this session. It takes as long for one that is nearly right.
    pub(super) fn sent(&self, form: &str) -> bool {
        self.form.as_bytes().ct_eq(form.as_bytes()).into()
    }
}

/// What an action came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// Whether it was done.
    pub(super) done: bool,
    /// The words.
    pub(super) text: String,
}

/// The sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    sessions: BTreeMap<String, Session>,
    wrong: Vec<Time>,
}

impl Sessions {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session.
    pub(super) fn begin(&self, who: String, now: Time) -> Session {
        // Both are 122 random bits of the system.
        let session = Session {
            id: uuid::Uuid::new_v4().simple().to_string(),
            form: uuid::Uuid::new_v4().simple().to_string(),
            who,
            began: now,
            said: None,
        };
        let mut kept = self.kept();
        let sessions = &mut kept.sessions;
        sessions.retain(|_, session| lasts(session, now));
        if sessions.len() >= SESSIONS {
            let oldest = sessions.values().min_by_key(|session| session.began);
            let oldest = oldest.map(|session| session.id.clone());
            oldest.map(|id| sessions.remove(&id));
        }
        sessions.insert(session.id.clone(), session.clone());
        session
    }

    /// The session of this number, while it lasts.
    pub(super) fn get(&self, id: &str, now: Time) -> Option<Session> {
        let kept = self.kept();
        let session = kept.sessions.get(id)?;
        lasts(session, now).then(|| session.clone())
    }

    /// Ends a session.
    pub(super) fn end(&self, id: &str) {
        self.kept().sessions.remove(id);
    }

    /// Keeps what an action came to for the next page of its session.
    pub(super) fn say(&self, id: &str, said: Said) {
        if let Some(session) = self.kept().sessions.get_mut(id) {
            session.said = Some(said);
        }
    }

    /// Takes what was kept by [`Sessions::say`].
    pub(super) fn said(&self, id: &str) -> Option<Said> {
        self.kept().sessions.get_mut(id)?.said.take()
    }

    /// Whether another token may be tried.
    pub(super) fn may_try(&self, now: Time) -> bool {
        let wrong = &mut self.kept().wrong;
        wrong.retain(|at| now.since(*at) < WINDOW);
        wrong.len() < ATTEMPTS
    }

    /// Counts a wrong token.
    pub(super) fn wrong(&self, now: Time) {
        self.kept().wrong.push(now);
    }
}

fn lasts(session: &Session, now: Time) -> bool {
    now.since(session.began) < LASTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_by_itself_and_by_its_owner() {
        let sessions = Sessions::default();
        let start = Time::from_millis(1_000);
        let one = sessions.begin("alice".to_owned(), start);
        let other = sessions.begin("bob".to_owned(), start);
        assert_ne!(one.id, other.id);
        assert_ne!(one.form, one.id, "the form does not betray the cookie");
        assert_eq!(sessions.get(&one.id, start).unwrap().who, "alice");
        sessions.end(&one.id);
        assert!(sessions.get(&one.id, start).is_none());
        assert!(sessions.get(&other.id, start.after(LASTS)).is_none());
    }

    #[test]
    fn the_oldest_session_makes_room() {
        let sessions = Sessions::default();
        let at = |n: u64| Time::from_millis(n);
        let first = sessions.begin(String::new(), at(1));
        let second = sessions.begin(String::new(), at(2));
        for n in 3..=SESSIONS as u64 + 1 {
            sessions.begin(String::new(), at(n));
        }
        assert!(sessions.get(&first.id, at(99)).is_none());
        assert!(sessions.get(&second.id, at(99)).is_some());
    }

    #[test]
    fn tokens_can_be_guessed_a_few_times_a_minute_only() {
        let sessions = Sessions::default();
        let start = Time::from_millis(1_000);
        for _ in 0..ATTEMPTS {
            assert!(sessions.may_try(start));
            sessions.wrong(start);
        }
        assert!(!sessions.may_try(start));
        assert!(sessions.may_try(start.after(WINDOW)));
    }

    #[test]
    fn what_an_action_came_to_is_shown_once() {
        let sessions = Sessions::default();
        let session = sessions.begin(String::new(), Time::ZERO);
        let said = Said {
            done: true,
            text: "resumed".to_owned(),
        };
        sessions.say(&session.id, said.clone());
        assert_eq!(sessions.said(&session.id), Some(said));
        assert_eq!(sessions.said(&session.id), None);
    }
}
