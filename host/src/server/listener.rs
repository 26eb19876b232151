//! Listens for clients, and assigns their connections to the cores.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::sync::{Semaphore, watch};

use super::address::Address;
use super::clients::Clients;
use super::descriptors::AcceptBackoff;
use super::error::ServeError;
use super::transport::{self, Incoming};
use super::unix_socket::{self, SocketFile};
use super::worker::{Accepted, Core};

/// The option that an address to listen on comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    option: &'static str,
    address: &'a Address,
}

impl<'a> Origin<'a> {
    pub(super) fn new(option: &'static str, address: &'a Address) -> Self {
        Self { option, address }
    }

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
    socket: BoundSocket,
    origin: Origin<'a>,
}

#[derive(Debug)]
enum BoundSocket {
    Tcp(TcpSocket, SocketAddr),
    Unix(socket2::Socket, SocketFile),
    /// They listen already.
    Passed(Vec<Listener>),
}

/// Binds a socket, that of a name to the first of its addresses that can be bound. `mode` is that
/// of the file of a Unix socket.
pub(super) async fn bind(origin: Origin<'_>, mode: u32) -> Result<Bound<'_>, ServeError> {
    let socket = match origin.address {
        Address::Unix(path) => {
            let bound = unix_socket::bind(path, mode);
            bound.map(|(socket, file)| BoundSocket::Unix(socket, file))
        }
        Address::Passed => passed().map(BoundSocket::Passed),
        address => bind_tcp(address).await,
    };
    match socket {
        Ok(socket) => Ok(Bound { socket, origin }),
        Err(error) => Err(origin.error(error)),
    }
}

async fn bind_tcp(address: &Address) -> io::Result<BoundSocket> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.resolve().await? {
        match bind_to(address) {
            Ok(socket) => return Ok(BoundSocket::Tcp(socket, address)),
            // An address that is in use says more than one that this machine does not have.
            Err(error) if last.kind() != io::ErrorKind::AddrInUse => last = error,
            Err(_) => {}
        }
    }
    Err(last)
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

/// Listens on a bound socket.
pub(super) fn listen(bound: Bound<'_>, backlog: u32) -> Result<Vec<Listener>, ServeError> {
    let Bound { socket, origin } = bound;
    let listening = match socket {
        BoundSocket::Tcp(socket, address) => listen_tcp(socket, address, backlog),
        BoundSocket::Unix(socket, file) => unix_socket::listen(&socket, backlog).and_then(|()| {
            let listener = UnixListener::from_std(socket.into())?;
            Ok(Listener::Unix(listener, Some(file)))
        }),
        BoundSocket::Passed(listeners) => return Ok(listeners),
    };
    let listening = listening.map_err(|error| origin.error(error))?;
    Ok(vec![listening])
}

fn listen_tcp(mut socket: TcpSocket, address: SocketAddr, backlog: u32) -> io::Result<Listener> {
    let mut retries = if address.port() == 0 { MAX_RETRIES } else { 0 };
    loop {
        match socket.listen(backlog) {
            Ok(listener) => return Ok(Listener::Tcp(listener, Owner::Process)),
            // Another program can bind the same port until one of them listens.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && retries > 0 => {
                retries -= 1;
                socket = bind_to(address)?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// How many other ports are tried if any port will do.
const MAX_RETRIES: usize = 8;

/// The sockets that the service manager has passed, each of TCP or a Unix socket.
fn passed() -> io::Result<Vec<Listener>> {
    let mut passed = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..passed.len() {
        if let Ok(Some(listener)) = passed.take_tcp_listener(index) {
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            if let Err(error) = transport::bound_unsent(&listener) {
                tracing::debug!("unsent data has no bound: {error}");
            }
            listeners.push(Listener::Tcp(listener, Owner::Manager));
        } else if let Some(listener) = passed.take_unix_listener(index)? {
            listener.set_nonblocking(true)?;
            listeners.push(Listener::Unix(UnixListener::from_std(listener)?, None));
        }
    }
    if listeners.is_empty() {
        let text = "no socket was passed (LISTEN_FDS): start the program by a socket unit";
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    Ok(listeners)
}

/// Whose a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Process,
    /// The service manager, which keeps it when this process ends.
    Manager,
}

/// A socket that listens.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener, Owner),
    /// With the file that is removed at the end, if it is the process's own.
    Unix(UnixListener, Option<SocketFile>),
}

impl Listener {
    /// Where clients reach it.
    pub(super) fn url(&self, scheme: &str) -> String {
        match self {
            Self::Tcp(listener, _) => match listener.local_addr() {
                Ok(address) => format!("{scheme}://{address}"),
                Err(_) => format!("{scheme}:"),
            },
            Self::Unix(listener, _) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                match path {
                    Some(path) => format!("unix:{}", path.display()),
                    None => "unix:".to_owned(),
                }
            }
        }
    }

    /// Whether other machines reach it.
    pub(super) fn is_public(&self) -> bool {
        let Self::Tcp(listener, _) = self else {
            return false;
        };
        let address = listener.local_addr();
        address.is_ok_and(|address| !address.ip().to_canonical().is_loopback())
    }

    /// Whether it is one of TCP, which is the only kind with TLS.
    pub(super) fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp(..))
    }

    /// The next connection, and the address of its client if it has one.
    pub(super) async fn accept(&self) -> io::Result<(Incoming, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener, _) => {
                let (stream, peer) = listener.accept().await?;
                // An error shows that the client has disconnected.
                stream.set_nodelay(true).map_err(disconnected)?;
                let stream = stream.into_std().map_err(disconnected)?;
                Ok((Incoming::Tcp(stream), Some(peer.ip())))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let stream = stream.into_std().map_err(disconnected)?;
                Ok((Incoming::Unix(stream), None))
            }
        }
    }

    /// Lets no connection begin any more. Those that have begun can still be accepted.
    ///
    /// # Errors
    /// If the system does not support it.
    fn refuse_new(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(listener, _) => transport::refuse_new(listener),
            Self::Unix(_, file) => {
                *file = None;
                Ok(())
            }
        }
    }

    fn owner(&self) -> Owner {
        match self {
            Self::Tcp(_, owner) => *owner,
            Self::Unix(_, Some(_)) => Owner::Process,
            Self::Unix(_, None) => Owner::Manager,
        }
    }
}

