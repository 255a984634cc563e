//! Who is at the other end, for the history.

use std::sync::Arc;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::{TcpListener, UnixListener};

/// Who is at the other end, in words: `root`, `uid 1000`, or an address.
#[derive(Clone, Debug)]
pub(crate) struct Peer(pub(crate) Arc<str>);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(match stream.io().peer_cred() {
            Ok(peer) => user(peer.uid()).into(),
            Err(_) => "somebody".into(),
        })
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self(stream.remote_addr().ip().to_string().into())
    }
}

/// The name of a local user, or the number.
fn user(uid: u32) -> String {
    // A user of a directory service has no line there, and stays a number.
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name(&users, uid).map_or_else(|| format!("uid {uid}"), str::to_owned)
}

fn name(users: &str, uid: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_told_by_name() {
        let users = "root:x:0:0:root:/root:/bin/bash\nbroken\nwww:x:33:33::/:/bin/false\n";
        assert_eq!(name(users, 33), Some("www"));
        assert_eq!(name(users, 0), Some("root"));
        assert_eq!(name(users, 7), None);
    }
}
