//! From a request to its answer: route, authenticity, meaning, commit. In this order, and nothing
//! is read of a delivery before it is authentic.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Bytes};
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use super::body::{self, BodyLimits, Unread};
use super::budget::{Budget, Kept};
use super::certificate::CurrentCertificate;
use super::client::{Client, Peer, Proxies};
use super::connections::Connection;
use super::failures::Failures;
use super::refusal::Reason;
use super::tally::{RouteStatus, Tallies, Tally};
use crate::clock::Clock;
use crate::core::delivery::{DeliveryState, Intent, NewDelivery, Taken};
use crate::core::time::Time;
use crate::sink::Deliveries;
use crate::webhook::auth::verifier::Authentic;
use crate::webhook::payload::content::Unreadable;
use crate::webhook::route::Route;
use crate::webhook::route::delivery::Delivery;
use crate::webhook::route::delivery::Wish;
use refusing::Call;

mod refusing;

/// Bytes of bodies that are kept at once, besides the first of each body.
const KEPT: usize = 32 << 20;
/// The first bytes of a body, which are always kept.
const FIRST: usize = 32 << 10;
/// A body above this is read on a thread of its own, where it delays no other call.
const LARGE: usize = 128 << 10;

/// The longest that a question about a delivery waits for its end.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// How often a delivery that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Questions that wait at once; those above are answered at once.
const WAITERS: usize = 64;

/// Where calls of no route are counted: every route begins with a slash.
const NO_ROUTE: &str = "";

/// What the listener has to know.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The largest body, in bytes.
    pub body_limit: u64,
    /// The proxies whose word about the client is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Failed authentications per client and minute.
    pub failed_auth_per_minute: NonZeroU32,
    /// The certificate that is shown; without one, there is no TLS.
    pub certificate: Option<Arc<CurrentCertificate>>,
}

/// A route, and the name of its pipeline.
#[derive(Debug)]
pub struct Hook {
    /// The route.
    pub route: Route,
    /// The pipeline's name.
    pub pipeline: Arc<str>,
}

/// A route at work.
#[derive(Debug)]
struct Served {
    hook: Hook,
    path: Arc<str>,
    tally: Arc<Tally>,
}

/// Answers requests.
pub(super) struct Server {
    routes: BTreeMap<Arc<str>, Arc<Served>>,
    /// Counts calls of no route, and handshakes that came to nothing.
    unknown: Arc<Tally>,
    pub(super) proxies: Proxies,
    failures: Failures,
    budget: Budget,
    limits: BodyLimits,
    deliveries: Arc<dyn Deliveries>,
    /// Places for questions that wait.
    waiters: Semaphore,
    stopping: CancellationToken,
    clock: Clock,
}

impl Server {
    pub(super) fn new(
        hooks: Vec<Hook>,
        tallies: &Tallies,
        settings: ServerSettings,
        limits: BodyLimits,
        deliveries: Arc<dyn Deliveries>,
        stopping: CancellationToken,
        clock: Clock,
    ) -> Self {
        let routes = hooks.into_iter().map(|hook| {
            let path: Arc<str> = hook.route.path().into();
            let served = Served {
                hook,
                path: Arc::clone(&path),
                tally: tallies.of(&path),
            };
            (path, Arc::new(served))
        });
        Self {
            routes: routes.collect(),
            unknown: tallies.of(NO_ROUTE),
            proxies: Proxies::new(settings.trusted_proxies),
            failures: Failures::new(settings.failed_auth_per_minute),
            budget: Budget::new(KEPT, FIRST),
            limits,
            deliveries,
            waiters: Semaphore::new(WAITERS),
            stopping,
            clock,
        }
    }

    pub(super) fn tallies(&self) -> Tallies {
        let tally = |(path, served): (&Arc<str>, &Arc<Served>)| {
            (Arc::clone(path), Arc::clone(&served.tally))
        };
        let unknown = (NO_ROUTE.into(), Arc::clone(&self.unknown));
        let routes = self.routes.iter().map(tally);
        Tallies(routes.chain([unknown]).collect())
    }

    /// How many calls were of no route.
    pub(super) fn unknown_calls(&self) -> u64 {
        self.unknown.count(Reason::NoRoute)
    }

    /// How many TLS handshakes came to nothing.
    pub(super) fn failed_handshakes(&self) -> u64 {
        self.unknown.count(Reason::Handshake)
    }

