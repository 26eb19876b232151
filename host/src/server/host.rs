//! The `Host` of a request: `uri-host [ ":" port ]` (RFC 9112, 3.2; RFC 3986, 3.2.2).

use std::net::Ipv6Addr;

/// Whether a value of `Host`, or the authority of a target, names a host. User information is no
/// part of it, and neither is an empty name, with which no URL of this server could be made.
pub(super) fn is_valid(value: &[u8]) -> bool {
    let (is_name, rest) = match value {
        [b'[', rest @ ..] => {
            let end = rest.iter().position(|&byte| byte == b']');
            let Some((address, [_, port @ ..])) = end.and_then(|end| rest.split_at_checked(end))
            else {
                return false;
            };
            (is_address(address), port)
        }
        value => {
            let end = value.iter().position(|&byte| byte == b':');
            let (name, port) = value.split_at(end.unwrap_or(value.len()));
            (is_name(name), port)
        }
    };
    is_name && is_port(rest)
}

/// `IPv6address`. No `IPvFuture` has been defined.
fn is_address(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// Which bytes may stand in a `reg-name` as they are. Every request has a name, so it is a table.
static UNESCAPED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    loop {
        table[byte as usize] = matches!(
            byte,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$'
                | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        );
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

/// A `reg-name` that is not empty. An IPv4 address is one too.
fn is_name(text: &[u8]) -> bool {
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = match after {
            after if UNESCAPED[usize::from(*byte)] => after,
            [high, low, after @ ..]
                if *byte == b'%' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                after
            }
            _ => return false,
        };
    }
    !text.is_empty()
}

/// Nothing, or a colon and a port, which may be empty.
fn is_port(text: &[u8]) -> bool {
    match text {
        [] | [b':'] => true,
        [b':', digits @ ..] => std::str::from_utf8(digits).is_ok_and(|digits| {
            digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok()
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_of_a_url_is_valid() {
        for host in [
            "example.com",
            "example.com:8000",
            "example.com:",
            "localhost",
            "a_b.internal",
            "b%C3%BCcher.example",
            "127.0.0.1:65535",
            "[::1]",
            "[::1]:80",
            "[2001:db8::192.0.2.1]",
            "a,b",
        ] {
            assert!(is_valid(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn host_that_is_no_host_is_invalid() {
        for host in [
            "",
            ":80",
            "evil.example/x?",
            "a/b",
            "a?b",
            "a#b",
            "u@h",
            "a b",
            "a, b",
            " a",
            "h:abc",
            "h:-1",
            "h:+1",
            "h:65536",
            "h:80:90",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]]",
            "[]",
            "[::g]",
            "[v1.a]",
            "[fe80::1%25eth0]",
            "<x>",
            "a\\b",
            "a%4",
            "a%zz",
            "a\u{fc}",
            "a\"b",
        ] {
            assert!(!is_valid(host.as_bytes()), "{host}");
        }
    }
}
