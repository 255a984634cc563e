//! Counts each refusal by its reason, and logs it in one line with path, route, reason and remedy. Of a
//! flood it logs the first lines, and the number of the others.

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};

use super::{Served, Server};
use crate::webhook::auth::refused::Refused;
use crate::webhook::http::answer::Answer;
use crate::webhook::http::body::Unread;
use crate::webhook::http::client::Peer;
use crate::webhook::http::handshake::Unfinished;
use crate::webhook::http::meant;
use crate::webhook::http::refusal::Reason;
use crate::webhook::http::tally::{LastRefusal, Line};
use crate::webhook::payload::content::Unreadable;
use crate::webhook::payload::content::printable;
use crate::webhook::route::diagnosis::Diagnosis;

/// How a call came.
#[derive(Clone, Copy)]
pub(super) struct Call<'c> {
    pub(super) served: &'c Served,
    pub(super) headers: &'c HeaderMap,
    pub(super) peer: Peer,
}

impl Server {
    /// Refuses a delivery that is not authentic; the answer is the same for every reason.
    pub(super) fn unauthentic(&self, call: Call<'_>, why: Refused, now_unix: i64) -> Answer {
        let route = &call.served.hook.route;
        self.unauthorized(call, why, || route.diagnosis(why, call.headers, now_unix))
    }

    /// Refuses one who asks, and has to show the secret.
    pub(super) fn may_not_ask(&self, call: Call<'_>) -> Answer {
        let route = &call.served.hook.route;
        let why = route.asks(call.headers).err().unwrap_or(Refused::Wrong);
        self.unauthorized(call, why, || {
            Diagnosis::new(
                "who asks has to send `Authorization: Bearer` with the route's secret, or to show it as its deliveries do",
                "give whoever asks that secret; one of an Ed25519 route is public, and lets nobody ask",
            )
        })
    }

    fn unauthorized(
        &self,
        call: Call<'_>,
        why: Refused,
        say: impl FnOnce() -> Diagnosis,
    ) -> Answer {
        self.refused(call, Reason::Auth(why), say);
        let client = self.proxies.client(call.peer, call.headers);
        if self.failures.count(client, self.clock.now()) {
            return Answer::Unauthorized;
        }
        Answer::Throttled
    }

    /// Answers another method than `POST`.
    pub(super) fn handshake(&self, call: Call<'_>, method: &Method) -> Answer {
        let route = &call.served.hook.route;
        let methods = route.methods();
        let Some(handshake) = route.handshake(method, call.headers) else {
            self.refused(call, Reason::Method, || {
                let takes: Vec<&str> = methods.iter().map(Method::as_str).collect();
                Diagnosis::new(
                    format!("the method is {}", printable(method.as_str())),
                    format!(
                        "let the sender use {}; a redirect on the way may have made it another",
                        takes.join(" or ")
                    ),
                )
            });
            return Answer::Method(methods);
        };
        match handshake.status {
            StatusCode::UNAUTHORIZED => return self.may_not_ask(call),
            StatusCode::FORBIDDEN => self.refused(call, Reason::Origin, || {
                Diagnosis::new(
                    "it asks for an origin that `allowed_origins` does not have, in WebHook-Request-Origin",
                    "add it there, if it is the sender's",
                )
            }),
            _ => {}
        }
        Answer::Handshake(handshake)
    }

    /// Refuses a body that did not come, or is too large.
    pub(super) fn unread(&self, call: Call<'_>, unread: Unread) -> Answer {
        let (reason, answer, what, remedy) = match unread {
            Unread::TooLarge => (
                Reason::OverLimit,
                Answer::TooLarge,
                format!(
                    "the body is over webhooks.body_limit, {} bytes",
                    self.limits.bytes
                ),
                "raise the limit, or let the sender send less",
            ),
            Unread::Aborted => (
                Reason::Broken,
                Answer::Broken,
                "the body is not as its headers say, or ended before its end".to_owned(),
                "see whether the sender gave up, or a proxy changes bodies (Content-Length, Transfer-Encoding)",
            ),
            Unread::Slow => (
                Reason::Slow,
                Answer::Cut,
                "the body did not come in time".to_owned(),
                "see to the network, and let a proxy read the whole body before it calls",
            ),
        };
        self.refused(call, reason, || Diagnosis::new(what, remedy));
        answer
    }

