//! One client connection of HTTP/1, which holds no buffers while it waits for a request.
//!
//! The two buffers of hyper's connection are more than all else that belongs to a client. So
//! hyper's connection is made when something of a request arrives, and taken apart when it has
//! waited for [`IDLE`] for the rest of a head. Either way the head has to be complete at the same
//! moment, and what has been read is in front of what is read next.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1::{Builder, Connection, Parts};
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWrite as _;

use super::connection_io::ConnectionIo;
use super::connection_state::ConnectionState;
use super::drain::Graceful;
use super::error_body::without_empty_lines;
use super::head_timer::{HeadTimer, Until};
use super::limits::Limits;

use super::transport::Transport;

/// How long hyper's connection may wait for a request. A client that is busy pays nothing for what
/// then has to be made again.
const IDLE: Duration = Duration::from_secs(1);

/// How a client begins that speaks HTTP/2 (RFC 9113, 3.4). hyper tells it from a malformed request
/// only if it has arrived as a whole.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection of HTTP/1.
pub(super) struct Http1<I, S: HttpService<Incoming>> {
    phase: Phase<I, S>,
    builder: Builder,
    timer: HeadTimer,
    state: Arc<ConnectionState>,
}

enum Phase<I, S: HttpService<Incoming>> {
    Waiting(Waiting<I, S>),
    // Elsewhere, because it is larger than all the rest.
    Serving(Box<Connection<TokioIo<ConnectionIo<I>>, S>>),
    Closing(ConnectionIo<I>),
    /// Only while one takes the place of another.
    Between,
}

/// A connection without a request, or with a part of a head.
struct Waiting<I, S> {
    io: ConnectionIo<I>,
    service: S,
    head: Until,
}

impl<I, S> Http1<I, S>
where
    I: Transport,
    S: HttpService<Incoming, Error: Into<Box<dyn Error + Send + Sync>>>,
    S::ResBody: Body<Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    /// A connection on which nothing has been read. `state` is also that of `io`.
    pub(super) fn new(
        io: ConnectionIo<I>,
        service: S,
        limits: &Limits,
        state: Arc<ConnectionState>,
    ) -> Self {
        let mut builder = Builder::new();
        builder.max_buf_size(limits.head());
        Self::with(io, service, state, builder, (limits.head_timeout, IDLE))
    }

    fn with(
        io: ConnectionIo<I>,
        service: S,
        state: Arc<ConnectionState>,
        mut builder: Builder,
        (head_timeout, idle): (Duration, Duration),
    ) -> Self {
        let timer = HeadTimer::new(head_timeout, idle);
        // Without a timer hyper ignores its timeouts.
        builder
            .timer(timer.clone())
            .header_read_timeout(head_timeout);
        let head = timer.until(Instant::now() + head_timeout);
        Self {
            phase: Phase::Waiting(Waiting { io, service, head }),
            builder,
            timer,
            state,
        }
    }

    /// The socket and what was read of the next request, unless the connection has closed itself.
    pub(super) fn into_transport(self) -> Option<(I, Bytes)> {
        let Phase::Serving(connection) = self.phase else {
            return None;
        };
        let Parts { io, read_buf, .. } = connection.into_parts();
        Some((io.into_inner().into_transport(), read_buf))
    }

    /// Takes hyper's connection apart if it waits for a request and has nothing left to write.
    fn take_apart_if_idle(&mut self) {
        let Some(deadline) = self.timer.deadline() else {
            return;
        };
        if !self.state.is_idle() {
            return;
        }
        self.phase = match std::mem::replace(&mut self.phase, Phase::Between) {
            Phase::Serving(connection) => {
                let Parts {
                    io,
                    read_buf,
                    service,
                    ..
                } = connection.into_parts();
                let mut io = io.into_inner();
                io.put_back(&read_buf);
                let head = self.timer.until(deadline);
                Phase::Waiting(Waiting { io, service, head })
            }
            other => other,
        };
    }

    /// Makes hyper's connection, for a request of which more has arrived.
    fn begin(&mut self) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Between) {
            Phase::Waiting(Waiting { io, service, head }) => {
                self.timer.limit_next(head.deadline());
                let connection = self.builder.serve_connection(TokioIo::new(io), service);
                Phase::Serving(Box::new(connection))
            }
            other => other,
        };
    }

    /// Closes a connection without a request.
    fn close(&mut self) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Between) {
            Phase::Waiting(waiting) => Phase::Closing(waiting.io),
            other => other,
        };
    }
}

/// Whether what has arrived may become the preface of a client that speaks HTTP/2.
fn is_preface(first: &[u8], state: &ConnectionState) -> bool {
    first.len() < PREFACE.len() && PREFACE.starts_with(first) && !state.has_had_request()
}

