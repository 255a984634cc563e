use std::sync::Mutex;
use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::Frame;
use serde_json::Value;

use super::*;
use crate::core::change::PipelineId;
use crate::core::delivery::{DeliveryProgress, DeliveryRecord, Intent, NewDelivery};
use crate::sink::{SinkError, SinkFuture};
use crate::webhook::http::deadlines::RanOut;
use crate::webhook::kind::generic;
use crate::webhook::{Kind, Origins, Purge, RouteSettings};

const SECRET: &str = "a-secret-of-more-than-16-bytes";

/// Takes deliveries, or fails.
#[derive(Debug, Default)]
struct Taker {
    taken: Mutex<Vec<NewDelivery<Intent>>>,
    fails: bool,
}

impl Deliveries for Taker {
    fn deliver(&self, delivery: NewDelivery<Intent>) -> SinkFuture<'_, Taken> {
        Box::pin(async move {
            if self.fails {
                return Err(SinkError::NotCommitted("the disk is full".into()));
            }
            self.taken.lock().unwrap().push(delivery);
            Ok(Taken::New(1))
        })
    }

    fn delivery<'a>(
        &'a self,
        _route: &'a str,
        _event: &'a str,
    ) -> SinkFuture<'a, Option<DeliveryRecord>> {
        Box::pin(async { Ok(None) })
    }

    fn progress<'a>(&'a self, _: &'a str, _: &'a str) -> SinkFuture<'a, Option<DeliveryProgress>> {
        Box::pin(async { Ok(None) })
    }
}

const LIMITS: BodyLimits = BodyLimits {
    bytes: 1 << 20,
    allowance: Duration::from_secs(5),
    rate: 64 << 10,
    total: Duration::from_secs(10),
};

fn server(taker: &Arc<Taker>) -> Arc<Server> {
    let settings = RouteSettings {
        path: "/hooks/www".to_owned(),
        pipeline: PipelineId::new("www"),
        origins: Origins::Directories,
        kind: Kind::new(&generic::SENDER),
        repositories: Vec::new(),
        workflows: Vec::new(),
        environments: Vec::new(),
        events: None,
        branches: Vec::new(),
        purge: Some(Purge::Files),
        files_root: String::new(),
        delay: Duration::from_secs(3),
        dedupe: Duration::from_mins(10),
    };
    let route = Route::new(settings, &[SECRET.into()]).unwrap();
    let hook = Hook {
        route,
        pipeline: "www".into(),
    };
    let settings = ServerSettings {
        body_limit: LIMITS.bytes,
        trusted_proxies: Vec::new(),
        failed_auth_per_minute: NonZeroU32::new(2).unwrap(),
        certificate: None,
    };
    let clock = Clock::start();
    Arc::new(Server::new(
        vec![hook],
        &Tallies::default(),
        settings,
        LIMITS,
        Arc::clone(taker) as _,
        tokio_util::sync::CancellationToken::new(),
        clock,
    ))
}

fn request<B>(token: &str, body: B) -> Request<B> {
    Request::post("/hooks/www")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(body)
        .unwrap()
}

fn whole(text: &str) -> Full<Bytes> {
    Full::from(text.to_owned())
}

/// A body in pieces, each after a wait.
fn pieces(count: usize, piece: usize, wait: Duration) -> impl Body<Data = Bytes> + Unpin {
    let frames = futures_util::stream::unfold(count, move |left| async move {
        let left = left.checked_sub(1)?;
        tokio::time::sleep(wait).await;
        let frame = Frame::data(Bytes::from(vec![b' '; piece]));
        Some((Ok::<_, std::convert::Infallible>(frame), left))
    });
    StreamBody::new(Box::pin(frames))
}

async fn answer<B>(server: &Arc<Server>, request: Request<B>) -> (u16, Value, bool)
where
    B: Body<Data = Bytes> + Unpin,
{
    let connection = Connection::local(server.clock);
    let answer = Arc::clone(server).answer(request, Arc::clone(&connection));
    let never = server.clock.now().after(Duration::from_hours(1));
    let watched = async { while connection.deadlines.run_out(never).await != RanOut::Head {} };
    let Ok(response) = tokio::select! {
        biased;
        () = watched => panic!("nobody waits for a head"),
        answer = answer => answer,
    };
    let (status, retry) = (
        response.status().as_u16(),
        response.headers().contains_key(RETRY_AFTER),
    );
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap(), retry)
}

