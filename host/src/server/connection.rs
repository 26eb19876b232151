//! One client connection: the TLS handshake, and whether it speaks HTTP/1 or HTTP/2.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use hyper::service::service_fn;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::connection_io::ConnectionIo;
use super::connection_state::ConnectionState;
use super::drain::Watcher;
use super::http1::Http1;
use super::http2;
use super::limits::Limits;
use super::peer::Peer;
use super::proxy_protocol;
use super::service::Service;
use super::tls::Tls;
use super::transport::{Socket, Transport};
use crate::telemetry::Counters;
use crate::telemetry::log::{LINES, LineLimit};

/// Serves one connection of a listener, with TLS if there is any.
pub(super) async fn accept(
    mut socket: Socket,
    tls: Option<Tls>,
    service: Arc<Service>,
    drain: Watcher,
) {
    let limits = &service.limits;
    let mut peer = Peer::of(&socket, limits);
    let deadline = Instant::now() + limits.head_timeout;
    if limits.proxy_protocol {
        match Box::pin(client_of_proxy(&mut socket, peer, limits, deadline)).await {
            Ok(client) => peer = client,
            Err(error) => return tracing::debug!("a connection is not served: {error}"),
        }
    }
    let (stream, tls) = match (socket, tls) {
        (Socket::Tcp(stream), Some(tls)) => (stream, tls),
        // Who reaches a Unix socket is on this machine.
        (socket, _) => return serve_peer(socket, service, drain, peer).await,
    };
    let peer = peer.over_tls();
    // In memory of its own until it is done: the task of each connection would be larger by it.
    let handshake = Box::pin(shake_hands(stream, tls, deadline, &service.counters));
    let Some((socket, is_http2)) = handshake.await else {
        return;
    };
    if is_http2 {
        Box::pin(http2::serve(socket, Bytes::new(), service, drain, peer)).await;
    } else {
        serve_peer(socket, service, drain, peer).await;
    }
}

/// A connection with TLS, and whether its client wants to speak HTTP/2.
async fn shake_hands(
    stream: TcpStream,
    tls: Tls,
    deadline: Instant,
    counters: &Counters,
) -> Option<(Socket, bool)> {
    match tokio::time::timeout_at(deadline, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            return Some((Socket::Tls(Box::new(stream)), is_http2));
        }
        Ok(Err(error)) => tracing::debug!("a TLS handshake failed: {error}"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
    counters.handshake_failed();
    None
}

/// Who the client of a proxy is, by the PROXY protocol.
async fn client_of_proxy(
    socket: &mut Socket,
    proxy: Peer,
    limits: &Limits,
    deadline: Instant,
) -> io::Result<Peer> {
    static UNTRUSTED: LineLimit = LineLimit::new(LINES);
    if !proxy.is_trusted() {
        if let Some(line) = UNTRUSTED.line() {
            tracing::warn!(
                "a connection was closed: with --proxy-protocol they come from a --trusted-proxy \
                 alone{line}"
            );
        }
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let client = tokio::time::timeout_at(deadline, proxy_protocol::read(socket)).await??;
    Ok(proxy.client(&client, limits))
}

/// Serves one connection until the client closes it or breaks the protocol, or until it is
/// drained and the current request has its response.
///
/// It is taken for one of HTTP/1 until its first bytes are those of HTTP/2, so that HTTP/1 pays
/// nothing for the choice.
pub async fn serve<I: Transport>(io: I, service: Arc<Service>, drain: Watcher) {
    let peer = Peer::of(&io, &service.limits);
    serve_peer(io, service, drain, peer).await;
}

async fn serve_peer<I: Transport>(io: I, service: Arc<Service>, mut drain: Watcher, peer: Peer) {
    let limits = &service.limits;
    let state = Arc::new(ConnectionState::new(
        drain.announcement().clone(),
        limits.max_connection_requests,
    ));
    let counters = Arc::clone(&service.counters);
    let io = ConnectionIo::new(io, limits.write_timeout, Arc::clone(&state), counters);
    let (called, of_request) = (Arc::clone(&service), Arc::clone(&state));
    let answer = service_fn(move |mut request| {
        peer.prepare(&mut request);
        let response = called.respond_on(request, Arc::clone(&of_request));
        response.map(Ok::<_, Infallible>)
    });
    let mut connection = Http1::new(io, answer, limits, Arc::clone(&state));
    let served = drain.watch(&mut connection);
    let Err(error) = served.await else {
        return;
    };
    if error.is_parse_version_h2()
        && !state.has_had_request()
        && let Some((io, first)) = connection.into_transport()
    {
        Box::pin(http2::serve(io, first, service, drain, peer)).await;
    } else {
        // Nearly always a client that disconnected, or that does not speak HTTP.
        tracing::debug!("a connection ended early: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the future that a function returns.
    fn size<A, B, C, D, F>(_: fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    /// Each connection has such a future as long as it is open.
    #[test]
    fn future_of_a_connection_is_small() {
        let size = size(accept);
        assert!(size <= 1536, "{size} bytes");
    }
}
