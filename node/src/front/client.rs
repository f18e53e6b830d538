//! Which address a request is from, for the limit on each.
//!
//! It is the connection's other end, or whom that names in `X-Forwarded-For` if it is a trusted
//! proxy; anybody can write that header, so it is believed from nobody else. Each proxy appends
//! whom it was asked by, so the right-most address that is no trusted proxy's is the client's, and
//! what stands to the left of it is the client's own claim. (`Forwarded` of RFC 7239 is not read.)

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The IPv6 bits that name a site; the rest its hosts choose as they like.
const SITE_BITS: u32 = 64;

/// The other end of a connection, which the listener notes with each request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerAddress(pub(crate) IpAddr);

/// From whom `X-Forwarded-For` is believed; nobody by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TrustedProxies(pub(crate) Vec<IpNet>);

impl TrustedProxies {
    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }

    /// The address that a request counts for; an IPv6 one stands for its /64.
    pub(super) fn client(&self, parts: &Parts) -> Option<IpAddr> {
        let PeerAddress(peer) = *parts.extensions.get()?;
        Some(site(self.asking(peer.to_canonical(), &parts.headers)))
    }

    fn asking(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut asking = peer;
        let lines = headers.get_all(&FORWARDED_FOR);
        // A repeated header is one list. Values of a `HeaderMap` can only be walked forwards.
        let lines: Vec<&[u8]> = if self.trusts(peer) {
            lines.iter().map(HeaderValue::as_bytes).collect()
        } else {
            return peer;
        };
        let hops = lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
        for hop in hops {
            // What is no address was not written by a proxy that knew one: whoever passed it on
            // is the last one known.
            let Some(address) = address(hop) else {
                return asking;
            };
            asking = address;
            if !self.trusts(address) {
                return asking;
            }
        }
        asking
    }
}

/// An entry of the list: an address, as some proxies write it with a port.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop.trim_ascii()).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok();
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    address.or_else(with_port).map(|address| address.to_canonical())
}

fn site(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let mask = u128::MAX << (u128::BITS - SITE_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn client(trusted: &str, peer: &str, lines: &[&[u8]]) -> String {
        let nets = trusted.split(',').filter(|net| !net.is_empty());
        let trusted = TrustedProxies(nets.map(|net| net.parse().unwrap()).collect());
        let mut request = Request::new(());
        request.extensions_mut().insert(PeerAddress(peer.parse().unwrap()));
        for line in lines {
            let value = HeaderValue::from_bytes(line).unwrap();
            request.headers_mut().append(&FORWARDED_FOR, value);
        }
        trusted.client(&request.into_parts().0).unwrap().to_string()
    }

    const PROXIES: &str = "10.0.0.0/8,2001:db8:ffff::/48";

    #[test]
    fn a_stranger_is_not_believed() {
        for lines in [&[&b"1.2.3.4"[..]][..], &[b"10.0.0.1"], &[b"1.2.3.4, 10.0.0.1"], &[]] {
            assert_eq!(client(PROXIES, "192.0.2.7", lines), "192.0.2.7");
            assert_eq!(client("", "10.0.0.1", lines), "10.0.0.1");
        }
    }

    #[test]
    fn of_a_proxy_the_right_most_stranger_is_taken() {
        let table: &[(&[&[u8]], &str)] = &[
            (&[b"1.2.3.4"], "1.2.3.4"),
            (&[b"9.9.9.9, 1.2.3.4"], "1.2.3.4"),
            (&[b"9.9.9.9,1.2.3.4,10.1.1.1, 10.2.2.2"], "1.2.3.4"),
            (&[b"9.9.9.9", b"1.2.3.4", b"10.2.2.2"], "1.2.3.4"),
            (&[b"9.9.9.9, 1.2.3.4", b"10.2.2.2"], "1.2.3.4"),
            (&[b"10.3.3.3, 10.2.2.2"], "10.3.3.3"),
            (&[b" \t1.2.3.4 "], "1.2.3.4"),
            (&[b"1.2.3.4:5678"], "1.2.3.4"),
            (&[b"::ffff:1.2.3.4"], "1.2.3.4"),
            (&[b"2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::"),
            (&[b"[2001:db8:1:2:3:4:5:6]"], "2001:db8:1:2::"),
            (&[b"[2001:db8:1:2:3:4:5:6]:443, 2001:db8:ffff::1"], "2001:db8:1:2::"),
        ];
        for (lines, want) in table {
            assert_eq!(client(PROXIES, "10.0.0.1", lines), *want, "{lines:?}");
        }
    }

    /// Each would crash, or be counted apart each time, if it were taken for what it says.
    #[test]
    fn hostile_values_count_for_whoever_passed_them_on() {
        let long = b"1.1.1.1, ".repeat(1_500);
        let table: &[(&[&[u8]], &str)] = &[
            (&[b""], "10.0.0.1"),
            (&[b","], "10.0.0.1"),
            (&[b"unknown"], "10.0.0.1"),
            (&[b"_hidden"], "10.0.0.1"),
            (&[b"\xff\xfe"], "10.0.0.1"),
            (&[b"1.2.3.4.5"], "10.0.0.1"),
            (&[b"1.2.3.4 1.2.3.5"], "10.0.0.1"),
            (&[b"999.1.1.1"], "10.0.0.1"),
            (&[b"fe80::1%eth0"], "10.0.0.1"),
            (&[b"1.2.3.4, nonsense"], "10.0.0.1"),
            (&[b"1.2.3.4, nonsense, 10.9.9.9"], "10.9.9.9"),
            (&[b"1.2.3.4,"], "10.0.0.1"),
            (&[&long], "10.0.0.1"),
        ];
        for (lines, want) in table {
            assert_eq!(client(PROXIES, "10.0.0.1", lines), *want, "{lines:?}");
        }
    }

    #[test]
    fn connections_of_both_families() {
        assert_eq!(client("10.0.0.0/8", "::ffff:10.0.0.1", &[b"1.2.3.4"]), "1.2.3.4");
        assert_eq!(client("", "2001:db8:1:2:3:4:5:6", &[]), "2001:db8:1:2::");
        assert_eq!(client("", "2001:db8:1:3:3:4:5:6", &[]), "2001:db8:1:3::");
        assert_eq!(client("", "::1", &[]), "::");
    }
}
