//! The client of a request: the peer, or what trusted proxies say of it. Of two forwarding headers that
//! disagree, neither is believed: a proxy writes one of them, and passes on what the client wrote in the
//! other.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::header::FORWARDED;
use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Addresses of proxies; more are not asked for by name.
const HOPS: usize = 64;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// From an address.
    Ip(IpAddr),
    /// Through a Unix socket: who may, is said by its file's permission.
    Local,
}

/// One client, as limits count it: an IPv4 address, or a /64 of IPv6, which is what one person gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Client {
    Ip(IpAddr),
    Local,
}

impl Client {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::Ip(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            address @ IpAddr::V4(_) => Self::Ip(address),
        }
    }
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Local => f.write_str("local"),
        }
    }
}

/// The proxies whose word is believed.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies(Vec<IpNet>);

impl Proxies {
    pub(super) fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether a peer is a trusted proxy. One that may use the Unix socket is, where there are any.
    pub(super) fn trusts(&self, peer: Peer) -> bool {
        match peer {
            Peer::Ip(address) => self.knows(address),
            Peer::Local => !self.0.is_empty(),
        }
    }

    fn knows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client: from the right, the first address that is no trusted proxy. An entry that can't
    /// be read ends the search: what is left of it can't be believed.
    pub(super) fn client(&self, peer: Peer, headers: &HeaderMap) -> Client {
        let client = match peer {
            Peer::Ip(address) => Client::of(address),
            Peer::Local => Client::Local,
        };
        if !self.trusts(peer) {
            return client;
        }
        let by_header = |name: HeaderName, read: fn(&str) -> Option<IpAddr>| {
            headers
                .contains_key(&name)
                .then(|| self.first(client, hops(headers, &name, read)))
        };
        match (
            by_header(FORWARDED, forwarded),
            by_header(FORWARDED_FOR, address),
        ) {
            (Some(one), Some(other)) if one == other => one,
            (Some(one), None) | (None, Some(one)) => one,
            // A proxy writes one of the two, and passes on what the client wrote in the other.
            (Some(_), Some(_)) | (None, None) => client,
        }
    }

    /// The first hop from the right that is no trusted proxy.
    fn first(&self, mut client: Client, hops: Vec<Option<IpAddr>>) -> Client {
        for hop in hops.into_iter().rev() {
            let Some(address) = hop else { return client };
            client = Client::of(address);
            if !self.knows(address) {
                return client;
            }
        }
        client
    }
}

/// The hops that a header lists, in order; `None` for what is no address. Several lines are one
/// list.
fn hops(
    headers: &HeaderMap,
    name: &HeaderName,
    read: fn(&str) -> Option<IpAddr>,
) -> Vec<Option<IpAddr>> {
    let lines: Vec<&str> = headers
        .get_all(name)
        .iter()
        .map(|line| line.to_str().unwrap_or_default())
        .collect();
    let mut last: Vec<_> = lines
        .iter()
        .flat_map(|line| line.split(','))
        .rev()
        .take(HOPS)
        .map(read)
        .collect();
    last.reverse();
    last
}

/// The `for` of one element of `Forwarded`.
fn forwarded(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("for") {
            return None;
        }
        address(value.trim().trim_matches('"'))
    })
}

/// An address, perhaps with a port, IPv6 perhaps in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    text.parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, lines: &[(&'static str, &str)]) -> String {
        let networks = trusted.iter().map(|one| one.parse().unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let peer = match peer {
            "local" => Peer::Local,
            address => Peer::Ip(address.parse().unwrap()),
        };
        Proxies::new(networks.collect())
            .client(peer, &headers)
            .to_string()
    }

    const XFF: &str = "x-forwarded-for";

    #[test]
    fn nobody_is_believed_who_is_not_trusted() {
        let lines = [(XFF, "1.2.3.4")];
        assert_eq!(client(&[], "9.9.9.9", &lines), "9.9.9.9");
        assert_eq!(client(&["10.0.0.0/8"], "9.9.9.9", &lines), "9.9.9.9");
        assert_eq!(client(&[], "local", &lines), "local");
    }

    #[test]
    fn the_first_from_the_right_that_is_no_proxy_is_the_client() {
        let proxies = ["10.0.0.0/8", "fd00::/8"];
        let is = |peer: &str, lines: &[(&'static str, &str)]| client(&proxies, peer, lines);
        assert_eq!(is("10.0.0.1", &[(XFF, "6.6.6.6, 1.2.3.4")]), "1.2.3.4");
        assert_eq!(
            is("10.0.0.1", &[(XFF, "6.6.6.6, 1.2.3.4, 10.9.9.9")]),
            "1.2.3.4"
        );
        assert_eq!(
            is("10.0.0.1", &[(XFF, "6.6.6.6"), (XFF, "1.2.3.4")]),
            "1.2.3.4",
            "several lines are one list"
        );
        assert_eq!(is("::ffff:10.0.0.1", &[(XFF, "1.2.3.4")]), "1.2.3.4");
        assert_eq!(
            is("fd00::1", &[(XFF, "2001:db8:1:2:3::4")]),
            "2001:db8:1:2::"
        );
        assert_eq!(is("10.0.0.1", &[(XFF, "1.2.3.4:5678")]), "1.2.3.4");
        assert_eq!(is("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(is("local", &[(XFF, "1.2.3.4")]), "1.2.3.4");
        assert_eq!(
            is(
                "10.0.0.1",
                &[(
                    "forwarded",
                    "for=6.6.6.6, for=\"[2001:db8::1]:80\";proto=https"
                )]
            ),
            "2001:db8::"
        );
    }

    #[test]
    fn where_two_headers_disagree_one_of_them_is_the_clients_own() {
        let is = |forwarded: &str, common: &str| {
            let lines = [("forwarded", forwarded), (XFF, common)];
            client(&["10.0.0.0/8"], "10.0.0.1", &lines)
        };
        assert_eq!(is("for=6.6.6.6", "1.2.3.4"), "10.0.0.1");
        assert_eq!(is("for=1.2.3.4", "6.6.6.6"), "10.0.0.1");
        assert_eq!(
            is("for=6.6.6.6, for=1.2.3.4", "9.9.9.9, 1.2.3.4"),
            "1.2.3.4"
        );
    }

    #[test]
    fn what_cannot_be_read_ends_the_search() {
        let is = |line: &str| client(&["10.0.0.0/8"], "10.0.0.1", &[(XFF, line)]);
        assert_eq!(is("1.2.3.4, unknown"), "10.0.0.1");
        assert_eq!(is("1.2.3.4, unknown, 10.0.0.2"), "10.0.0.2");
        assert_eq!(is(""), "10.0.0.1");
    }
}
