//! One client connection: HTTP/1.1 in, one call of the component per request, and the answers that are the host's own.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use futures_util::FutureExt as _;
use http::header::{HOST, HeaderValue};
use http::request::Parts;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use humantime::parse_duration;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::Watcher;

use super::body::Body;
use super::connection_io::ConnectionIo;
use super::error_body::Refusal;
use super::head_timer::HeadTimer;
use super::lingering_close::Ending;
use super::transport::Transport;
use crate::options::size;
use crate::sandbox::{CallError, Instances};
use crate::telemetry::Counters;
use crate::telemetry::log::{LINES, LineLimit};
use crate::wasi_http::forwarded;

/// What a client may ask of a connection.
#[derive(Args, Clone, Debug)]
#[group(id = "connection-options")]
pub struct Limits {
    /// A request's body; a larger one is 413.
    #[arg(
        long,
        env = "USHER_MAX_BODY",
        value_name = "SIZE",
        default_value = "1MiB",
        value_parser = size
    )]
    pub max_body: usize,
    /// A request's line and headers together; larger ones are 431.
    // At least what the library reads them into.
    #[arg(
        long,
        env = "USHER_MAX_HEAD",
        value_name = "SIZE",
        default_value = "64KiB",
        value_parser = size
    )]
    pub max_head: usize,
    /// For a request's head to arrive, and for a connection to be idle.
    // From the first byte of the head, or the end of the request before it, to its last.
    #[arg(
        long,
        env = "USHER_HEAD_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = parse_duration
    )]
    pub head_timeout: Duration,
    /// For a request's body to arrive; a slower one is 408.
    #[arg(
        long,
        env = "USHER_BODY_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = parse_duration
    )]
    pub body_timeout: Duration,
    /// How long a client may take nothing of its answer before it is cut off.
    // One that takes something has all of it again.
    #[arg(
        long,
        env = "USHER_WRITE_TIMEOUT",
        value_name = "DURATION",
        default_value = "1m",
        value_parser = parse_duration
    )]
    pub write_timeout: Duration,
    /// Proxies whose X-Forwarded-Proto and Forwarded count, by address and separated by commas.
    #[arg(
        long = "trusted-proxy",
        env = "USHER_TRUSTED_PROXY",
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_value = "127.0.0.1,::1"
    )]
    pub trusted_proxies: Vec<IpAddr>,
}

impl Limits {
    /// The library's buffer takes no less.
    fn head(&self) -> usize {
        self.max_head.max(8 << 10)
    }
}

/// What every connection of one core shares.
#[derive(Debug)]
pub struct Service {
    /// The instances that answer.
    pub instances: Arc<Instances>,
    /// What a client may ask of a connection.
    pub limits: Limits,
    /// What is counted.
    pub counters: Arc<Counters>,
}

/// Serves one connection to its end: until the client closes it, breaks the protocol, or `drain` asks for the end and the
/// request at hand is answered.
pub async fn serve<I: Transport>(io: I, service: Arc<Service>, drain: Watcher) {
    let limits = &service.limits;
    let is_trusted = forwarded::is_trusted(&limits.trusted_proxies, io.peer());
    let ending = Arc::new(Ending::default());
    let stream = ConnectionIo::new(io, limits.write_timeout, Arc::clone(&ending));
    let connection = hyper::server::conn::http1::Builder::new()
        // Without a timer hyper takes no notice of its timeouts.
        .timer(HeadTimer::default())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head())
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |mut request| {
                if !is_trusted {
                    forwarded::strip(request.headers_mut());
                }
                let (version, ending) = (request.version(), Arc::clone(&ending));
                service.answer(request).map(move |response| {
                    ending.note(version, &response);
                    Ok::<_, Infallible>(response)
                })
            }),
        );
    if let Err(error) = drain.watch(connection).await {
        // Nearly always a client that left, or was never one.
        tracing::debug!("a connection ended early: {error}");
    }
}

