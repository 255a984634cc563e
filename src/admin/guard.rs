//! Who may come in: a foreign `Host` is refused, a change needs the token.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use subtle::ConstantTimeEq as _;

/// The admin token.
pub type Token = SecretString;

/// How a request came in.
#[derive(Debug)]
pub enum Door {
    /// The socket: whoever may open the file may do everything.
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
    match refusal(&door, &request) {
        None => next.run(request).await,
        Some((status, why)) => (status, axum::Json(json!({ "error": why }))).into_response(),
    }
}

fn refusal(door: &Door, request: &Request) -> Option<(StatusCode, &'static str)> {
    let Door::Tcp { address, token } = door else {
        return None;
    };
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    if !host.is_some_and(is_ours) {
        return Some((
            StatusCode::MISDIRECTED_REQUEST,
            "this Host is not served here; use the address that admin.listen names",
        ));
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    // Health is for load balancers and the like: it tells nothing that needs a secret.
    let health = matches!(request.uri().path(), "/healthz" | "/readyz");
    let free = health || (reads && address.ip().is_loopback());
    if free {
        return None;
    }
    match token {
        None => Some((
            StatusCode::FORBIDDEN,
            "nothing can be changed over TCP without admin.token_file; use the socket",
        )),
        Some(token) if bears(request, token) => None,
        Some(_) => Some((
            StatusCode::UNAUTHORIZED,
            "the admin token is missing or wrong; send it as `Authorization: Bearer …`",
        )),
    }
}

fn bears(request: &Request, token: &Token) -> bool {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    given.is_some_and(|given| {
        // Of equal length whatever was sent, so that the comparison tells nothing.
        let digest = |text: &str| *blake3::hash(text.as_bytes()).as_bytes();
        digest(given).ct_eq(&digest(token.expose_secret())).into()
    })
}

/// A name that no stranger's DNS can point here: an address, or `localhost`.
fn is_ours(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
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

    fn check(door: &Door, method: &str, host: &str, bearer: Option<&str>) -> Option<u16> {
        let mut request = Request::builder()
            .method(method)
            .uri("/api/v1/status")
            .header("host", host);
        if let Some(bearer) = bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        let request = request.body(Body::empty()).unwrap();
        refusal(door, &request).map(|(status, _)| status.as_u16())
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
    fn the_socket_is_guarded_by_its_file() {
        assert_eq!(check(&Door::Socket, "POST", "anything", None), None);
    }
}
