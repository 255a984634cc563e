//! Which client a call is from, behind proxies.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use proptest::sample::select;

use crate::webhook::http::client::{Client, Peer, Proxies};
use crate::webhook::tests::properties::value;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_client_is_the_first_from_the_right_that_is_no_proxy(
        hops in prop::collection::vec((any::<u32>(), 0_u8..4), 0..8), lines in 1_usize..4,
    ) {
        let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let address = |(bits, form): &(u32, u8)| {
            // Every other one is a proxy.
            let bits = if form % 2 == 0 { 10 << 24 | bits & 0x00ff_ffff } else { bits | 1 << 31 };
            Ipv4Addr::from_bits(bits)
        };
        let write = |hop: &(u32, u8)| match hop.1 {
            0 | 1 => address(hop).to_string(),
            2 => format!(" {}:443 ", address(hop)),
            _ => format!("[{}]", address(hop).to_ipv6_mapped()),
        };
        let written: Vec<String> = hops.iter().map(write).collect();
        let mut headers = HeaderMap::new();
        for line in written.chunks(written.len().div_ceil(lines).max(1)) {
            headers.append("x-forwarded-for", line.join(",").parse().unwrap());
        }
        let peer: IpAddr = [10, 1, 2, 3].into();
        let all = std::iter::once(peer).chain(hops.iter().map(|hop| address(hop).into()));
        let all: Vec<IpAddr> = all.collect();
        let proxy = |one: &IpAddr| matches!(one, IpAddr::V4(v4) if v4.octets()[0] == 10);
        let wanted = all[1..].iter().rev().find(|one| !proxy(one)).or(all.get(1)).unwrap_or(&peer);
        prop_assert_eq!(proxies.client(Peer::Ip(peer), &headers), Client::of(*wanted));
        // Of a peer that is no proxy, nothing is believed.
        let stranger: IpAddr = [203, 0, 113, 9].into();
        prop_assert_eq!(proxies.client(Peer::Ip(stranger), &headers), Client::of(stranger));
    }

    #[test]
    fn no_forwarding_header_makes_it_panic(name in select(vec!["x-forwarded-for", "forwarded"]),
                                           value in value(), local in any::<bool>()) {
        let proxies = Proxies::new(vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            headers.append(name, value);
        }
        let peer = if local { Peer::Local } else { Peer::Ip([10, 0, 0, 1].into()) };
        proxies.client(peer, &headers);
    }
}