#[tokio::test]
async fn what_cannot_be_committed_is_to_be_sent_again() {
    let taker = Arc::new(Taker {
        fails: true,
        ..Taker::default()
    });
    let server = server(&taker);
    let request = request(SECRET, whole("{\"paths\":[\"a.css\"]}"));
    let (status, body, retry) = answer(&server, request).await;
    assert_eq!((status, retry), (503, true));
    assert!(!body.to_string().contains("disk"), "nobody's business");
}

#[tokio::test]
async fn a_delivery_is_handed_on_with_its_time() {
    let taker = Arc::new(Taker::default());
    let server = server(&taker);
    let request = request(SECRET, whole("{\"paths\":[\"a.css\"]}"));
    let (status, body, _) = answer(&server, request).await;
    assert_eq!((status, &body["changes"]), (202, &1.into()));
    let deliveries = taker.taken.lock().unwrap();
    let one = &deliveries[0];
    assert_eq!(one.work, Intent::Files(vec![b"a.css".to_vec()]));
    assert_eq!(one.due.since(one.at), Duration::from_secs(3));
    let status = &server.status()[0];
    assert_eq!(status.answers["accepted"], 1);
    assert_eq!(
        &*status.last.as_ref().unwrap().event,
        body["event"].as_str().unwrap()
    );
}

#[tokio::test]
async fn a_body_that_there_is_no_room_for_counts_for_all_that_it_could_have_said() {
    let taker = Arc::new(Taker::default());
    let mut server = server(&taker);
    Arc::get_mut(&mut server).unwrap().budget = Budget::new(10, 0);
    let long = request(SECRET, whole("{\"paths\":[\"a.css\"]}"));
    let (status, ..) = answer(&server, long).await;
    assert_eq!(status, 202);
    assert_eq!(taker.taken.lock().unwrap()[0].work, Intent::Scan);
    let stranger = request("wrong", whole("{\"paths\":[\"a.css\"]}"));
    assert_eq!(answer(&server, stranger).await.0, 401);
}

#[tokio::test]
async fn nothing_is_committed_for_whoever_has_to_leave() {
    let taker = Arc::new(Taker::default());
    let server = server(&taker);
    let body = || whole("{\"scan\":true}");
    let leaves = Connection::evicted(server.clock);
    let answer = Arc::clone(&server).answer(request(SECRET, body()), leaves);
    let Ok(answer) = answer.await;
    assert_eq!(answer.status(), 503);
    assert!(taker.taken.lock().unwrap().is_empty());
    let stays = Connection::local(server.clock);
    let answer = Arc::clone(&server).answer(request(SECRET, body()), stays);
    let Ok(answer) = answer.await;
    assert_eq!(answer.status(), 202);
}

#[tokio::test(start_paused = true)]
async fn a_body_gets_time_by_what_it_brings() {
    let server = server(&Arc::new(Taker::default()));
    let second = Duration::from_secs(1);
    for (count, piece, wait, status, what) in [
        (1, 10, second * 4, 400, "late, but there"),
        (6, 10, second, 408, "too little"),
        (8, 128 << 10, second, 400, "at a good rate"),
        (12, 64 << 10, second, 408, "too long at any rate"),
        (9, 128 << 10, Duration::ZERO, 413, "too much"),
    ] {
        let request = request(SECRET, pieces(count, piece, wait));
        assert_eq!(answer(&server, request).await.0, status, "{what}");
    }
}

#[tokio::test]
async fn too_many_failures_are_said_and_those_who_may_are_heard() {
    let server = server(&Arc::new(Taker::default()));
    for wanted in [401, 401, 429] {
        let stranger = request("wrong", whole("{}"));
        let (status, body, retry) = answer(&server, stranger).await;
        assert_eq!((status, retry), (wanted, wanted == 429), "{body}");
    }
    let asked = Request::get("/hooks/www/x").body(Empty::new()).unwrap();
    assert_eq!(answer(&server, asked).await.0, 429);
    let mine = request(SECRET, whole("{\"scan\":true}"));
    assert_eq!(answer(&server, mine).await.0, 202);
}
