//! One client connection of HTTP/2: many streams, each with one request.
//!
//! Requests take the same path as those of HTTP/1. Beyond the limits of a request, this bounds what
//! a connection may do: how many streams it has at once, how long it may be without one, how long a
//! client may leave no room for a response, and how many requests it may cancel. The library bounds
//! frames that cost more than they carry: resets of streams that nothing has accepted,
//! CONTINUATION, SETTINGS and PING.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http::header::{COOKIE, HeaderMap, HeaderValue};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::connection_state::ConnectionState;
use super::drain::Watcher;
use super::http2_io::Http2Io;
use super::limits::Limits;
use super::peer::Peer;
use super::service::Service;
use super::stream_body::StreamBody;
use super::streams::{Spawn, Streams};
use super::transport::Transport;
use crate::telemetry::log::{LINES, LineLimit};

/// What a client may send of a body before the host has read it: of one stream, of all.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// What a stream may hold of a response that the client has no room for.
const SEND_BUFFER: usize = 64 << 10;

/// How often a client is asked whether it is still there, and how long it may take to reply.
const PING: Duration = Duration::from_secs(20);

/// How long the server waits for a moment between requests to tell a client that it ends.
const BUSY: Duration = Duration::from_secs(1);

/// How long a client may take to close a connection that has no stream any more.
const LAST: Duration = Duration::from_secs(2);

/// Serves one connection until the client closes it or breaks the protocol, until it has been idle
/// for too long, or until it is drained. `first` has been read already.
pub(super) async fn serve<I: Transport>(
    io: I,
    first: Bytes,
    service: Arc<Service>,
    mut drain: Watcher,
    peer: Peer,
) {
    let limits = &service.limits;
    let (head_timeout, max_requests) = (limits.head_timeout, limits.max_connection_requests);
    let streams = Arc::new(Streams::new(limits.write_timeout, limits.max_streams));
    let (announcement, called) = (drain.announcement().clone(), Arc::clone(&streams));
    let io = Http2Io::new(io, first, limits.write_timeout);
    let mut connection = settings(limits, &streams).serve_connection(
        TokioIo::new(io),
        service_fn(move |mut request: Request<Incoming>| {
            let stream = called.begin();
            let state = Arc::new(ConnectionState::new(announcement.clone(), None));
            join_cookies(request.headers_mut());
            peer.prepare(&mut request);
            let is_head = request.method() == http::Method::HEAD;
            let response = service.respond_on(request, state);
            async move { Ok::<_, Infallible>(StreamBody::of(response.await, is_head, stream)) }
        }),
    );
    let mut connection = Pin::new(&mut connection);
    let announcement = drain.announcement().clone();
    let mut closing = pin!(drain.closing());
    let mut timer = pin!(tokio::time::sleep(head_timeout));
    // Whether connections are to be closed, and whether the client has been told.
    let (mut is_closing, mut is_ending) = (false, false);
    let served = poll_fn(|cx| {
        loop {
            if let Poll::Ready(output) = connection.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            if streams.has_excess_of_cancelled() {
                log_cancelled(streams.cancelled());
                return Poll::Ready(Ok(()));
            }
            if !is_closing {
                is_closing = closing.as_mut().poll(cx).is_ready();
                if is_closing {
                    timer.as_mut().reset((Instant::now() + BUSY).into());
                }
            }
            // Between requests, because some clients drop what is in flight at a GOAWAY.
            let is_idle = streams.idle_since().is_some();
            let is_worn = max_requests.is_some_and(|most| streams.begun() >= u64::from(most.get()));
            let is_told = is_closing || is_worn || announcement.is_made() && streams.begun() > 0;
            if !is_ending && is_told && is_idle {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
                timer.as_mut().reset((Instant::now() + LAST).into());
                continue;
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let next = match streams.idle_since() {
                None if is_closing && !is_ending => {
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                    Instant::now() + LAST
                }
                None if is_ending => Instant::now() + LAST,
                None => Instant::now() + head_timeout,
                Some(_) if is_ending => return Poll::Ready(Ok(())),
                Some(since) if since.elapsed() < head_timeout => since + head_timeout,
                Some(_) => {
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                    Instant::now() + LAST
                }
            };
            timer.as_mut().reset(next.into());
        }
    });
    if let Err(error) = served.await {
        tracing::debug!("a connection ended early: {error}");
    }
}

/// The library's settings for a connection.
fn settings(limits: &Limits, streams: &Arc<Streams>) -> Builder<Spawn> {
    let head = u32::try_from(limits.max_head).unwrap_or(u32::MAX);
    let mut settings = Builder::new(Spawn(Arc::clone(streams)));
    settings
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        // The library's own 431 has no body and is not counted, so it is left for what is far
        // beyond the limit. It counts 32 bytes for each field (RFC 9113, 6.5.2).
        .max_header_list_size(head.saturating_mul(2))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    settings
}

fn log_cancelled(requests: u64) {
    static CANCELLED: LineLimit = LineLimit::new(LINES);
    if let Some(line) = CANCELLED.line() {
        tracing::warn!(
            "a client has cancelled {requests} requests of one connection of HTTP/2, and was \
             disconnected{line}"
        );
    }
}

/// A client may send one `Cookie` in several fields, which are one elsewhere (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (cookies.next(), cookies.next()) else {
        return;
    };
    let mut joined = [first.as_bytes(), b"; ", second.as_bytes()].concat();
    for cookie in cookies {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(cookie.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookie_fields_are_joined_in_order() {
        let mut headers = HeaderMap::new();
        for cookie in ["a=1", "b=2", "c=3"] {
            headers.append(COOKIE, HeaderValue::from_static(cookie));
        }
        join_cookies(&mut headers);
        let joined: Vec<_> = headers.get_all(COOKIE).iter().collect();
        assert_eq!(joined, ["a=1; b=2; c=3"]);
    }
}