impl Service {
    /// Answers one request, whatever it takes.
    ///
    /// No `async fn`, and what is known at once is done at once: what a request has to be moved into stays with its connection while
    /// it waits, and is out of the processor's cache by then where there are many.
    pub fn answer<B>(
        self: &Arc<Self>,
        request: Request<B>,
    ) -> impl Future<Output = Response<Body>> + use<B>
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let service = Arc::clone(self);
        let admitted = self.admit(request);
        async move {
            let answer = match admitted {
                Ok(Admitted::Whole(mut request)) => service.call(&mut request).await,
                Ok(Admitted::Coming(head, body)) => Box::pin(service.read(head, body)).await,
                Err(refusal) => Err(refusal),
            };
            let response = answer.unwrap_or_else(Response::from);
            service.counters.answered(response.status());
            response
        }
    }

    /// Takes a request in, as far as its head goes.
    fn admit<B: http_body::Body>(&self, mut request: Request<B>) -> Result<Admitted<B>, Refusal> {
        check_host(&mut request)?;
        // The library stops reading a head somewhere beyond the limit, by its buffers' sizes.
        let fields = request
            .headers()
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
        if fields.sum::<usize>() > self.limits.head() {
            return Err(Refusal::LargeHead);
        }
        if request.body().is_end_stream() {
            return Ok(Admitted::Whole(request.map(|_| Bytes::new())));
        }
        let (head, body) = request.into_parts();
        Ok(Admitted::Coming(head, body))
    }

    /// Reads a request's body, and has it answered.
    async fn read<B>(&self, head: Parts, body: B) -> Result<Response<Body>, Refusal>
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let body = tokio::time::timeout(self.limits.body_timeout, read(body, self.limits.max_body))
            .await
            .map_err(|_| Refusal::SlowBody)??;
        self.call(&mut Request::from_parts(head, body)).await
    }

    async fn call(&self, request: &mut Request<Bytes>) -> Result<Response<Body>, Refusal> {
        match self.instances.call(request).await {
            Ok(response) => Ok(response.map(Body::Guest)),
            Err(error) => {
                log_failed(&error);
                self.counters.failed(error.kind());
                Err(Refusal::Call(error))
            }
        }
    }
}

/// A request whose head is in order.
enum Admitted<B> {
    /// All of it is here.
    Whole(Request<Bytes>),
    /// Its body is still to be read.
    Coming(Parts, B),
}

/// RFC 9112, 3.2: an HTTP/1.1 request has exactly one `Host`. One of HTTP/1.0 may have none.
fn check_host<B>(request: &mut Request<B>) -> Result<(), Refusal> {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if host.to_str().is_ok() => Ok(()),
        (None, None) if request.uri().authority().is_some() => Ok(()),
        (None, None) if request.version() < Version::HTTP_11 => {
            let host = HeaderValue::from_static("localhost");
            request.headers_mut().insert(HOST, host);
            Ok(())
        }
        _ => Err(Refusal::Host),
    }
}

/// Reads a body of at most `limit` bytes. It is read before an instance is taken, so that a slow client holds up none.
async fn read<B>(body: B, limit: usize) -> Result<Bytes, Refusal>
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(Refusal::LargeBody);
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::LargeBody),
        Err(_) => Err(Refusal::BrokenBody),
    }
}

/// Says why a request got no answer of the component's, so many times a second.
fn log_failed(error: &CallError) {
    static BUSY: LineLimit = LineLimit::new(LINES);
    static FAILED: LineLimit = LineLimit::new(LINES);
    match error {
        CallError::Busy | CallError::Memory(_) | CallError::Evicted(_) => {
            if let Some(line) = BUSY.line() {
                tracing::warn!("{error}{line}");
            }
        }
        _ => {
            if let Some(line) = FAILED.line() {
                tracing::error!("{error}{line}");
            }
        }
    }
}
