//! Who may come in: a foreign `Host` is refused, a change needs the token, and no page of another
//! origin may make one, whatever token its browser sends.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, REFERER};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use super::AdminError;

/// What a browser says of where a request comes from.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The admin token.
pub type Token = SecretString;

/// How a request came in.
#[derive(Debug)]
pub enum Door {
    /// The socket: a client that may open the file may do everything.
    Socket,
    /// TCP.
    Tcp {
        /// Where it listens.
        address: SocketAddr,
        /// Without one, nothing can be changed.
        token: Option<Token>,
    },
}

/// Lets a request pass, or answers why not.
pub(super) async fn guard(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    match check(&door, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// What the page knows of a request besides its session.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// Whether it may read without a session.
    pub(crate) reads: bool,
    /// What a session is begun with; without it nothing can be changed.
    pub(crate) token: Option<Token>,
}

/// Lets a request for the page pass, with its [`Access`]: the page has sessions, and says itself who
/// may read and act.
pub(super) async fn page_guard(
    State(door): State<Arc<Door>>,
    mut request: Request,
    next: Next,
) -> Response {
    match check_page(&door, &request) {
        Ok(access) => {
            request.extensions_mut().insert(access);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

fn check_page(door: &Door, request: &Request) -> Result<Access, AdminError> {
    let host = host(request);
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        check_form(request.headers(), host.as_ref())?;
    }
    let Door::Tcp { address, token } = door else {
        return Ok(Access {
            reads: true,
            token: None,
        });
    };
    if host.is_none() {
        return Err(AdminError::Misdirected);
    }
    let bears = |token: &Token| bears(request.headers(), token);
    Ok(Access {
        reads: address.ip().is_loopback() || token.as_ref().is_some_and(bears),
        token: token.clone(),
    })
}

/// Refuses a form that another page than this daemon's sends. Behind a proxy the browser's origin is that
/// of the proxy, so that only the browser knows whether it is the same; no page can make it say so.
fn check_form(headers: &HeaderMap, host: Option<&Authority>) -> Result<(), AdminError> {
    let mut sites = headers.get_all(FETCH_SITE).iter();
    match (sites.next(), sites.next()) {
        (Some(site), None) if site == "same-origin" => Ok(()),
        (None, _) if headers.contains_key(ORIGIN) => check_origin(headers, host),
        _ => Err(AdminError::Forbidden(
            "this form was not sent by this daemon's own page; open the page anew, and send it there"
                .to_owned(),
        )),
    }
}

/// Whether this is the token. It takes the same time for every text.
pub(crate) fn is_token(given: &str, token: &Token) -> bool {
    // Of equal length whatever was sent, so that the comparison tells nothing.
    let digest = |text: &str| *blake3::hash(text.as_bytes()).as_bytes();
    digest(given).ct_eq(&digest(token.expose_secret())).into()
}

fn check(door: &Door, request: &Request) -> Result<(), AdminError> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let host = host(request);
    if !reads {
        check_origin(request.headers(), host.as_ref())?;
    }
    let Door::Tcp { address, token } = door else {
        return Ok(());
    };
    if host.is_none() {
        return Err(AdminError::Misdirected);
    }
    // Health is for load balancers and the like: it tells nothing that needs a secret.
    let health = matches!(request.uri().path(), "/healthz" | "/readyz");
    if reads && (health || address.ip().is_loopback()) {
        return Ok(());
    }
    match token {
        None => Err(AdminError::Forbidden(
            "nothing can be changed over TCP without admin.token_file; use the socket".to_owned(),
        )),
        Some(token) if bears(request.headers(), token) => Ok(()),
        Some(_) => Err(AdminError::Unauthorized),
    }
}

/// Refuses a change that a page of another origin makes in the browser of an operator.
/// What is no browser sends none of these headers.
fn check_origin(headers: &HeaderMap, host: Option<&Authority>) -> Result<(), AdminError> {
    let ours = |value: &str| {
        // Only the whole origin counts: another port or scheme is another program.
        let mut rest = value.strip_prefix("http://").unwrap_or_default().split('/');
        let from = rest.next().and_then(authority);
        from.is_some() && from.as_ref() == host
    };
    let own_site = |value: &str| matches!(value, "same-origin" | "none");
    let is = |name: HeaderName, good: &dyn Fn(&str) -> bool| {
        let mut values = headers.get_all(&name).iter();
        let bad = |value: &axum::http::HeaderValue| !value.to_str().is_ok_and(good);
        match values.find(|value| bad(value)) {
            None => Ok(headers.contains_key(&name)),
            Some(value) => Err(AdminError::Forbidden(format!(
                "{name}: {} is not this daemon's own page, and no other page may change anything; \
                 send the call from a program, without that header",
                String::from_utf8_lossy(value.as_bytes()).escape_debug()
            ))),
        }
    };
    is(FETCH_SITE, &own_site)?;
    // A browser leaves `Origin` out of some requests, and then says where it is in `Referer`.
    if !is(ORIGIN, &ours)? {
        is(REFERER, &ours)?;
    }
    Ok(())
}

fn bears(headers: &HeaderMap, token: &Token) -> bool {
    let given = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    given.is_some_and(|(_, given)| is_token(given, token))
}

/// The host that a request is for, where that is this daemon: a name that no stranger's DNS can point
/// here, in every place that names one.
fn host(request: &Request) -> Option<Authority> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = authority(hosts.next()?.to_str().ok()?)?;
    let same = request.uri().authority().is_none_or(|other| *other == host);
    (same && hosts.next().is_none()).then_some(host)
}

/// An address or `localhost`, perhaps with a port.
fn authority(text: &str) -> Option<Authority> {
    let authority: Authority = text.parse().ok()?;
    let name = authority.host();
    let address = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(name);
    let ours = name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok();
    let port = text.strip_prefix(name)?;
    let plain = |port: &str| port.parse::<u16>().is_ok();
    let plain = port.is_empty() || port.strip_prefix(':').is_some_and(plain);
    (ours && plain).then_some(authority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn tcp(address: &str, token: Option<&str>) -> Door {
        Door::Tcp {
            address: address.parse().unwrap(),
            token: token.map(Token::from),
        }
    }

    fn checked(door: &Door, method: &str, headers: &[(&str, &str)]) -> Option<u16> {
        let mut request = Request::builder().method(method).uri("/api/v1/status");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let refusal = super::check(door, &request).err()?;
        Some(refusal.into_response().status().as_u16())
    }

    fn check(door: &Door, method: &str, host: &str, bearer: Option<&str>) -> Option<u16> {
        let mut headers = vec![("host", host)];
        let bearer = bearer.map(|bearer| format!("Bearer {bearer}"));
        if let Some(bearer) = &bearer {
            headers.push(("authorization", bearer));
        }
        checked(door, method, &headers)
    }

    #[test]
    fn a_foreign_host_is_refused_over_tcp() {
        let door = tcp("127.0.0.1:9787", None);
        for host in [
            "127.0.0.1:9787",
            "localhost:9787",
            "[::1]:9787",
            "localhost",
        ] {
            assert_eq!(check(&door, "GET", host, None), None, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9787",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "[::1].evil.example",
            "localhost:",
            "",
        ] {
            assert_eq!(check(&door, "GET", host, None), Some(421), "{host}");
        }
    }

    #[test]
    fn changes_over_tcp_need_the_token_and_reading_off_loopback_too() {
        let loopback = tcp("127.0.0.1:9787", Some("sixteen-bytes-xx"));
        let public = tcp("192.0.2.1:9787", Some("sixteen-bytes-xx"));
        let host = "127.0.0.1";
        assert_eq!(
            check(&tcp("127.0.0.1:1", None), "POST", host, None),
            Some(403)
        );
        assert_eq!(check(&loopback, "GET", host, None), None);
        assert_eq!(check(&loopback, "POST", host, None), Some(401));
        assert_eq!(check(&loopback, "POST", host, Some("wrong")), Some(401));
        assert_eq!(
            check(&loopback, "POST", host, Some("sixteen-bytes-xx")),
            None
        );
        assert_eq!(check(&public, "GET", host, None), Some(401));
        assert_eq!(check(&public, "GET", host, Some("sixteen-bytes-xx")), None);
    }

    #[test]
    fn no_page_of_another_origin_changes_anything_whatever_its_token() {
        let tcp = tcp("127.0.0.1:9787", Some("sixteen-bytes-xx"));
        let sent = |door: &Door, method: &str, more: &[(&str, &str)]| {
            let mut headers = vec![
                ("host", "127.0.0.1:9787"),
                ("authorization", "bearer sixteen-bytes-xx"),
            ];
            headers.extend_from_slice(more);
            checked(door, method, &headers)
        };
        for own in [
            &[][..],
            &[("origin", "http://127.0.0.1:9787")],
            &[("referer", "http://127.0.0.1:9787/p/www?x")],
            &[
                ("origin", "http://127.0.0.1:9787"),
                ("sec-fetch-site", "same-origin"),
            ],
            &[("sec-fetch-site", "none")],
        ] {
            for method in ["POST", "DELETE"] {
                assert_eq!(sent(&tcp, method, own), None, "{own:?}");
                assert_eq!(sent(&Door::Socket, method, own), None, "{own:?}");
            }
        }
        for foreign in [
            &[("origin", "http://evil.example")][..],
            &[("origin", "null")],
            &[("origin", "")],
            &[("origin", "http://127.0.0.1:8080")],
            &[("origin", "http://127.0.0.1")],
            &[("origin", "https://127.0.0.1:9787")],
            &[("origin", "http://localhost:9787")],
            &[("origin", "http://127.0.0.1:9787.evil.example")],
            &[("origin", "http://evil@127.0.0.1:9787")],
            &[("origin", "chrome-extension://abcdef")],
            &[
                ("origin", "http://127.0.0.1:9787"),
                ("origin", "http://evil.example"),
            ],
            &[
                ("origin", "http://127.0.0.1:9787"),
                ("sec-fetch-site", "cross-site"),
            ],
            &[("referer", "http://evil.example/127.0.0.1:9787")],
            &[("referer", "http://127.0.0.1:97870/")],
            &[("sec-fetch-site", "same-site")],
        ] {
            assert_eq!(sent(&tcp, "POST", foreign), Some(403), "{foreign:?}");
            assert_eq!(
                sent(&Door::Socket, "PUT", foreign),
                Some(403),
                "{foreign:?}"
            );
            assert_eq!(sent(&tcp, "GET", foreign), None, "it reads: {foreign:?}");
        }
        // A name that a foreign DNS points here is its own origin, and not ours.
        let rebound = [("host", "evil.example"), ("origin", "http://evil.example")];
        assert_eq!(checked(&Door::Socket, "POST", &rebound), Some(403));
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(checked(&tcp, "GET", &twice), Some(421));
    }

    fn page(door: &Door, method: &str, headers: &[(&str, &str)]) -> Result<bool, u16> {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        check_page(door, &request)
            .map(|access| access.reads)
            .map_err(|refusal| refusal.into_response().status().as_u16())
    }

    #[test]
    fn the_page_is_read_on_loopback_and_elsewhere_with_the_token_or_a_session() {
        let host = ("host", "127.0.0.1:9787");
        let bears = ("authorization", "Bearer sixteen-bytes-xx");
        let loopback = tcp("127.0.0.1:9787", Some("sixteen-bytes-xx"));
        let public = tcp("192.0.2.1:9787", Some("sixteen-bytes-xx"));
        assert_eq!(page(&loopback, "GET", &[host]), Ok(true));
        assert_eq!(page(&public, "GET", &[host]), Ok(false), "it has to log in");
        assert_eq!(page(&public, "GET", &[host, bears]), Ok(true));
        assert_eq!(page(&Door::Socket, "GET", &[]), Ok(true));
        for foreign in ["evil.example", "127.0.0.1.evil.example"] {
            let sent = [("host", foreign), bears];
            assert_eq!(page(&loopback, "GET", &sent), Err(421), "{foreign}");
        }
    }

    #[test]
    fn a_form_comes_from_the_page_itself() {
        let door = tcp("127.0.0.1:9787", Some("sixteen-bytes-xx"));
        let host = ("host", "127.0.0.1:9787");
        let own = ("origin", "http://127.0.0.1:9787");
        let proxied = ("origin", "https://ops.example.com");
        let site = |site| ("sec-fetch-site", site);
        for good in [
            &[own][..],
            &[own, site("same-origin")],
            &[proxied, site("same-origin")],
        ] {
            let sent = [&[host][..], good].concat();
            assert_eq!(page(&door, "POST", &sent), Ok(true), "{good:?}");
        }
        for bad in [
            &[][..],
            &[proxied],
            &[("origin", "null")],
            &[own, site("cross-site")],
            &[own, site("same-site")],
            &[own, site("none")],
            &[own, site("same-origin"), site("cross-site")],
        ] {
            let sent = [&[host][..], bad].concat();
            assert_eq!(page(&door, "POST", &sent), Err(403), "{bad:?}");
        }
    }

    #[test]
    fn the_socket_is_guarded_by_its_file() {
        assert_eq!(check(&Door::Socket, "POST", "anything", None), None);
    }
}