    pub(super) fn status(&self) -> Vec<RouteStatus> {
        let status = |served: &Arc<Served>| {
            let hook = &served.hook;
            served
                .tally
                .status(&served.path, hook.route.kind().as_str(), &hook.pipeline)
        };
        self.routes.values().map(status).collect()
    }

    /// Answers a request of a connection; it never fails.
    pub(super) async fn answer<B>(
        self: Arc<Self>,
        request: Request<B>,
        connection: Arc<Connection>,
    ) -> Result<Response<Full<Bytes>>, Infallible>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        connection.deadlines.answer();
        let (mut head, body) = request.into_parts();
        let answer = if let Some(served) = self.routes.get(head.uri.path()) {
            let answer = self.called(served, &mut head, body, &connection);
            served.tally.answered(answer.await)
        } else if let Some((served, event)) = self.event(&head) {
            let answer = self.asked(served, &head, event, &connection);
            served.tally.answered(answer.await)
        } else {
            self.unknown(&head, connection.peer)
        };
        connection.deadlines.head();
        // The map of what came is large enough for what goes.
        head.headers.clear();
        Ok(answer.into_response(head.headers))
    }

    /// The delivery that a request asks about.
    fn event<'h>(&self, head: &'h Parts) -> Option<(&Arc<Served>, &'h str)> {
        let (route, event) = head.uri.path().rsplit_once('/')?;
        let served = self.routes.get(route)?;
        (head.method == Method::GET).then_some((served, event))
    }

    /// A call of a route itself.
    async fn called<B>(
        &self,
        served: &Arc<Served>,
        head: &mut Parts,
        body: B,
        connection: &Connection,
    ) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let route = &served.hook.route;
        let call = Call {
            served,
            headers: &head.headers,
            peer: connection.peer,
        };
        if head.method != Method::POST {
            return self.handshake(call, &head.method);
        }
        if !body::is_plainly_framed(call.headers) {
            return self.unread(call, Unread::Aborted);
        }
        let now = self.clock.now();
        let seconds = i64::try_from(now.millis() / 1_000).unwrap_or(i64::MAX);
        let mut verifier = route.verifier(call.headers, seconds);
        let kept = if verifier.is_hopeless() {
            self.budget.nothing()
        } else {
            self.budget.body()
        };
        let deadlines = &connection.deadlines;
        let read = body::read(body, &self.limits, &mut verifier, kept, now, deadlines).await;
        deadlines.answer();
        let body = match read {
            Ok(body) => body,
            Err(unread) => return self.unread(call, unread),
        };
        let authentic = match verifier.finish() {
            Ok(authentic) => authentic,
            Err(why) => return self.unauthentic(call, why, seconds),
        };
        // A client that is closed gets no response, so that nothing may be committed for it any more.
        if !connection.slot.mark_authenticated() {
            return Answer::Unavailable;
        }
        match understood(served, &mut head.headers, authentic, body).await {
            Some(Ok(delivery)) => self.commit(served, delivery, now).await,
            Some(Err(why)) => {
                let headers = &head.headers;
                self.unreadable(
                    Call {
                        served,
                        headers,
                        peer: connection.peer,
                    },
                    &why,
                );
                Answer::Unreadable(why)
            }
            None => Answer::Unavailable,
        }
    }

    async fn commit(&self, served: &Served, delivery: Delivery, at: Time) -> Answer {
        let (route, pipeline) = (&served.hook.route, &served.hook.pipeline);
        let Delivery {
            event,
            dedupe_key,
            what,
            wish,
        } = delivery;
        let (asks, because) = match wish {
            Wish::Nothing(why) => {
                tracing::info!(
                    route = &*served.path,
                    event = &*event,
                    what = &*what,
                    "ignored: {why}"
                );
                return Answer::Ignored(why);
            }
            Wish::Files(files) if route.kind().sender.names_objects => {
                (Intent::Objects(files), None)
            }
            Wish::Files(files) => (Intent::Files(files), None),
            Wish::Assets(assets) => (Intent::Assets(assets), None),
            Wish::Scan { because } => (Intent::Scan, because),
            Wish::All { because } => (Intent::All, because),
        };
        let asked = match &asks {
            Intent::All => "all",
            Intent::Assets(_) => "assets",
            Intent::Files(_) | Intent::Objects(_) => "files",
            Intent::Scan => "scan",
        };
        let taken = self.deliveries.deliver(NewDelivery {
            route: Arc::clone(&served.path),
            event: Arc::clone(&event),
            dedupe_key,
            dedupe: route.dedupe(),
            what: Arc::clone(&what),
            pipeline: route.pipeline().clone(),
            at,
            due: at.after(route.delay()),
            work: asks,
        });
        match taken.await {
            Ok(Taken::New(changes)) => {
                tracing::info!(
                    route = &*served.path,
                    event = &*event,
                    what = &*what,
                    asked,
                    because,
                    changes,
                    "a delivery"
                );
                served.tally.delivered(Arc::clone(&event), at);
                Answer::Accepted {
                    event,
                    pipeline: Arc::clone(pipeline),
                    changes,
                }
            }
            Ok(Taken::Duplicate) => {
                tracing::info!(
                    route = &*served.path,
                    event = &*event,
                    what = &*what,
                    "a repeated delivery"
                );
                Answer::Duplicate
            }
            Err(error) => {
                tracing::error!(
                    route = &*served.path,
                    event = &*event,
                    "a delivery can't be taken: {error}; its sender is asked to try again"
                );
                Answer::Unavailable
            }
        }
    }

    /// What became of a delivery; with `?wait=30s` in the query, when it has ended, or after that time.
    async fn asked(
        &self,
        served: &Served,
        head: &Parts,
        event: &str,
        connection: &Connection,
    ) -> Answer {
        if !served.hook.route.may_ask(&head.headers) {
            let call = Call {
                served,
                headers: &head.headers,
                peer: connection.peer,
            };
            return self.may_not_ask(call);
        }
        if !connection.slot.mark_authenticated() {
            return Answer::Unavailable;
        }
        let Ok(event) = percent_decode_str(event).decode_utf8() else {
            return Answer::NoEvent;
        };
        let Some(wait) = wait_of(head.uri.query().unwrap_or_default()) else {
            return Answer::BadWait;
        };
        // Where too many wait already, the answer comes at once, as without `wait`.
        let place = self.waiters.try_acquire();
        let wait = if place.is_ok() { wait } else { Duration::ZERO };
        let until = self.clock.now().after(wait);
        let (route, seconds) = (&*served.path, wait.as_secs());
        tracing::debug!(route, event = &*event, seconds, "asked about a delivery");
        let asked = async {
            while let Some(record) = self.deliveries.delivery(&served.path, &event).await? {
                let ended = matches!(record.state, DeliveryState::Done | DeliveryState::Failed);
                if ended || self.clock.now() >= until || self.stopping.is_cancelled() {
                    break;
                }
                tokio::select! {
                    () = self.stopping.cancelled() => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
            self.deliveries.progress(&served.path, &event).await
        };
        match asked.await {
            Ok(Some(progress)) => {
                Answer::State(Arc::clone(&served.hook.pipeline), Box::new(progress))
            }
            Ok(None) => Answer::NoEvent,
            Err(error) => {
                tracing::error!("a delivery can't be looked up: {error}");
                Answer::Unavailable
            }
        }
    }
}

/// How long a question may wait: `wait=30s` or `wait=30` in its query, at most a minute. `None`: it can't be
/// read.
fn wait_of(query: &str) -> Option<Duration> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let Some((_, value)) = pairs.find(|(name, _)| *name == "wait") else {
        return Some(Duration::ZERO);
    };
    let seconds: u64 = value.strip_suffix('s').unwrap_or(value).parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

impl Peer {
    /// As limits count it; `None` for one that stands for many.
    pub(super) fn alone(self, proxies: &Proxies) -> Option<Client> {
        match self {
            Self::Ip(address) if !proxies.trusts(self) => Some(Client::of(address)),
            _ => None,
        }
    }
}

/// What an authentic delivery says; `None` where it could not be found out.
async fn understood(
    served: &Arc<Served>,
    headers: &mut HeaderMap,
    authentic: Authentic,
    mut body: Kept,
) -> Option<Result<Delivery, Unreadable>> {
    let length = body.length();
    if length.is_none() {
        tracing::warn!(
            route = &*served.path,
            "too many bytes of deliveries are in memory: this one counts, and is not read"
        );
    }
    if length.is_none_or(|length| length <= LARGE) {
        return Some(served.hook.route.read(headers, &authentic, body.whole()));
    }
    let served = Arc::clone(served);
    let headers = std::mem::take(headers);
    let read = move || served.hook.route.read(&headers, &authentic, body.whole());
    let read = tokio::task::spawn_blocking(read).await;
    if let Err(error) = &read {
        tracing::error!("a delivery could not be read: {error}");
    }
    read.ok()
}

#[cfg(test)]
mod tests;
