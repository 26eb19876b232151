//! What a proxy in front of the server says of its clients: by which scheme they came.
//!
//! `X-Forwarded-Proto` and `Forwarded` (RFC 7239) are a client's own words unless a proxy has set them. So they count where the
//! connection comes from a proxy that is trusted, by default from this machine; else they are taken off before anybody sees them.

use std::net::IpAddr;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};

use super::bindings::wasi::http::types::Scheme;

const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whether one of these proxies is at the other end. Who connects from within the program is trusted.
pub(crate) fn trusts(proxies: &[IpAddr], peer: Option<IpAddr>) -> bool {
    // An IPv4 client of an IPv6 listener comes as a mapped address.
    peer.is_none_or(|peer| proxies.contains(&peer.to_canonical()))
}

/// Takes off what only a trusted proxy may say.
pub(crate) fn strip(headers: &mut HeaderMap) {
    headers.remove(PROTO);
    headers.remove(FORWARDED);
}

/// Whether [`scheme`] reads a field of this name.
pub(crate) fn names_scheme(name: &HeaderName) -> bool {
    *name == PROTO || *name == FORWARDED
}

/// The scheme by which a client came, as the last proxy has it. This host itself speaks HTTP.
pub(crate) fn scheme(headers: &HeaderMap) -> Scheme {
    let said = match headers.get_all(PROTO).iter().next_back() {
        Some(proto) => Some(proto.as_bytes().trim_ascii()),
        None => headers
            .get_all(FORWARDED)
            .iter()
            .next_back()
            .and_then(|hops| proto_of_last(hops.as_bytes())),
    };
    if said.is_some_and(|said| said.eq_ignore_ascii_case(b"https")) {
        Scheme::Https
    } else {
        Scheme::Http
    }
}

/// `proto` of the last element of `Forwarded`. A quoted string with a comma or semicolon in it can only make it unknown.
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
        matches!(scheme(&headers), Scheme::Https)
    }

    #[test]
    fn scheme_is_what_the_last_proxy_says() {
        for said in ["https", "HTTPS", " https "] {
            assert!(is_https(&[("x-forwarded-proto", said)]), "{said}");
        }
        for said in ["", "http", "https, http", "wss", "ftp", "httpss"] {
            assert!(!is_https(&[("x-forwarded-proto", said)]), "{said}");
        }
        for said in [
            "proto=https",
            "for=192.0.2.1;Proto=\"https\";by=203.0.113.1",
            "proto=http, for=\"[2001:db8::1]\"; proto = https",
        ] {
            assert!(is_https(&[("forwarded", said)]), "{said}");
        }
        for said in [
            "",
            "for=a",
            "proto=https, for=a",
            "proto=http",
            "proto",
            "=;,",
        ] {
            assert!(!is_https(&[("forwarded", said)]), "{said}");
        }
        assert!(!is_https(&[]));
        let lines = [
            ("x-forwarded-proto", "https"),
            ("x-forwarded-proto", "http"),
        ];
        assert!(!is_https(&lines));
    }

    #[test]
    fn proxies_of_this_machine_are_trusted_unless_others_are_named() {
        let address = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        let local = ["127.0.0.1", "::1"].map(|text| text.parse().expect("an address"));
        for trusted in [
            None,
            address("127.0.0.1"),
            address("::1"),
            address("::ffff:127.0.0.1"),
        ] {
            assert!(trusts(&local, trusted), "{trusted:?}");
        }
        for other in [
            address("192.0.2.1"),
            address("127.0.0.2"),
            address("0.0.0.0"),
        ] {
            assert!(!trusts(&local, other), "{other:?}");
        }
        let named = ["192.0.2.1".parse().expect("an address")];
        assert!(trusts(&named, address("192.0.2.1")) && !trusts(&named, address("127.0.0.1")));
    }
}
