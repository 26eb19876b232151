//! The limits of client connections, and what is believed of proxies.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;
use ipnet::IpNet;

use crate::options::{GIB, KIB, MIB, MILLISECOND, YEAR, duration, number, size};

/// The limits of client connections.
#[derive(Args, Clone, Debug)]
#[group(id = "connection-options")]
pub struct Limits {
    /// A request's body; a larger one is 413.
    #[arg(
        long,
        env = "USHER_MAX_BODY",
        value_name = "SIZE",
        default_value = "1MiB",
        value_parser = size::<usize>(0, GIB)
    )]
    pub max_body: usize,
    /// A request's line and headers together; larger ones are 431.
    // At least hyper's smallest buffer.
    #[arg(
        long,
        env = "USHER_MAX_HEAD",
        value_name = "SIZE",
        default_value = "64KiB",
        value_parser = size::<usize>(8 * KIB, MIB)
    )]
    pub max_head: usize,
    /// For a request's head to arrive, a TLS handshake included, and for a connection to be idle.
    // From the first byte of the head, or the end of the previous request, to the head's last byte.
    #[arg(
        long,
        env = "USHER_HEAD_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration(MILLISECOND, YEAR)
    )]
    pub head_timeout: Duration,
    /// For a request's body to arrive; a slower one is 408.
    #[arg(
        long,
        env = "USHER_BODY_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration(MILLISECOND, YEAR)
    )]
    pub body_timeout: Duration,
    /// How long a client may read nothing of its response before it is disconnected.
    // Any progress restarts the time.
    #[arg(
        long,
        env = "USHER_WRITE_TIMEOUT",
        value_name = "DURATION",
        default_value = "1m",
        value_parser = duration(MILLISECOND, YEAR)
    )]
    pub write_timeout: Duration,
    /// Requests at once on a connection of HTTP/2.
    #[arg(
        long,
        env = "USHER_MAX_STREAMS",
        value_name = "N",
        default_value = "100",
        value_parser = number::<u32>(1, 10_000)
    )]
    pub max_streams: u32,
    /// Requests on one connection, after which it is closed in good order; no limit if absent.
    // With HTTP/2, GOAWAY is sent at the first moment without a request: see `http2`.
    #[arg(
        long,
        env = "USHER_MAX_CONNECTION_REQUESTS",
        value_name = "N",
        value_parser = number::<NonZeroU32>(1, u32::MAX.into())
    )]
    pub max_connection_requests: Option<NonZeroU32>,
    /// Proxies whose X-Forwarded-…, Forwarded, X-Request-Id and traceparent count, by address or
    /// network (10.0.0.0/8) and separated by commas.
    #[arg(
        long = "trusted-proxy",
        env = "USHER_TRUSTED_PROXY",
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_value = "127.0.0.1,::1",
        value_parser = network
    )]
    pub trusted_proxies: Vec<IpNet>,
    /// Whether each connection begins with the PROXY protocol, version 1 or 2, from a
    /// --trusted-proxy.
    #[arg(long, env = "USHER_PROXY_PROTOCOL")]
    pub proxy_protocol: bool,
    /// The path below which the service is, such as /api. Other paths are 404.
    #[arg(
        long,
        env = "USHER_BASE_PATH",
        value_name = "PATH",
        value_parser = base_path
    )]
    pub base_path: Option<String>,
}

/// An address, or a network in CIDR notation.
fn network(text: &str) -> Result<IpNet, &'static str> {
    let text = text.trim();
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address
        .or_else(|_| text.parse())
        .map_err(|_| "it must be an IP address or a network, such as 192.0.2.1 or 10.0.0.0/8")
}

/// A path without a slash at its end; empty for that of the root.
fn base_path(text: &str) -> Result<String, &'static str> {
    let path = text.trim().trim_end_matches('/');
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let is_path = path.starts_with('/') && !path.contains("//") && path.bytes().all(is_plain);
    if path.is_empty() || is_path {
        Ok(path.to_owned())
    } else {
        Err("it must be a path of letters, digits and -._~ that begins with a slash, such as /api")
    }
}

impl Limits {
    /// The size of hyper's buffer, which has a minimum.
    pub(super) fn head(&self) -> usize {
        self.max_head.max(8 << 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_path_is_a_plain_path_without_a_slash_at_its_end() {
        for (text, expected) in [
            ("", Ok("")),
            ("/", Ok("")),
            ("/api", Ok("/api")),
            ("/api/v1/", Ok("/api/v1")),
            ("api", Err(())),
            ("/a b", Err(())),
            ("/a?b", Err(())),
            ("/a//b", Err(())),
            ("/\u{e4}", Err(())),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(base_path(text).map_err(|_| ()), expected, "{text}");
        }
    }

    #[test]
    fn trusted_proxy_is_an_address_or_a_network() {
        assert_eq!(network("192.0.2.1"), network("192.0.2.1/32"));
        assert!(network("10.0.0.0/8").is_ok() && network("2001:db8::/32").is_ok());
        assert!(network("10.0.0.0/33").is_err() && network("proxy.example").is_err());
    }
}
