//! The status page of the admin listener. HTML is made here, of the documents of the admin API, so that
//! the page shows what `edgepurge status` and the API say; it works without script.
//!
//! What comes from files, senders and operators is text: `maud` escapes everything, and the policy of
//! [`assets::headers`] lets a browser run nothing but the page's own script. Links and forms are relative,
//! so that the page works below a path of a proxy.

mod act;
mod assets;
mod buttons;
mod deliveries;
mod events;
mod frame;
mod history;
mod live;
mod login;
mod now;
mod one;
mod session;
mod state;
mod text;
mod visitor;
mod why;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::admin::{Admin, PageRoutes};
use session::Sessions;

/// Streams of events that are open at once, at most.
const STREAMS: usize = 32;
/// A form at most, in bytes.
const BODY_LIMIT: usize = 256 * 1024;

/// What the page works with.
struct Page {
    admin: Arc<Admin>,
    sessions: Sessions,
    /// A place for each stream of events.
    streams: Arc<Semaphore>,
    /// When streams end.
    stopping: CancellationToken,
    /// The name of this machine.
    host: String,
}

impl Page {
    /// What the calls of the admin API work with.
    fn admin(&self) -> State<Arc<Admin>> {
        State(Arc::clone(&self.admin))
    }
}

/// The routes of the page; the admin router puts its guard before them.
pub(crate) fn routes(admin: &Arc<Admin>, stopping: CancellationToken) -> PageRoutes {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let page = Arc::new(Page {
        admin: Arc::clone(admin),
        sessions: Sessions::default(),
        streams: Arc::new(Semaphore::new(STREAMS)),
        stopping,
        host: host.trim().to_owned(),
    });
    let routes = Router::new()
        .route("/", get(now::now))
        .route("/p/{pipeline}", get(one::one))
        .route("/history", get(history::history))
        .route("/deliveries", get(deliveries::deliveries))
        .route("/why", get(why::why))
        .route("/login", get(login::form).post(login::login))
        .route("/logout", post(login::logout))
        .route("/do", post(act::act))
        .route("/events", get(events::events))
        .route("/icon.svg", get(assets::icon))
        .route("/page.css", get(assets::style))
        .route("/page.js", get(assets::script))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(axum::middleware::map_response(async |answer| {
            assets::headers(answer)
        }))
        .with_state(page);
    let unknown = visitor::unknown;
    PageRoutes { routes, unknown }
}
