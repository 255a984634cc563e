//! Who asks for a page, and what they may do.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{COOKIE, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use maud::html;

use super::Page;
use super::assets::{VERSION, headers};
use super::frame::ways;
use super::session::Session;
use crate::admin::{Access, AdminError};

/// What the script says of its requests.
const SCRIPT: &str = "x-script";

/// The levels of an unknown address, at most, from which there is a way back.
const MOST_LEVELS: usize = 20;

/// The name of the cookie.
pub(super) const NAME: &str = "edgepurge_session";

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    /// The session, where there is one.
    pub(super) session: Option<Session>,
    /// Whether one can be begun: there is a token.
    pub(super) may_log_in: bool,
    /// Whether the script of a page asks, which takes nothing in but what is live.
    pub(super) script: bool,
}

impl Visitor {
    /// Who sent this request, whether they may read or not.
    pub(super) fn of(page: &Page, access: &Access, headers: &HeaderMap) -> Self {
        let now = page.admin.clock.now();
        let cookies = headers.get_all(COOKIE).iter();
        let cookies = cookies.filter_map(|line| line.to_str().ok());
        let mut pairs = cookies.flat_map(|line| line.split(';'));
        let session = pairs.find_map(|pair| {
            let (name, id) = pair.trim().split_once('=')?;
            (name == NAME).then(|| page.sessions.get(id, now))?
        });
        Self {
            session,
            may_log_in: access.token.is_some(),
            script: headers.contains_key(SCRIPT),
        }
    }
}

/// Sends who may not read to the form where they log in.
#[derive(Debug)]
pub(super) struct LogIn {
    /// The way back to the root of the page.
    base: &'static str,
}

impl IntoResponse for LogIn {
    fn into_response(self) -> Response {
        let to = format!("{}login", self.base);
        (StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response()
    }
}

impl FromRequestParts<Arc<Page>> for Visitor {
    type Rejection = LogIn;

    async fn from_request_parts(parts: &mut Parts, page: &Arc<Page>) -> Result<Self, LogIn> {
        let base = base(parts.uri.path());
        let Some(access) = parts.extensions.get::<Access>() else {
            return Err(LogIn { base });
        };
        let visitor = Self::of(page, access, &parts.headers);
        if access.reads || visitor.session.is_some() {
            Ok(visitor)
        } else {
            Err(LogIn { base })
        }
    }
}

/// The way from a page back to the root of all.
fn base(path: &str) -> &'static str {
    if path.starts_with("/p/") { "../" } else { "" }
}

/// Why a page can't be shown.
#[derive(Debug)]
pub(super) struct PageError {
    error: AdminError,
    /// The way back to the root of the page.
    base: String,
}

impl PageError {
    /// Of a page below the root.
    pub(super) fn below(error: impl Into<AdminError>) -> Self {
        let (error, base) = (error.into(), "../".to_owned());
        Self { error, base }
    }
}

/// The answer to a browser at an address where nothing is.
pub(super) fn unknown(uri: &Uri) -> Response {
    let levels = uri.path().matches('/').count().saturating_sub(1);
    let error = AdminError::NotFound("there is no page at this address".to_owned());
    let base = "../".repeat(levels.min(MOST_LEVELS));
    headers(PageError { error, base }.into_response())
}

impl<E: Into<AdminError>> From<E> for PageError {
    fn from(error: E) -> Self {
        let (error, base) = (error.into(), String::new());
        Self { error, base }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let title = match self.error {
            AdminError::NotFound(_) => "Not found",
            _ => "This was not done, or can't be shown",
        };
        let text = html! {
            (maud::DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (title) " · edgepurge" }
                    link rel="stylesheet" href={ (self.base) "page.css?" (*VERSION) };
                }
                body {
                    main {
                        h1 { (title) }
                        p class="said refused" role="alert" { (self.error) }
                        nav aria-label="Pages" {
                            (ways(&self.base, ""))
                            a href={ (self.base) "login" } { "Log in" }
                        }
                    }
                }
            }
        };
        (
            self.error.status(),
            axum::response::Html(text.into_string()),
        )
            .into_response()
    }
}