fn disconnected(error: io::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, error)
}

/// The listener's part of a drain: how long connections whose handshake has begun are still
/// accepted.
const SETTLE: Duration = Duration::from_millis(50);

/// Accepts connections until `stop` changes.
///
/// A listener that is closed resets the connections that it has not accepted, with the requests on
/// them. So at the end no new connection can begin, and those that have begun are accepted. Those
/// of a listener that the service manager keeps wait for the next process instead.
pub(super) async fn accept(
    mut listener: Listener,
    cores: Arc<[Core]>,
    free: Arc<Semaphore>,
    clients: Clients,
    mut stop: watch::Receiver<()>,
) {
    let mut backoff = AcceptBackoff::default();
    tokio::select! {
        () = accept_all(&listener, &cores, &free, &clients, &mut backoff) => {}
        _ = stop.changed() => {}
    }
    if listener.owner() == Owner::Manager {
        return;
    }
    if let Err(error) = listener.refuse_new() {
        tracing::debug!("connections can begin until the listener is closed: {error}");
    }
    let rest = accept_all(&listener, &cores, &free, &clients, &mut backoff);
    let _ = tokio::time::timeout(SETTLE, rest).await;
}

/// Assigns each connection to the core with the fewest, so that few connections spread evenly. A
/// listener for each core would distribute them by a hash.
async fn accept_all(
    listener: &Listener,
    cores: &[Core],
    free: &Arc<Semaphore>,
    clients: &Clients,
    backoff: &mut AcceptBackoff,
) {
    loop {
        // Connections beyond the limit wait in the operating system's queue.
        let Ok(permit) = Arc::clone(free).acquire_owned().await else {
            // The semaphore is never closed.
            return std::future::pending().await;
        };
        let (stream, client) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                backoff.wait(&error).await;
                continue;
            }
        };
        backoff.reset();
        let place = match client.map(|client| clients.connect(client)) {
            // Its client has too many.
            Some(None) => continue,
            Some(place) => place,
            None => None,
        };
        let mut accepted = Accepted {
            stream,
            permit,
            place,
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

    fn port(listeners: &[Listener]) -> u16 {
        match listeners {
            [Listener::Tcp(listener, _)] => listener.local_addr().expect("it is bound").port(),
            other => panic!("{other:?}"),
        }
    }

    fn localhost(port: u16) -> Address {
        Address::from(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    #[tokio::test]
    async fn any_port_lost_before_listen_is_replaced_by_another() {
        let any = localhost(0);
        let bound = bind(from(&any), 0).await.expect("a free port");
        let BoundSocket::Tcp(socket, _) = &bound.socket else {
            panic!("it is one of TCP");
        };
        let lost = socket.local_addr().expect("it is bound");
        let same = Address::from(lost);
        let other = bind(from(&same), 0).await.expect("no socket listens yet");
        let other = listen(other, 1).expect("nor now");
        let listeners = listen(bound, 1).expect("there are more");
        assert_ne!(port(&listeners), lost.port());
        drop(other);
    }

    #[tokio::test]
    async fn named_port_lost_before_listen_is_an_error() {
        let any = localhost(0);
        let listeners = listen(bind(from(&any), 0).await.expect("a free port"), 1)
            .expect("no other socket listens there");
        let free = localhost(port(&listeners));
        drop(listeners);
        let bound = bind(from(&free), 0).await.expect("it is free again");
        let other = bind(from(&free), 0)
            .await
            .and_then(|other| listen(other, 1));
        let _other = other.expect("no socket listens there yet");
        let error = listen(bound, 1).expect_err("another socket listens now");
        assert!(error.to_string().contains("in use"), "{error}");
    }

    #[tokio::test]
    async fn port_on_all_interfaces_is_reached_by_ipv4() {
        let any = Address::Any(0);
        let listeners = listen(bind(from(&any), 0).await.expect("a free port"), 1)
            .expect("no other socket listens there");
        assert!(listeners.iter().all(Listener::is_public));
        let client = std::net::TcpStream::connect(("127.0.0.1", port(&listeners)));
        assert!(client.is_ok(), "{client:?}");
    }

    #[tokio::test]
    async fn unknown_name_is_an_error_that_shows_it() {
        let unknown: Address = "nowhere.invalid:80".parse().expect("a name");
        let error = bind(from(&unknown), 0)
            .await
            .expect_err("it has no address");
        let text = error.to_string();
        assert!(text.contains("nowhere.invalid:80 (--listen)"), "{text}");
    }
}
