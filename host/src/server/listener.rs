//! Listens for clients, and assigns their connections to the cores.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, watch};

use super::address::Address;
use super::descriptors::AcceptBackoff;
use super::error::ServeError;
use super::transport;
use super::worker::{Accepted, Core};

/// The option that an address to listen on comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    pub(super) option: &'static str,
    pub(super) address: &'a Address,
}

impl Origin<'_> {
    fn error(&self, error: io::Error) -> ServeError {
        ServeError::Listen {
            option: self.option,
            address: self.address.to_string(),
            error,
        }
    }
}

/// A socket that is bound to an address and does not listen yet.
#[derive(Debug)]
pub(super) struct Bound<'a> {
    socket: TcpSocket,
    address: SocketAddr,
    origin: Origin<'a>,
}

/// Binds a socket to the first address of a name that can be bound.
pub(super) async fn bind(origin: Origin<'_>) -> Result<Bound<'_>, ServeError> {
    let addresses = origin.address.resolve().await;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses.map_err(|error| origin.error(error))? {
        match bind_to(address) {
            Ok(socket) => {
                return Ok(Bound {
                    socket,
                    address,
                    origin,
                });
            }
            // An address that is in use says more than one that this machine does not have.
            Err(error) if last.kind() != io::ErrorKind::AddrInUse => last = error,
            Err(_) => {}
        }
    }
    Err(origin.error(last))
}

fn bind_to(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // All interfaces, whatever the system's default is (net.ipv6.bindv6only).
        socket2::SockRef::from(&socket).set_only_v6(false)?;
    }
    // A restart need not wait for connections in TIME-WAIT.
    socket.set_reuseaddr(true)?;
    socket.set_nodelay(true)?;
    if let Err(error) = transport::bound_unsent(&socket) {
        tracing::debug!("unsent data has no bound: {error}");
    }
    socket.bind(address)?;
    Ok(socket)
}

/// Listens on a bound socket. Returns also the address that clients reach it under.
pub(super) fn listen(
    bound: Bound<'_>,
    backlog: u32,
) -> Result<(TcpListener, SocketAddr), ServeError> {
    let Bound {
        mut socket,
        address,
        origin,
    } = bound;
    let mut retries = if address.port() == 0 { MAX_RETRIES } else { 0 };
    loop {
        let listening = socket
            .listen(backlog)
            .and_then(|listener| Ok((listener.local_addr()?, listener)));
        match listening {
            Ok((address, listener)) => return Ok((listener, address)),
            // Another program can bind the same port until one of them listens.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && retries > 0 => {
                retries -= 1;
                socket = bind_to(address).map_err(|error| origin.error(error))?;
            }
            Err(error) => return Err(origin.error(error)),
        }
    }
}

/// How many other ports are tried if any port will do.
const MAX_RETRIES: usize = 8;

/// The listener's part of a drain: how long connections whose handshake has begun are still
/// accepted.
const SETTLE: Duration = Duration::from_millis(50);

/// Accepts connections until `stop` changes.
///
/// A listener that is closed resets the connections that it has not accepted, with the requests on
/// them. So at the end no new connection can begin, and those that have begun are accepted.
pub(super) async fn accept(
    listener: TcpListener,
    cores: Arc<[Core]>,
    free: Arc<Semaphore>,
    mut stop: watch::Receiver<()>,
) {
    let accept = async {
        let mut backoff = AcceptBackoff::default();
        loop {
            accept_one(&listener, &cores, &free, &mut backoff).await;
        }
    };
    let mut accept = std::pin::pin!(accept);
    tokio::select! {
        () = &mut accept => {}
        _ = stop.changed() => {}
    }
    if let Err(error) = transport::refuse_new(&listener) {
        tracing::debug!("connections can begin until the listener is closed: {error}");
    }
    let _ = tokio::time::timeout(SETTLE, accept).await;
}

/// Assigns a connection to the core with the fewest, so that few connections spread evenly. A
/// listener for each core would distribute them by a hash.
async fn accept_one(
    listener: &TcpListener,
    cores: &[Core],
    free: &Arc<Semaphore>,
    backoff: &mut AcceptBackoff,
) {
    // Connections beyond the limit wait in the operating system's queue.
    let Ok(permit) = Arc::clone(free).acquire_owned().await else {
        // The semaphore is never closed.
        return std::future::pending().await;
    };
    let stream = match listener.accept().await {
        Ok((stream, _)) => stream,
        Err(error) => return backoff.wait(&error).await,
    };
    backoff.reset();
    let mut accepted = match stream.set_nodelay(true).and_then(|()| stream.into_std()) {
        Ok(stream) => Accepted { stream, permit },
        Err(error) => {
            // The client has disconnected.
            return tracing::debug!("an accepted connection cannot be used: {error}");
        }
    };
    let mut cores: Vec<&Core> = cores.iter().collect();
    cores.sort_by_key(|core| (core.heartbeat.is_stuck(), core.open()));
    for core in cores {
        match core.assign(accepted) {
            Ok(()) => break,
            Err(refused) => accepted = refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &Address) -> Origin<'_> {
        Origin {
            option: "--listen",
            address,
        }
    }

    fn localhost(port: u16) -> Address {
        Address::from(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    #[tokio::test]
    async fn any_port_lost_before_listen_is_replaced_by_another() {
        let any = localhost(0);
        let bound = bind(from(&any)).await.expect("a free port");
        let lost = bound.socket.local_addr().expect("it is bound");
        let same = Address::from(lost);
        let other = bind(from(&same)).await.expect("no socket listens yet");
        let (other, _) = listen(other, 1).expect("nor now");
        let (_listener, address) = listen(bound, 1).expect("there are more");
        assert_ne!(address, lost);
        drop(other);
    }

    #[tokio::test]
    async fn named_port_lost_before_listen_is_an_error() {
        let any = localhost(0);
        let (listener, free) = listen(bind(from(&any)).await.expect("a free port"), 1)
            .expect("no other socket listens there");
        drop(listener);
        let free = Address::from(free);
        let bound = bind(from(&free)).await.expect("it is free again");
        let other = bind(from(&free)).await.and_then(|other| listen(other, 1));
        let _other = other.expect("no socket listens there yet");
        let error = listen(bound, 1).expect_err("another socket listens now");
        assert!(error.to_string().contains("in use"), "{error}");
    }

    #[tokio::test]
    async fn port_on_all_interfaces_is_reached_by_ipv4() {
        let any = Address::Any(0);
        let (_listener, address) = listen(bind(from(&any)).await.expect("a free port"), 1)
            .expect("no other socket listens there");
        let client = std::net::TcpStream::connect(("127.0.0.1", address.port()));
        assert!(client.is_ok(), "{client:?}");
    }

    #[tokio::test]
    async fn unknown_name_is_an_error_that_shows_it() {
        let unknown: Address = "nowhere.invalid:80".parse().expect("a name");
        let error = bind(from(&unknown)).await.expect_err("it has no address");
        let text = error.to_string();
        assert!(text.contains("nowhere.invalid:80 (--listen)"), "{text}");
    }
}
