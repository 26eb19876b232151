//! Where to listen: an address, a name that is resolved, a port on all interfaces, a Unix socket,
//! or what a service manager passes.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Where to listen, as an operator writes it.
///
/// | text | listens on |
/// |---|---|
/// | `127.0.0.1:8000`, `[::1]:8000` | this address |
/// | `localhost:8000` | the first address of the name that can be bound |
/// | `:8000`, `[::]:8000` | all interfaces, IPv6 and IPv4; without IPv6 on the machine, IPv4 |
/// | `unix:/run/usher.sock` | a Unix socket |
/// | `systemd` | the sockets that the service manager passes (`sd_listen_fds(3)`) |
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An IP address.
    Ip(SocketAddr),
    /// A name to resolve, and a port.
    Name(String, u16),
    /// A port on all interfaces.
    Any(u16),
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// The sockets that the service manager passes.
    Passed,
}

impl Address {
    /// The addresses to try, the first that can be bound first.
    ///
    /// # Errors
    /// If the name cannot be resolved.
    pub(super) async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::Ip(address) => Ok(vec![*address]),
            Self::Any(port) => Ok([
                IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            ]
            .map(|ip| SocketAddr::new(ip, *port))
            .into()),
            Self::Name(name, port) => {
                let found = tokio::net::lookup_host((name.as_str(), *port)).await?;
                Ok(found.collect())
            }
            Self::Unix(_) | Self::Passed => Ok(Vec::new()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
            Self::Any(port) => write!(f, ":{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Passed => f.write_str(PASSED),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

/// How the sockets of the service manager are named.
const PASSED: &str = "systemd";

/// Why a text is no address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError(&'static str);

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for AddressError {}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        if text == PASSED {
            return Ok(Self::Passed);
        }
        match text.strip_prefix("unix:") {
            Some("") => return Err(AddressError("unix: is followed by the path of the socket")),
            Some(path) => return Ok(Self::Unix(path.into())),
            None => {}
        }
        if text.contains('/') {
            return Err(AddressError(
                "it must be HOST:PORT without http:// and without a path",
            ));
        }
        let Some((name, port)) = text.rsplit_once(':') else {
            // A port alone could mean this machine or the whole network.
            let is_port = text.parse::<u16>().is_ok();
            return Err(AddressError(if is_port {
                "it must be HOST:PORT: put localhost: before the port for this machine alone, or \
                 a colon alone for all interfaces"
            } else {
                "it must be HOST:PORT, such as localhost:8000"
            }));
        };
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(AddressError(
                "an IPv6 address is written in brackets, as in [::1]:8000",
            ));
        }
        let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let Some(port) = port.parse().ok().filter(|_| is_number) else {
            return Err(AddressError("the port must be a number from 0 to 65535"));
        };
        if name.is_empty() {
            return Ok(Self::Any(port));
        }
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        // A text of digits and dots is an address with a mistake, and no name.
        let has_letter = name.bytes().any(|byte| byte.is_ascii_alphabetic());
        if !has_letter || !name.bytes().all(is_part) {
            return Err(AddressError(
                "it must be HOST:PORT, with an IP address or a name as the host",
            ));
        }
        Ok(Self::Name(name.to_owned(), port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<Address>()
            .map_or_else(|error| error.to_string(), |address| format!("{address:?}"))
    }

    #[test]
    fn address_name_or_port_on_all_interfaces_is_accepted() {
        for (text, expected) in [
            ("127.0.0.1:8000", "Ip(127.0.0.1:8000)"),
            ("[::1]:0", "Ip([::1]:0)"),
            ("localhost:8000", r#"Name("localhost", 8000)"#),
            ("api-1.example.com:80", r#"Name("api-1.example.com", 80)"#),
            (":8000", "Any(8000)"),
            ("unix:/run/usher.sock", r#"Unix("/run/usher.sock")"#),
            ("unix:usher.sock", r#"Unix("usher.sock")"#),
            ("systemd", "Passed"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn text_that_is_no_address_is_refused_with_the_reason() {
        for (text, reason) in [
            ("8000", "a colon alone"),
            ("localhost", "HOST:PORT"),
            ("http://localhost:8000", "without http://"),
            ("localhost:", "0 to 65535"),
            ("localhost:65536", "0 to 65535"),
            ("localhost:+80", "0 to 65535"),
            ("127.0.0.256:80", "as the host"),
            ("::1", "brackets"),
            ("::1:8000", "brackets"),
            ("unix:", "followed by the path"),
            ("*:8000", "as the host"),
            ("", "HOST:PORT"),
        ] {
            let shown = shown(text);
            assert!(shown.contains(reason), "{text}: {shown}");
        }
    }
}
