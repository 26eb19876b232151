//! Listens for clients, and assigns their connections to the cores.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;

use super::descriptors::AcceptBackoff;
use super::error::ServeError;
use super::transport;
use super::worker::{Accepted, Worker};

pub(super) fn bind(address: SocketAddr) -> Result<TcpSocket, ServeError> {
    let bound = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        // A restart need not wait for connections in TIME-WAIT.
        socket.set_reuseaddr(true)?;
        socket.set_nodelay(true)?;
        if let Err(error) = transport::bound_unsent(&socket) {
            tracing::debug!("unsent data has no bound: {error}");
        }
        socket.bind(address)?;
        Ok(socket)
    };
    bound().map_err(|error| ServeError::Listen(address, error))
}

/// Listens on a socket that was bound to `address`.
pub(super) fn listen(
    mut socket: TcpSocket,
    address: SocketAddr,
    backlog: u32,
) -> Result<TcpListener, ServeError> {
    let mut retries = if address.port() == 0 { MAX_RETRIES } else { 0 };
    loop {
        match socket.listen(backlog) {
            // Another program can bind the same port until one of them listens.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && retries > 0 => {
                retries -= 1;
                socket = bind(address)?;
            }
            listener => return listener.map_err(|error| ServeError::Listen(address, error)),
        }
    }
}

/// How many other ports are tried if any port will do.
const MAX_RETRIES: usize = 8;

pub(super) fn local(listener: &TcpListener, address: SocketAddr) -> Result<SocketAddr, ServeError> {
    listener
        .local_addr()
        .map_err(|error| ServeError::Listen(address, error))
}

/// Assigns each connection to the core with the fewest, so that few connections spread evenly. A
/// listener for each core would distribute them by a hash.
pub(super) async fn accept(
    listener: &TcpListener,
    workers: &[Worker],
    max_connections: usize,
) -> std::convert::Infallible {
    let mut backoff = AcceptBackoff::default();
    let free = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
    loop {
        // Connections beyond the limit wait in the operating system's queue.
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else {
            // The semaphore is never closed.
            return std::future::pending().await;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                backoff.wait(&error).await;
                continue;
            }
        };
        backoff.reset();
        let mut accepted = match stream.set_nodelay(true).and_then(|()| stream.into_std()) {
            Ok(stream) => Accepted { stream, permit },
            Err(error) => {
                // The client has disconnected.
                tracing::debug!("an accepted connection cannot be used: {error}");
                continue;
            }
        };
        let mut cores: Vec<&Worker> = workers.iter().collect();
        cores.sort_by_key(|worker| (worker.heartbeat.is_stuck(), worker.open()));
        for core in cores {
            match core.assign(accepted) {
                Ok(()) => break,
                Err(refused) => accepted = refused,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn any_port_lost_before_listen_is_replaced_by_another() {
        let socket = bind(ANY).expect("a free port");
        let lost = socket.local_addr().expect("it is bound");
        let other = bind(lost).expect("no socket listens there yet");
        let other = listen(other, lost, 1).expect("nor now");
        let listener = listen(socket, ANY, 1).expect("there are more");
        assert_ne!(local(&listener, ANY).expect("it is bound"), lost);
        drop(other);
    }

    #[tokio::test]
    async fn named_port_lost_before_listen_is_an_error() {
        let free = bind(ANY).and_then(|socket| listen(socket, ANY, 1));
        let free = local(&free.expect("a free port"), ANY).expect("it is bound");
        let socket = bind(free).expect("it is free again");
        let other = bind(free).and_then(|socket| listen(socket, free, 1));
        let _other = other.expect("no socket listens there yet");
        let error = listen(socket, free, 1).expect_err("another socket listens now");
        assert!(error.to_string().contains("in use"), "{error}");
    }
}
