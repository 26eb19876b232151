//! The PROXY protocol, versions 1 and 2: what a proxy of connections says of its client before the
//! client's own bytes (haproxy.org, proxy-protocol.txt).
//!
//! It is read from proxies that are trusted, before TLS and HTTP. A connection without it, or from
//! anyone else, is closed: who could send it could name any address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest line of version 1.
const MAX_LINE: usize = 107;

/// The most bytes after the head of version 2. Proxies send a few hundred.
const MAX_REST: usize = 4 << 10;

/// What a proxy says of its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Client {
    /// `None` for a connection of the proxy's own, such as a health check, or one whose address it
    /// does not know.
    pub(super) address: Option<IpAddr>,
    /// Whether the client speaks TLS with the proxy.
    pub(super) is_encrypted: bool,
}

/// Reads what the proxy says, and no byte more.
///
/// # Errors
/// If the connection ends, or begins otherwise.
pub(super) async fn read<I: AsyncRead + Unpin>(io: &mut I) -> io::Result<Client> {
    let mut first = [0; 12];
    io.read_exact(&mut first).await?;
    if first == *SIGNATURE {
        return read_binary(io).await;
    }
    let mut line = first.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() == MAX_LINE || !line.starts_with(b"PROXY ") {
            return Err(invalid("no header of the PROXY protocol"));
        }
        line.push(io.read_u8().await?);
    }
    parse_line(&line).ok_or_else(|| invalid("no valid line of the PROXY protocol"))
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443`, or `PROXY UNKNOWN` and anything.
fn parse_line(line: &[u8]) -> Option<Client> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let mut words = line.strip_prefix("PROXY ")?.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(Client::default());
    }
    let [source, destination, from, to] =
        [words.next()?, words.next()?, words.next()?, words.next()?];
    if words.next().is_some() || !is_port(from) || !is_port(to) {
        return None;
    }
    let address: IpAddr = match family {
        "TCP4" => {
            destination.parse::<Ipv4Addr>().ok()?;
            source.parse::<Ipv4Addr>().ok()?.into()
        }
        "TCP6" => {
            destination.parse::<Ipv6Addr>().ok()?;
            source.parse::<Ipv6Addr>().ok()?.into()
        }
        _ => return None,
    };
    Some(Client {
        address: Some(address),
        is_encrypted: false,
    })
}

/// Whether a text is a port, which has no sign and no zero in front.
fn is_port(text: &str) -> bool {
    let port = text.parse::<u16>();
    port.is_ok_and(|port| port.to_string() == text)
}

async fn read_binary<I: AsyncRead + Unpin>(io: &mut I) -> io::Result<Client> {
    let (command, family) = (io.read_u8().await?, io.read_u8().await?);
    let length = usize::from(io.read_u16().await?);
    if length > MAX_REST {
        return Err(invalid("a header of the PROXY protocol that is too long"));
    }
    let mut rest = vec![0; length];
    io.read_exact(&mut rest).await?;
    parse_binary(command, family, &rest)
        .ok_or_else(|| invalid("no valid header of the PROXY protocol"))
}

/// The second part of version 2: addresses, ports, and fields of type, length and value.
fn parse_binary(command: u8, family: u8, rest: &[u8]) -> Option<Client> {
    const LOCAL: u8 = 0x20;
    const PROXY: u8 = 0x21;
    const TCP4: u8 = 0x11;
    const TCP6: u8 = 0x21;
    match command {
        LOCAL => return Some(Client::default()),
        PROXY => {}
        _ => return None,
    }
    let (address, fields): (IpAddr, _) = match family {
        TCP4 => {
            let (addresses, fields) = rest.split_at_checked(12)?;
            let source: [u8; 4] = addresses.get(..4)?.try_into().ok()?;
            (source.into(), fields)
        }
        TCP6 => {
            let (addresses, fields) = rest.split_at_checked(36)?;
            let source: [u8; 16] = addresses.get(..16)?.try_into().ok()?;
            (source.into(), fields)
        }
        // Other families have no address that means something here.
        _ => return Some(Client::default()),
    };
    Some(Client {
        address: Some(address),
        is_encrypted: is_encrypted(fields)?,
    })
}

/// Whether the field about TLS says that the client used it.
fn is_encrypted(mut fields: &[u8]) -> Option<bool> {
    const TLS: u8 = 0x20;
    const BY_CLIENT: u8 = 0x01;
    while !fields.is_empty() {
        let ([kind, high, low], rest) = fields.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, rest) = rest.split_at_checked(length)?;
        if *kind == TLS {
            return Some(value.first()? & BY_CLIENT != 0);
        }
        fields = rest;
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn parsed(bytes: &[u8]) -> Option<(Client, usize)> {
        let mut rest = bytes;
        let client = read(&mut rest).await.ok()?;
        Some((client, rest.len()))
    }

    fn from(address: &str, is_encrypted: bool) -> Client {
        Client {
            address: Some(address.parse().expect("an address")),
            is_encrypted,
        }
    }

    #[tokio::test]
    async fn line_of_version_1_is_read_to_its_end_and_no_further() {
        let tcp = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nGET / HTTP/1.1\r\n";
        assert_eq!(parsed(tcp).await, Some((from("192.0.2.1", false), 16)));
        let tcp = b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n";
        assert_eq!(parsed(tcp).await, Some((from("2001:db8::1", false), 0)));
        let unknown = b"PROXY UNKNOWN\r\nx";
        assert_eq!(parsed(unknown).await, Some((Client::default(), 1)));
        for other in [
            &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 x\r\n",
            b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            b"PROXY TCP4 192.0.2.300 198.51.100.1 1 2\r\n",
            b"PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 1 +2\r\n",
            b"PROXY TCP4 192.0.2.1",
        ] {
            assert_eq!(
                parsed(other).await,
                None,
                "{}",
                String::from_utf8_lossy(other)
            );
        }
        let long = [&b"PROXY UNKNOWN "[..], &[b'x'; 200], b"\r\n"].concat();
        assert_eq!(parsed(&long).await, None);
    }

    /// A header of version 2.
    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("it is short");
        let mut header = SIGNATURE.to_vec();
        header.extend([command, family]);
        header.extend(length.to_be_bytes());
        header.extend(rest);
        header
    }

    #[tokio::test]
    async fn header_of_version_2_says_address_and_tls() {
        let tcp4 = [192, 0, 2, 1, 198, 51, 100, 1, 0, 1, 0, 2];
        let mut bytes = binary(0x21, 0x11, &tcp4);
        bytes.extend(b"GET");
        assert_eq!(parsed(&bytes).await, Some((from("192.0.2.1", false), 3)));
        // A field of another kind, then that about TLS.
        let tls = [4, 0, 1, 9, 0x20, 0, 5, 1, 0, 0, 0, 0];
        let bytes = binary(0x21, 0x11, &[&tcp4[..], &tls].concat());
        assert_eq!(parsed(&bytes).await, Some((from("192.0.2.1", true), 0)));
        let mut tcp6 = [0; 36];
        tcp6[15] = 1;
        let bytes = binary(0x21, 0x21, &tcp6);
        assert_eq!(parsed(&bytes).await, Some((from("::1", false), 0)));
        for own in [binary(0x20, 0, &[]), binary(0x21, 0x31, &[0; 216])] {
            assert_eq!(parsed(&own).await, Some((Client::default(), 0)));
        }
        for broken in [
            binary(0x21, 0x11, &tcp4[..11]),
            binary(0x21, 0x11, &[&tcp4[..], &tls[..6]].concat()),
            binary(0x31, 0x11, &tcp4),
            binary(0x21, 0x11, &[0; 5000]),
            binary(0x21, 0x11, &tcp4)[..20].to_vec(),
        ] {
            assert_eq!(parsed(&broken).await, None);
        }
    }
}
