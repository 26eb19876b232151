//! The sockets that clients come to, and the thread that hands their connections to the cores.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};

use super::descriptors::Trouble;
use super::error::ServeError;
use super::transport;
use super::worker::Worker;

pub(super) fn bind(address: SocketAddr) -> Result<TcpSocket, ServeError> {
    let bound = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        // A restart need not wait for old connections to be forgotten.
        socket.set_reuseaddr(true)?;
        socket.set_nodelay(true)?;
        if let Err(error) = transport::bound_unsent(&socket) {
            tracing::debug!("what waits to be sent has no bound: {error}");
        }
        socket.bind(address)?;
        Ok(socket)
    };
    bound().map_err(|error| ServeError::Listen(address, error))
}

/// Begins to accept connections on a socket that was bound to `address`.
pub(super) fn listen(
    mut socket: TcpSocket,
    address: SocketAddr,
    backlog: u32,
) -> Result<TcpListener, ServeError> {
    let mut others = if address.port() == 0 { PORTS } else { 0 };
    loop {
        match socket.listen(backlog) {
            // Until somebody listens on a port that was bound, it can be taken by another program that asks for this very one.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && others > 0 => {
                others -= 1;
                socket = bind(address)?;
            }
            listener => return listener.map_err(|error| ServeError::Listen(address, error)),
        }
    }
}

/// How many others are tried where any port will do.
const PORTS: usize = 8;

pub(super) fn local(listener: &TcpListener, asked: SocketAddr) -> Result<SocketAddr, ServeError> {
    listener
        .local_addr()
        .map_err(|error| ServeError::Listen(asked, error))
}

/// Hands every connection to the core with the fewest. One place decides, so that few connections spread evenly, which a
/// listener per core leaves to a hash.
pub(super) async fn accept(
    listener: &TcpListener,
    workers: &[Worker],
    most: usize,
) -> std::convert::Infallible {
    let mut trouble = Trouble::default();
    loop {
        // Connections over the limit are left in the operating system's queue until others have closed.
        if workers.iter().map(Worker::open).sum::<usize>() >= most {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        }
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                trouble.wait(&error).await;
                continue;
            }
        };
        trouble.is_over();
        let mut stream = match stream.set_nodelay(true).and_then(|()| stream.into_std()) {
            Ok(stream) => stream,
            Err(error) => {
                // A client that has left already.
                tracing::debug!("an accepted connection is of no use: {error}");
                continue;
            }
        };
        let mut cores: Vec<&Worker> = workers.iter().collect();
        cores.sort_by_key(|worker| (worker.beat.is_stuck(), worker.open()));
        for core in cores {
            match core.hand(stream) {
                Ok(()) => break,
                Err(refused) => stream = refused,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn another_free_port_is_taken_where_the_first_is_lost_before_it_is_listened_on() {
        let socket = bind(ANY).expect("a free port");
        let lost = socket.local_addr().expect("it is bound");
        let other = bind(lost).expect("nobody listens there yet");
        let other = listen(other, lost, 1).expect("nor now");
        let listener = listen(socket, ANY, 1).expect("there are more");
        assert_ne!(local(&listener, ANY).expect("it is bound"), lost);
        drop(other);
    }

    #[tokio::test]
    async fn a_port_that_was_asked_for_and_is_lost_is_an_error() {
        let free = bind(ANY).and_then(|socket| listen(socket, ANY, 1));
        let free = local(&free.expect("a free port"), ANY).expect("it is bound");
        let socket = bind(free).expect("it is free again");
        let other = bind(free).and_then(|socket| listen(socket, free, 1));
        let _other = other.expect("nobody listens there yet");
        let error = listen(socket, free, 1).expect_err("somebody does now");
        assert!(error.to_string().contains("in use"), "{error}");
    }
}