    /// Logs an authentic delivery that is not what its kind sends.
    pub(super) fn unreadable(&self, call: Call<'_>, why: &Unreadable) {
        self.refused(call, Reason::Unreadable, || {
            let kind = call.served.hook.route.kind().as_str();
            Diagnosis::new(
                format!("it is authentic, and not what kind = \"{kind}\" sends: {why}"),
                "see that `kind` is the sender, and that it sends JSON",
            )
        });
    }

    /// Counts and logs a refused call of a route.
    pub(super) fn refused(&self, call: Call<'_>, why: Reason, say: impl FnOnce() -> Diagnosis) {
        let now = self.clock.now();
        let Some(line) = call.served.tally.refused(why, now) else {
            return;
        };
        let Diagnosis { what, remedy } = say();
        let client = self.proxies.client(call.peer, call.headers).to_string();
        tracing::warn!(
            route = &*call.served.path,
            %client,
            reason = why.as_str(),
            suppressed = line.suppressed(),
            "a delivery is refused: {what}; {remedy}{}",
            line.end()
        );
        call.served.tally.logged(LastRefusal {
            since: now,
            at: now,
            client,
            reason: why.as_str().to_owned(),
            what,
            remedy,
        });
    }

    /// Counts a call of no route, and logs which one was meant.
    pub(super) fn unknown(&self, head: &Parts, peer: Peer) -> Answer {
        let reason = Reason::NoRoute;
        let Some(line) = self.unknown.refused(reason, self.clock.now()) else {
            return Answer::NoRoute;
        };
        let routes = self.routes.keys().map(|route| &**route);
        let path = meant::shown(head.uri.path(), &routes);
        let (meant, diagnosis) = meant::diagnosis(&path, routes);
        let Diagnosis { what, remedy } = diagnosis;
        let client = self.proxies.client(peer, &head.headers);
        let (method, reason, suppressed, end) = (
            printable(head.method.as_str()),
            reason.as_str(),
            line.suppressed(),
            line.end(),
        );
        if let Some(route) = meant {
            tracing::warn!(
                path, route, %client, method, reason, suppressed,
                "a delivery is refused: {what}; {remedy}{end}"
            );
        } else {
            // Scanners try all paths of all machines: no warning.
            tracing::info!(
                path, %client, method, reason, suppressed,
                "a call is refused: {what}; {remedy}{end}"
            );
        }
        Answer::NoRoute
    }

    /// Counts a TLS handshake that failed, and logs why.
    pub(in crate::webhook::http) fn failed_handshake(&self, peer: Peer, why: Unfinished) {
        let reason = Reason::Handshake;
        let Some(line) = self.unknown.refused(reason, self.clock.now()) else {
            return;
        };
        let client = self.proxies.client(peer, &HeaderMap::new());
        let (reason, suppressed, end) = (reason.as_str(), line.suppressed(), line.end());
        match why {
            Unfinished::Left => tracing::info!(
                %client, reason, suppressed,
                "a client left before its TLS handshake was done{end}"
            ),
            Unfinished::Failed(Diagnosis { what, remedy }) => tracing::warn!(
                %client, reason, suppressed,
                "a connection is refused: {what}; {remedy}{end}"
            ),
        }
    }
}

impl Line {
    /// How many got no line before it, where there were any.
    fn suppressed(self) -> Option<u64> {
        (self.suppressed > 0).then_some(self.suppressed)
    }

    const fn end(self) -> &'static str {
        if self.last {
            "; more of this reason are only counted for a minute (edgepurge_webhook_refusals_total)"
        } else {
            ""
        }
    }
}
