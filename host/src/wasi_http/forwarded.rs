//! The scheme of a client behind a proxy: `X-Forwarded-Proto` and `Forwarded` (RFC 7239).
//!
//! Any client can send these fields, and `X-Forwarded-Host` and `-Prefix`, which the guest reads.
//! So they are used only if the connection comes from a trusted proxy, by default one on this
//! machine; otherwise they are removed before the guest sees them.

use std::net::IpAddr;

use http::header::{FORWARDED, HeaderValue};
use http::{Extensions, HeaderMap, HeaderName};
use ipnet::IpNet;

use super::bindings::wasi::http::types::Scheme;

const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whether `peer` is one of these proxies or in one of these networks. A connection from within the
/// program has no address and is trusted.
pub(crate) fn is_trusted(proxies: &[IpNet], peer: Option<IpAddr>) -> bool {
    // An IPv4 client of an IPv6 listener has an IPv4-mapped address.
    peer.is_none_or(|peer| {
        let peer = peer.to_canonical();
        proxies.iter().any(|proxy| proxy.contains(&peer))
    })
}

/// Removes the fields that only a trusted proxy may set.
pub(crate) fn strip(headers: &mut HeaderMap) {
    for name in [PROTO, HOST, PREFIX, FOR, FORWARDED] {
        headers.remove(name);
    }
}

/// Records the path under which the service is, after that which a proxy has removed.
pub(crate) fn add_prefix(headers: &mut HeaderMap, path: &str) {
    let outer = headers.get(PREFIX).map_or(&[][..], HeaderValue::as_bytes);
    let outer = outer.strip_suffix(b"/").unwrap_or(outer);
    if let Ok(prefix) = HeaderValue::from_bytes(&[outer, path.as_bytes()].concat()) {
        headers.insert(PREFIX, prefix);
    }
}

/// Whether [`scheme`] reads a field of this name.
pub(crate) fn names_scheme(name: &HeaderName) -> bool {
    *name == PROTO || *name == FORWARDED
}

/// Marks a request that came over an encrypted connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encrypted;

/// The scheme of a request's connection.
pub(crate) fn scheme_of_connection(request: &Extensions) -> Scheme {
    if request.get::<Encrypted>().is_some() {
        Scheme::Https
    } else {
        Scheme::Http
    }
}

/// The client's scheme as the last proxy reports it, by default that of the connection.
pub(crate) fn scheme(headers: &HeaderMap, request: &Extensions) -> Scheme {
    let reported = match headers.get_all(PROTO).iter().next_back() {
        Some(proto) => Some(proto.as_bytes().trim_ascii()),
        None => headers
            .get_all(FORWARDED)
            .iter()
            .next_back()
            .and_then(|hops| proto_of_last(hops.as_bytes())),
    };
    match reported {
        None => scheme_of_connection(request),
        Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => Scheme::Https,
        Some(_) => Scheme::Http,
    }
}

/// `proto` of the last element of `Forwarded`. A comma or semicolon in a quoted string is read as a
/// separator; at worst that gives an unknown scheme.
fn proto_of_last(hops: &[u8]) -> Option<&[u8]> {
    let last = hops.rsplit(|&byte| byte == b',').next()?;
    last.split(|&byte| byte == b';').find_map(|pair| {
        let (name, value) = pair.split_at_checked(pair.iter().position(|&byte| byte == b'=')?)?;
        if !name.trim_ascii().eq_ignore_ascii_case(b"proto") {
            return None;
        }
        let value = value.get(1..)?.trim_ascii();
        let quoted = value
            .strip_prefix(b"\"")
            .and_then(|rest| rest.strip_suffix(b"\""));
        Some(quoted.unwrap_or(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_https(fields: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let value = http::HeaderValue::from_static(value);
            headers.append(HeaderName::from_static(name), value);
        }
        matches!(scheme(&headers, &Extensions::new()), Scheme::Https)
    }

    #[test]
    fn scheme_of_several_proxies_is_the_last_ones() {
        for value in ["https", "HTTPS", " https "] {
            assert!(is_https(&[("x-forwarded-proto", value)]), "{value}");
        }
        for value in ["", "http", "https, http", "wss", "ftp", "httpss"] {
            assert!(!is_https(&[("x-forwarded-proto", value)]), "{value}");
        }
        for value in [
            "proto=https",
            "for=192.0.2.1;Proto=\"https\";by=203.0.113.1",
            "proto=http, for=\"[2001:db8::1]\"; proto = https",
        ] {
            assert!(is_https(&[("forwarded", value)]), "{value}");
        }
        for value in [
            "",
            "for=a",
            "proto=https, for=a",
            "proto=http",
            "proto",
            "=;,",
        ] {
            assert!(!is_https(&[("forwarded", value)]), "{value}");
        }
        assert!(!is_https(&[]));
        let lines = [
            ("x-forwarded-proto", "https"),
            ("x-forwarded-proto", "http"),
        ];
        assert!(!is_https(&lines));
    }

    #[test]
    fn scheme_of_an_encrypted_connection_is_https_unless_a_proxy_reports_another() {
        let (mut headers, mut request) = (HeaderMap::new(), Extensions::new());
        request.insert(Encrypted);
        assert!(matches!(scheme(&headers, &request), Scheme::Https));
        headers.insert(FORWARDED, http::HeaderValue::from_static("for=192.0.2.1"));
        assert!(matches!(scheme(&headers, &request), Scheme::Https));
        headers.insert(PROTO, http::HeaderValue::from_static("http"));
        assert!(matches!(scheme(&headers, &request), Scheme::Http));
    }

    #[test]
    fn prefix_of_the_service_follows_that_of_a_proxy() {
        let mut headers = HeaderMap::new();
        add_prefix(&mut headers, "/users");
        assert_eq!(headers[PREFIX], "/users");
        headers.insert(PREFIX, HeaderValue::from_static("/outer/"));
        add_prefix(&mut headers, "/users");
        assert_eq!(headers[PREFIX], "/outer/users");
    }

    #[test]
    fn peer_is_trusted_only_if_it_is_a_named_proxy() {
        let address = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        let network = |text: &str| text.parse::<IpNet>().expect("a network");
        let local = ["127.0.0.1/32", "::1/128"].map(network);
        for trusted in [
            None,
            address("127.0.0.1"),
            address("::1"),
            address("::ffff:127.0.0.1"),
        ] {
            assert!(is_trusted(&local, trusted), "{trusted:?}");
        }
        for other in [
            address("192.0.2.1"),
            address("127.0.0.2"),
            address("0.0.0.0"),
        ] {
            assert!(!is_trusted(&local, other), "{other:?}");
        }
        let named = ["192.0.2.0/24", "2001:db8::/32"].map(network);
        for (text, is_named) in [
            ("192.0.2.255", true),
            ("::ffff:192.0.2.1", true),
            ("2001:db8:1::1", true),
            ("192.0.3.1", false),
            ("2001:db9::1", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(is_trusted(&named, address(text)), is_named, "{text}");
        }
    }
}
