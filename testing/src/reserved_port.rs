//! A port that stays with its program while the program does not listen on it.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt,
};

/// A port of 127.0.0.1 that no other program is given while this value lives.
///
/// A socket is bound to it and never listens, so connections are refused. A program that binds the
/// port with `SO_REUSEADDR`, as servers do, can listen on it (socket(7)). A port that is only found
/// free is lost to the next connection or listener of any process, and a connection to it may even
/// reach itself: the system takes the ports of outgoing connections from the same range.
#[derive(Debug)]
pub struct ReservedPort {
    number: u16,
    _socket: OwnedFd,
}

impl ReservedPort {
    /// Reserves a free port.
    ///
    /// # Errors
    /// One line that says why there is none.
    pub fn new() -> Result<Self, String> {
        let reserve = || {
            let socket = socket()?;
            sockopt::set_socket_reuseaddr(&socket, true)?;
            bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
            let address = SocketAddrV4::try_from(getsockname(&socket)?)?;
            Ok(Self {
                number: address.port(),
                _socket: socket,
            })
        };
        reserve().map_err(|error: rustix::io::Errno| format!("no free port on 127.0.0.1: {error}"))
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// A socket for TCP that is bound to nothing yet.
fn socket() -> rustix::io::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
    socket_with(family, kind, SocketFlags::CLOEXEC, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn reserved_port_is_for_its_server_alone_which_may_listen_again() {
        let port = ReservedPort::new().expect("a port");
        let address = ("127.0.0.1", port.number());
        for _ in 0..2 {
            TcpStream::connect(address).expect_err("nobody listens");
            let server = TcpListener::bind(address).expect("it sets SO_REUSEADDR");
            TcpStream::connect(address).expect("it listens");
            drop(server);
        }
        // As an outgoing connection does, which shares its port with nobody.
        let socket = socket().expect("a socket");
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port.number());
        assert_eq!(bind(&socket, &address), Err(rustix::io::Errno::ADDRINUSE));
    }
}
