//! `/login`: the admin token begins a session, which may change things.

use std::sync::Arc;

use axum::extract::{ConnectInfo, State};
use axum::http::header::{LOCATION, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::{Extension, Form};
use maud::{Markup, html};
use serde::Deserialize;

use super::Page;
use super::frame::Frame;
use super::session::LASTS;
use super::visitor::{NAME, Visitor};
use crate::admin::{Access, Peer, is_token};

/// The longest name of an operator, in bytes.
const LONGEST: usize = 60;

#[derive(Debug, Deserialize)]
pub(super) struct LoginForm {
    token: String,
    #[serde(default)]
    name: String,
}

/// `GET /login`
pub(super) async fn form(
    State(page): State<Arc<Page>>,
    Extension(access): Extension<Access>,
    headers: HeaderMap,
) -> Html<String> {
    show(&page, &access, &headers, None)
}

fn show(page: &Page, access: &Access, headers: &HeaderMap, refused: Option<&str>) -> Html<String> {
    let visitor = Visitor::of(page, access, headers);
    let frame = Frame {
        title: "Log in",
        at: "login",
        base: "",
        status: None,
        visitor: &visitor,
    };
    frame.show(page, &content(access, refused))
}

fn content(access: &Access, refused: Option<&str>) -> Markup {
    html! {
        h1 { "Log in" }
        @if let Some(refused) = refused { p class="said refused" role="alert" { (refused) } }
        @if access.token.is_none() {
            p { "Nothing can be changed here, since the configuration has no " code { "admin.token_file" } "." }
        } @else {
            p { "The admin token is in the file that " code { "admin.token_file" } " names. A session lasts 12 hours." }
            form class="login" method="post" {
                label { "Token " input type="password" name="token" required autocomplete="current-password" autofocus; }
                label {
                    "Your name " small { "for the record of what is done; may be empty" }
                    input name="name" maxlength=(LONGEST) autocomplete="username";
                }
                button { "Log in" }
            }
        }
    }
}

/// `POST /login`
pub(super) async fn login(
    State(page): State<Arc<Page>>,
    Extension(access): Extension<Access>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    headers: HeaderMap,
    Form(form): Form<LoginForm>,
) -> Response {
    let now = page.admin.clock.now();
    let refused = |status: StatusCode, text: &str| {
        (status, show(&page, &access, &headers, Some(text))).into_response()
    };
    let Some(token) = &access.token else {
        return refused(StatusCode::FORBIDDEN, "There is no admin.token_file.");
    };
    if !page.sessions.may_try(now) {
        let text = "So many wrong tokens were sent in the last minute; try again in a minute.";
        return refused(StatusCode::TOO_MANY_REQUESTS, text);
    }
    if !is_token(form.token.trim(), token) {
        page.sessions.wrong(now);
        tracing::warn!("a login with a wrong token from {peer}");
        return refused(StatusCode::UNAUTHORIZED, "This is not the token.");
    }
    let session = page.sessions.begin(who(&form.name, &peer), now);
    tracing::info!("a session begins: {}", session.who);
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    let secure = match origin {
        Some(origin) if origin.starts_with("https://") => "; Secure",
        _ => "",
    };
    // Without a path it is sent to the page and what is below it, also behind a proxy.
    let cookie = format!(
        "{NAME}={}; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
        session.id,
        LASTS.as_secs()
    );
    let about = [(SET_COOKIE, cookie), (LOCATION, ".".to_owned())];
    (StatusCode::SEE_OTHER, about).into_response()
}

/// Who acts, in words: the name that was given, and the address.
fn who(name: &str, peer: &str) -> String {
    let name = name.trim();
    let printable =
        !name.is_empty() && name.len() <= LONGEST && !name.chars().any(char::is_control);
    if printable {
        format!("{name} (page, session of {peer})")
    } else {
        format!("page, session of {peer}")
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct LogoutForm {
    form: String,
}

/// `POST /logout`
pub(super) async fn logout(
    State(page): State<Arc<Page>>,
    Extension(access): Extension<Access>,
    headers: HeaderMap,
    Form(sent): Form<LogoutForm>,
) -> Response {
    let session = Visitor::of(&page, &access, &headers).session;
    if let Some(session) = session.filter(|session| session.sent(&sent.form)) {
        page.sessions.end(&session.id);
    }
    let cookie = format!("{NAME}=; HttpOnly; SameSite=Strict; Max-Age=0");
    let about = [(SET_COOKIE, cookie), (LOCATION, ".".to_owned())];
    (StatusCode::SEE_OTHER, about).into_response()
}
