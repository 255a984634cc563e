//! What stands between the daemon and the server: it makes pages small, and has faults.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::list;
use crate::bench::{Bench, until};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// Every call is refused.
    Denied,
    /// The first page of a listing says that it is the last one.
    LosesPages,
    /// Every page but the first is cut short.
    CutShort,
    /// The clock of the server is an hour ahead.
    Late,
}

/// A proxy.
#[derive(Clone)]
pub(super) struct Between {
    server: String,
    /// The keys of a page.
    page: usize,
    address: std::net::SocketAddr,
    state: Arc<Mutex<(Fault, u32)>>,
    /// Each call, its method and its URL as the daemon signed it.
    calls: Arc<Mutex<Vec<String>>>,
}

impl Between {
    pub(super) async fn start(server: String, page: usize) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let between = Self {
            server,
            page,
            address: listener.local_addr().unwrap(),
            state: Arc::new(Mutex::new((Fault::None, 0))),
            calls: Arc::default(),
        };
        let router = Router::new().fallback(pass).with_state(between.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        between
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    pub(super) fn set(&self, fault: Fault) {
        *self.state.lock().unwrap() = (fault, 0);
    }

    /// Has the daemon list until so many calls have met the fault.
    pub(super) async fn met(&self, bench: &Bench, times: u32) {
        until("the fault is met", async || {
            list(bench).await;
            (self.state.lock().unwrap().1 >= times).then_some(())
        })
        .await;
    }
}

async fn pass(State(between): State<Between>, request: Request) -> Response {
    let fault = between.state.lock().unwrap().0;
    let meets = || between.state.lock().unwrap().1 += 1;
    if fault == Fault::Denied {
        meets();
        let document = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        return (StatusCode::FORBIDDEN, document).into_response();
    }
    let path = request.uri().path_and_query().unwrap().as_str();
    let call = format!("{} {}{path}", request.method(), between.endpoint());
    between.calls.lock().unwrap().push(call);
    let listing = path.contains("list-type=2");
    let mut url = format!("{}{path}", between.server);
    if listing {
        write!(url, "&max-keys={}", between.page).unwrap();
    }
    let client = reqwest::Client::new();
    let answer = client.request(request.method().clone(), url).send().await;
    let answer = answer.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut body = answer.bytes().await.unwrap().to_vec();
    let mut response = Response::builder().status(status);
    let first = !path.contains("continuation-token");
    match fault {
        Fault::LosesPages if listing && first => {
            meets();
            let text = String::from_utf8(body).unwrap();
            let text = text.replace("<IsTruncated>true<", "<IsTruncated>false<");
            body = text.into_bytes();
        }
        Fault::CutShort if listing && !first => {
            meets();
            body.truncate(body.len() / 2);
        }
        _ => {}
    }
    for (name, value) in &headers {
        let own = [header::TRANSFER_ENCODING, header::CONNECTION];
        let whole = *name == header::CONTENT_LENGTH && listing;
        let late = fault == Fault::Late && *name == header::DATE;
        if !own.contains(name) && !whole && !late {
            response = response.header(name, value);
        }
    }
    if fault == Fault::Late {
        let ahead = jiff::Timestamp::now() + std::time::Duration::from_hours(1);
        let ahead = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&ahead);
        response = response.header(header::DATE, ahead.unwrap());
    }
    response.body(Body::from(body)).unwrap()
}