impl<I, S> Graceful for Http1<I, S>
where
    I: Transport,
    S: HttpService<Incoming, Error: Into<Box<dyn Error + Send + Sync>>>,
    S::ResBody: Body<Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    type Output = hyper::Result<()>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        loop {
            match &mut self.phase {
                Phase::Serving(connection) => {
                    let served = Pin::new(connection).poll(cx);
                    if served.is_ready() || !self.timer.is_idle() {
                        return served;
                    }
                    self.take_apart_if_idle();
                    if matches!(self.phase, Phase::Serving(_)) {
                        return Poll::Pending;
                    }
                }
                Phase::Waiting(waiting) => match waiting.io.poll_first(cx) {
                    Poll::Ready(Ok(false)) if waiting.io.first().is_empty() => self.close(),
                    Poll::Ready(Ok(true)) if is_preface(waiting.io.first(), &self.state) => {}
                    Poll::Ready(Ok(_)) => self.begin(),
                    Poll::Ready(Err(error)) => {
                        tracing::debug!("a connection ended early: {error}");
                        return Poll::Ready(Ok(()));
                    }
                    Poll::Pending => return Pin::new(&mut waiting.head).poll(cx).map(Ok),
                },
                Phase::Closing(io) => {
                    if let Err(error) = ready!(Pin::new(io).poll_shutdown(cx)) {
                        tracing::debug!("a connection ended early: {error}");
                    }
                    return Poll::Ready(Ok(()));
                }
                Phase::Between => return Poll::Ready(Ok(())),
            }
        }
    }

    fn shut_down(&mut self) -> bool {
        // Only then it is known what hyper has read of the next request.
        self.take_apart_if_idle();
        match &mut self.phase {
            Phase::Serving(connection) => Pin::new(&mut **connection).graceful_shutdown(),
            Phase::Waiting(Waiting { io, .. }) if !without_empty_lines(io.first()).is_empty() => {
                return false;
            }
            _ => self.close(),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::poll_fn;

    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;
    use crate::telemetry::Counters;

    const IDLE: Duration = Duration::from_millis(20);

    const GET: &[u8] = b"GET /path HTTP/1.1\r\nhost: localhost\r\n\r\n";

    /// A connection and its client. Each response has the path of its request.
    fn connected(
        head_timeout: Duration,
    ) -> (
        Http1<
            DuplexStream,
            impl HttpService<Incoming, ResBody = String, Error = Infallible, Future: Send>,
        >,
        DuplexStream,
    ) {
        let (client, io) = tokio::io::duplex(1 << 16);
        let state = Arc::<ConnectionState>::default();
        let (counters, limit) = (Arc::<Counters>::default(), Duration::from_mins(5));
        let io = ConnectionIo::new(io, limit, Arc::clone(&state), counters);
        let of_request = Arc::clone(&state);
        let answer = service_fn(move |request: Request<Incoming>| {
            of_request.request_read(request.version());
            of_request.response_complete();
            let path = request.uri().path().to_owned();
            async move { Ok::<_, Infallible>(Response::new(path)) }
        });
        let times = (head_timeout, IDLE);
        let connection = Http1::with(io, answer, state, Builder::new(), times);
        (connection, client)
    }

    /// Drives a connection until it waits for a request without a buffer.
    macro_rules! until_waiting {
        ($connection:expr) => {
            poll_fn(|cx| {
                let polled = $connection.poll(cx);
                assert!(polled.is_pending(), "{polled:?}");
                match &$connection.phase {
                    Phase::Waiting(_) => Poll::Ready(()),
                    _ => Poll::Pending,
                }
            })
            .await
        };
    }

    /// Has a client send bytes, and reads as many responses.
    macro_rules! answered {
        ($connection:expr, $client:expr, $sent:expr, $responses:expr) => {{
            $client.write_all($sent).await.expect("there is room");
            let mut read = Vec::new();
            poll_fn(|cx| {
                let polled = $connection.poll(cx);
                assert!(polled.is_pending(), "{polled:?}");
                let mut part = [0; 4096];
                let mut buf = tokio::io::ReadBuf::new(&mut part);
                while Pin::new(&mut $client).poll_read(cx, &mut buf).is_ready() {
                    read.extend_from_slice(buf.filled());
                    buf.clear();
                }
                let text = String::from_utf8_lossy(&read).into_owned();
                match text.matches("HTTP/1.1 200 OK").count() {
                    $responses if text.ends_with("/path") => Poll::Ready(()),
                    _ => Poll::Pending,
                }
            })
            .await
        }};
    }

    #[tokio::test]
    async fn requests_are_answered_before_and_after_the_connection_is_idle() {
        let (mut connection, mut client) = connected(Duration::from_mins(5));
        until_waiting!(connection);
        for _ in 0..3 {
            answered!(connection, client, GET, 1);
            assert!(matches!(connection.phase, Phase::Serving(_)));
            until_waiting!(connection);
        }
        // Two at once, and longer than what is read before hyper reads.
        let long = [&GET[..20], b"a: ", &[b'a'; 3000], b"\r\n\r\n"].concat();
        answered!(connection, client, &[GET, &long].concat(), 2);
    }

    #[tokio::test]
    async fn head_that_arrives_in_part_is_neither_lost_nor_waited_for_longer() {
        let (mut connection, mut client) = connected(Duration::from_mins(5));
        answered!(connection, client, GET, 1);
        until_waiting!(connection);
        let Phase::Waiting(waiting) = &connection.phase else {
            panic!("it waits");
        };
        let deadline = waiting.head.deadline();
        let (begin, end) = GET.split_at(9);
        client.write_all(begin).await.expect("there is room");
        poll_fn(|cx| {
            assert!(connection.poll(cx).is_pending());
            match &connection.phase {
                Phase::Serving(_) => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
        until_waiting!(connection);
        let Phase::Waiting(waiting) = &connection.phase else {
            panic!("it waits");
        };
        assert_eq!(waiting.head.deadline(), deadline);
        answered!(connection, client, end, 1);
    }

    /// The next head has begun to arrive together with the request before it.
    #[tokio::test]
    async fn part_of_a_head_that_hyper_has_read_is_put_back() {
        let (mut connection, mut client) = connected(Duration::from_mins(5));
        let (begin, end) = GET.split_at(9);
        answered!(connection, client, &[GET, begin].concat(), 1);
        until_waiting!(connection);
        answered!(connection, client, end, 1);
    }

    #[tokio::test]
    async fn preface_of_http_2_is_known_wherever_it_is_split() {
        for at in 0..PREFACE.len() {
            let (mut connection, mut client) = connected(Duration::from_mins(5));
            let (begin, end) = PREFACE.split_at(at);
            client.write_all(begin).await.expect("there is room");
            let polled = poll_fn(|cx| Poll::Ready(connection.poll(cx))).await;
            assert!(polled.is_pending(), "{at}");
            client.write_all(end).await.expect("there is room");
            let ended = poll_fn(|cx| connection.poll(cx)).await;
            let error = ended.expect_err("it is not HTTP/1");
            assert!(error.is_parse_version_h2(), "{at}: {error}");
            let (_, read) = connection.into_transport().expect("the socket");
            assert_eq!(read, PREFACE, "{at}");
        }
        // What only begins like it is a malformed request, and so is a part of it.
        for other in [&b"PRI * HTTP/2.0\r\n\r\nX"[..], b"PRI * HTTP/2.0\r\n\r\n"] {
            let (mut connection, mut client) = connected(Duration::from_mins(5));
            client.write_all(other).await.expect("there is room");
            let polled = poll_fn(|cx| Poll::Ready(connection.poll(cx))).await;
            assert!(polled.is_pending(), "it lingers, or waits");
            client.shutdown().await.expect("it is open");
            let ended = poll_fn(|cx| connection.poll(cx)).await;
            assert!(ended.is_err_and(|error| error.is_parse() && !error.is_parse_version_h2()));
            drop(connection);
            let mut read = String::new();
            client.read_to_string(&mut read).await.expect("an end");
            assert!(read.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{read}");
        }
    }

    #[tokio::test]
    async fn drain_waits_for_a_head_whose_begin_hyper_has_read_and_not_for_an_empty_line() {
        for is_idle in [false, true] {
            let (mut connection, mut client) = connected(Duration::from_mins(5));
            let (begin, end) = GET.split_at(9);
            answered!(connection, client, &[GET, begin].concat(), 1);
            if is_idle {
                until_waiting!(connection);
            }
            assert!(!connection.shut_down(), "a head is arriving");
            answered!(connection, client, end, 1);

            client.write_all(b"\r\n").await.expect("there is room");
            let polled = poll_fn(|cx| Poll::Ready(connection.poll(cx))).await;
            assert!(polled.is_pending());
            if is_idle {
                until_waiting!(connection);
            }
            assert!(connection.shut_down());
            poll_fn(|cx| connection.poll(cx)).await.expect("an end");
            assert_eq!(client.read(&mut [0; 1]).await.expect("an end"), 0);
        }
    }

    #[tokio::test]
    async fn idle_connection_ends_at_its_deadline_when_told_and_with_its_client() {
        let began = Instant::now();
        let (mut connection, _client) = connected(3 * IDLE);
        let ended = poll_fn(|cx| connection.poll(cx)).await;
        assert!(ended.is_ok() && began.elapsed() >= 3 * IDLE, "{ended:?}");

        let (mut connection, mut client) = connected(3 * IDLE);
        answered!(connection, client, GET, 1);
        let answered = Instant::now();
        until_waiting!(connection);
        let ended = poll_fn(|cx| connection.poll(cx)).await;
        assert!(ended.is_ok() && answered.elapsed() >= 2 * IDLE, "{ended:?}");

        let (mut connection, mut client) = connected(Duration::from_mins(5));
        answered!(connection, client, GET, 1);
        until_waiting!(connection);
        assert!(connection.shut_down());
        poll_fn(|cx| connection.poll(cx)).await.expect("an end");
        assert_eq!(client.read(&mut [0; 1]).await.expect("an end"), 0);

        let (mut connection, mut client) = connected(Duration::from_mins(5));
        until_waiting!(connection);
        client.shutdown().await.expect("it is open");
        poll_fn(|cx| connection.poll(cx)).await.expect("an end");
    }
}
