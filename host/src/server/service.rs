//! Responds to requests, with one call of the component for each.
//!
//! A request's body is read before an instance is called, within limits on size and time. A request
//! that breaks a limit, or whose call fails, gets an error response of the host.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Uri, Version};

use super::body::Body;
use super::connection_state::ConnectionState;
use super::description;
use super::error_body::ErrorResponse;
use super::limits::Limits;
use super::request_body::{self, BodyLimits, RequestBody};
use super::request_head;
use super::serving::Serving;
use crate::access::jwt::Refresh;
use crate::access::{self, AccessControl, Checked, Refusal, Scopes};
use crate::memory::BodyMemory;
use crate::recording::Recorder;
use crate::sandbox::{CallError, Instances};
use crate::telemetry::log::{LINES, LineLimit};
use crate::telemetry::request::{CountedRequest, GivenNames};
use crate::telemetry::{Counters, RequestInfo};
use crate::wasi_http::forwarded;

/// What every connection of one core shares.
#[derive(Debug)]
pub struct Service {
    /// The instance pool of the component that is served.
    pub instances: Serving,
    /// The limits of client connections.
    pub limits: Limits,
    /// Who may send requests.
    pub access: AccessControl,
    /// The counters of the core's connections.
    pub counters: Arc<Counters>,
    /// What records requests, if any are recorded.
    pub recorder: Option<Recorder>,
}

impl Service {
    /// Responds to one request that has no connection. `X-Request-Id` and `traceparent` count, and
    /// so do the header fields that say who sends it (`usher-…`): those of a client that is not
    /// trusted have been removed.
    pub fn respond<B>(
        self: &Arc<Self>,
        request: Request<B>,
    ) -> impl Future<Output = Response<Body>> + use<B>
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        self.respond_to(request, Arc::default(), false)
    }

    /// Responds to one request of this connection.
    pub(super) fn respond_on<B>(
        self: &Arc<Self>,
        request: Request<B>,
        state: Arc<ConnectionState>,
    ) -> impl Future<Output = Response<Body>> + use<B>
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        self.respond_to(request, state, true)
    }

    /// Responds to one request, of a client or of this program.
    ///
    /// Not an `async fn`, so that the head is checked at once and the future holds as little as
    /// possible: with many connections, a future's memory is out of the processor's cache when it
    /// is polled again.
    fn respond_to<B>(
        self: &Arc<Self>,
        request: Request<B>,
        state: Arc<ConnectionState>,
        is_of_client: bool,
    ) -> impl Future<Output = Response<Body>> + use<B>
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let service = Arc::clone(self);
        let version = request.version();
        let cors = self.access.cors(request.method(), request.headers());
        let is_preflight = cors.as_ref().is_some_and(|cors| cors.is_preflight());
        let instances = self.instances.current();
        let (counted, mut admitted) = self.admit(&instances, request, is_preflight, is_of_client);
        // hyper looks for the end of input before it first polls the future.
        match &admitted {
            Ok(Admitted::Permitted(Permitted::Unread(..))) => state.body_follows(),
            Ok(Admitted::Waiting(waiting)) if waiting.is_unread => state.body_follows(),
            _ => state.request_read(version),
        }
        async move {
            let info = counted.info();
            let result = loop {
                break match admitted {
                    Ok(Admitted::Permitted(Permitted::Buffered(mut request))) => {
                        let began = info.arrival();
                        service.call(&instances, &mut request, info, began).await
                    }
                    Ok(Admitted::Permitted(Permitted::Unread(head, body))) => {
                        // Freed before the call, so that a slow body holds no memory for one.
                        let reading = Box::pin(service.read(&instances, head, body, info, &state));
                        match reading.await {
                            Ok((mut request, _memory)) => {
                                let began = Instant::now();
                                service.call(&instances, &mut request, info, began).await
                            }
                            Err(error) => Err(error),
                        }
                    }
                    Ok(Admitted::Permitted(Permitted::Unwanted(mut request))) => {
                        let began = info.arrival();
                        let response = service.call(&instances, &mut request, info, began).await;
                        response.map(|response| without_body(response, &state))
                    }
                    Ok(Admitted::Permitted(Permitted::Description(request))) => {
                        Box::pin(service.describe(&instances, request, info)).await
                    }
                    Ok(Admitted::Waiting(waiting)) => {
                        let checked = service.check_again(&instances, *waiting, info, &state);
                        // From here on, as a request whose key was known.
                        admitted = Box::pin(checked).await.map(Admitted::Permitted);
                        continue;
                    }
                    Ok(Admitted::Preflight) => Ok(no_content()),
                    Err(error) => Err(error),
                };
            };
            let mut response = result.unwrap_or_else(|error| {
                info.blame(error.blame());
                Response::from(error)
            });
            info.responded(response.status());
            info.name_response(response.headers_mut());
            if let Some(cors) = cors {
                cors.describe(response.headers_mut());
            }
            record(response, version, state).map(|body| body.ends(counted))
        }
    }

    /// Counts a request from now on, and checks its head.
    fn admit<B: http_body::Body>(
        &self,
        instances: &Instances,
        mut request: Request<B>,
        is_preflight: bool,
        is_of_client: bool,
    ) -> (CountedRequest, Result<Admitted<B>, ErrorResponse>) {
        let base = self.limits.base_path.as_deref();
        let is_below = base.is_none_or(|base| remove_base_path(base, &mut request));
        let (mut size, mut given) = (request_line(&request), GivenNames::default());
        let mut has_reserved = false;
        for (name, value) in request.headers() {
            size += name.as_str().len() + value.len() + ": \r\n".len();
            given.add(name, value);
            has_reserved |= access::is_reserved(name.as_str());
        }
        let (method, path) = (request.method(), request.uri().path());
        let counted = RequestInfo::arrived(instances.counters(), method, path, given);
        if has_reserved && is_of_client {
            access::strip(request.headers_mut());
        }
        let is_unread = !request.body().is_end_stream();
        let checked = self.check_head(&mut request, size, is_below, is_unread);
        let admitted = checked.and_then(|()| {
            if is_preflight && !is_unread {
                return Ok(Admitted::Preflight);
            }
            self.authorize(instances, request, is_unread, counted.info())
        });
        (counted, admitted)
    }

    /// Checks a head of so many bytes.
    fn check_head<B>(
        &self,
        request: &mut Request<B>,
        size: usize,
        is_below: bool,
        is_unread: bool,
    ) -> Result<(), ErrorResponse> {
        request_head::check(request, is_unread)?;
        if !is_below {
            return Err(ErrorResponse::NotFound(is_unread));
        }
        // hyper stops only at the size of its buffer, which may be beyond the limit, and with
        // HTTP/2 at no number of fields.
        if size > self.limits.head() || request.headers().len() > MAX_FIELDS {
            return Err(ErrorResponse::LargeHead);
        }
        Ok(())
    }

    /// Checks whether the sender of a request may send it.
    fn authorize<B>(
        &self,
        instances: &Instances,
        mut request: Request<B>,
        is_unread: bool,
        info: &RequestInfo,
    ) -> Result<Admitted<B>, ErrorResponse> {
        if self.access.needs_token() {
            let needed = Scopes::needed(request.method());
            match self.access.check(needed, request.headers_mut()) {
                Checked::Permitted => {}
                Checked::Refused(refusal) => {
                    log_refused(&refusal, info);
                    return Err(ErrorResponse::Refused(refusal, is_unread));
                }
                Checked::Waits(token, refresh) => {
                    return Ok(Admitted::Waiting(Box::new(Waiting {
                        request,
                        is_unread,
                        token,
                        refresh,
                    })));
                }
            }
        }
        let permitted = self.permit(instances, request, is_unread);
        Ok(Admitted::Permitted(permitted))
    }

    /// What becomes of a request that its sender may send.
    fn permit<B>(
        &self,
        instances: &Instances,
        request: Request<B>,
        is_unread: bool,
    ) -> Permitted<B> {
        if !is_unread {
            let request = request.map(|_| Bytes::new());
            if self.access.needs_token() && is_description(instances, &request) {
                return Permitted::Description(request);
            }
            return Permitted::Buffered(request);
        }
        if waits_to_send(&request)
            && (instances.counters().routes()).exclude(request.method(), request.uri().path())
        {
            return Permitted::Unwanted(request.map(|_| Bytes::new()));
        }
        let (head, body) = request.into_parts();
        Permitted::Unread(head, body)
    }

    /// Waits for the keys of a request's token, and checks the token again.
    async fn check_again<B>(
        &self,
        instances: &Instances,
        waiting: Waiting<B>,
        info: &RequestInfo,
        state: &ConnectionState,
    ) -> Result<Permitted<B>, ErrorResponse> {
        let Waiting {
            mut request,
            is_unread,
            token,
            refresh,
        } = waiting;
        refresh.ended().await;
        let (version, needed) = (request.version(), Scopes::needed(request.method()));
        let checked = self
            .access
            .check_again(&token, needed, request.headers_mut());
        let permitted = match checked {
            Ok(()) => Ok(self.permit(instances, request, is_unread)),
            Err(refusal) => {
                log_refused(&refusal, info);
                Err(ErrorResponse::Refused(refusal, is_unread))
            }
        };
        // No more of the request is read.
        if is_unread && !matches!(permitted, Ok(Permitted::Unread(..))) {
            state.request_read(version);
        }
        permitted
    }

    /// Calls the component for its OpenAPI description, and adds which token is needed for what.
    async fn describe(
        &self,
        instances: &Arc<Instances>,
        mut request: Request<Bytes>,
        info: &Arc<RequestInfo>,
    ) -> Result<Response<Body>, ErrorResponse> {
        let asked = description::ask(&mut request);
        let began = info.arrival();
        let response = self.call(instances, &mut request, info, began).await?;
        let described = description::describe(&self.access, response, asked).await;
        described.map_err(|error| {
            log_failed(&error, info);
            instances.counters().failed(error.kind());
            ErrorResponse::Call(error)
        })
    }

    /// Reads a request's body, which may take memory until it is dropped.
    async fn read<B>(
        &self,
        instances: &Arc<Instances>,
        mut head: Parts,
        body: B,
        info: &Arc<RequestInfo>,
        state: &ConnectionState,
    ) -> Result<(Request<Bytes>, Option<Box<BodyMemory>>), ErrorResponse>
    where
        B: http_body::Body<Data = Bytes>,
    {
        let limits = BodyLimits {
            length: self.limits.max_body,
            time: self.limits.body_timeout,
            memory: instances.host_memory(),
            may_wait: head.version < Version::HTTP_2,
        };
        let mut reading = pin!(request_body::read(body, limits));
        let body = match tokio::time::timeout(SLOW_BODY, reading.as_mut()).await {
            Ok(body) => body,
            Err(_) => {
                request_head::compact(&mut head);
                reading.await
            }
        };
        let RequestBody { bytes, memory } = body.inspect_err(|error| {
            if let ErrorResponse::Unread(error) = error {
                log_failed(error, info);
                instances.counters().failed(error.kind());
            }
        })?;
        state.request_read(head.version);
        Ok((Request::from_parts(head, bytes), memory))
    }

    /// Calls the component with a request that is complete since `began`.
    async fn call(
        &self,
        instances: &Arc<Instances>,
        request: &mut Request<Bytes>,
        info: &Arc<RequestInfo>,
        began: Instant,
    ) -> Result<Response<Body>, ErrorResponse> {
        let capture = (self.recorder.as_ref())
            .and_then(|recorder| recorder.capture(instances.runtime(), request, info));
        let tape = capture.as_ref().map(|capture| capture.tape());
        match instances.call(request, info, tape, began).await {
            Ok(response) => {
                let capture = capture.and_then(|capture| capture.answered(&response));
                Ok(response.map(|body| Body::guest(body, capture)))
            }
            Err(error) => {
                if let Some(mut capture) = capture {
                    capture.failed(Some(&error));
                }
                log_failed(&error, info);
                instances.counters().failed(error.kind());
                Err(ErrorResponse::Call(error))
            }
        }
    }
}

/// The most header fields of a request: hyper's limit for HTTP/1.
const MAX_FIELDS: usize = 100;

/// After how long a body is slow, and its head is moved to as little memory as it needs. One that a
/// client sends right after the head is not.
const SLOW_BODY: Duration = Duration::from_millis(20);

/// Removes the path below which the service is from a request's target. Returns whether it was
/// there.
fn remove_base_path<B>(base: &str, request: &mut Request<B>) -> bool {
    if base.is_empty() {
        return true;
    }
    let target = request.uri().path_and_query();
    let rest = target.and_then(|target| target.as_str().strip_prefix(base));
    let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with(['/', '?'])) else {
        return false;
    };
    let slash = if rest.starts_with('/') { "" } else { "/" };
    let mut uri = request.uri().clone().into_parts();
    uri.path_and_query = format!("{slash}{rest}").parse().ok();
    let Ok(uri) = Uri::from_parts(uri) else {
        return false;
    };
    *request.uri_mut() = uri;
    forwarded::add_prefix(request.headers_mut(), base);
    true
}

/// A request whose head is valid.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every request is of the large variant, and a box would cost an allocation"
)]
enum Admitted<B> {
    Permitted(Permitted<B>),
    /// Whether the client may send it is not known yet.
    Waiting(Box<Waiting<B>>),
    /// A browser asks what a page may send, which is no business of the component's.
    Preflight,
}

/// A request that its sender may send.
enum Permitted<B> {
    Buffered(Request<Bytes>),
    /// The body has not been read.
    Unread(Parts, B),
    /// No route takes the body, and the client has not sent it.
    Unwanted(Request<Bytes>),
    /// For the OpenAPI description, where tokens are needed.
    Description(Request<Bytes>),
}

/// A request whose token names a key that is being fetched.
struct Waiting<B> {
    request: Request<B>,
    is_unread: bool,
    token: HeaderValue,
    refresh: Refresh,
}

/// Whether a request is for the OpenAPI description that the component declares.
fn is_description<B>(instances: &Instances, request: &Request<B>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
        && request.uri().path() == description::PATH
        && instances.counters().routes().has_page(description::PATH)
}

fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::full(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Whether the client sends the body only after `100 Continue`, which hyper sends once the body is
/// read (RFC 9110, 10.1.1).
fn waits_to_send<B>(request: &Request<B>) -> bool {
    request.version() >= Version::HTTP_11
        && request
            .headers()
            .get(EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// The final response to a client whose body is not read. Whether it sends the body nevertheless
/// cannot be known, so no further request can be read.
fn without_body(mut response: Response<Body>, state: &ConnectionState) -> Response<Body> {
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    state.request_left_unread();
    response
}

/// The size of a request's first line, in bytes.
fn request_line<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    let target = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let origin = uri.authority().map_or(0, |authority| {
        uri.scheme_str().map_or(0, str::len) + "://".len() + authority.as_str().len()
    });
    request.method().as_str().len() + origin + target + "  HTTP/1.1\r\n".len()
}

/// Records on the connection what a response requires, before it is written.
fn record(
    mut response: Response<Body>,
    version: Version,
    state: Arc<ConnectionState>,
) -> Response<Body> {
    // An error response has `Connection: close` only if not all of its request was read.
    if response.body().is_of_host() && response.headers().contains_key(CONNECTION) {
        state.request_left_unread();
    }
    // HTTP/2 says so by a frame.
    if state.is_ending() && version < Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    if response.body().is_streaming() {
        let streamed = state.response_streams(version);
        return response.map(|body| body.streams(streamed));
    }
    state.response_complete();
    response
}

/// Logs why a token is refused, with a limit on lines per second. A request without one is not
/// logged: it is how clients find out that they need one.
fn log_refused(refusal: &Refusal, request: &RequestInfo) {
    static REFUSED: LineLimit = LineLimit::new(LINES);
    if *refusal != Refusal::NoToken
        && let Some(line) = REFUSED.line()
    {
        tracing::info!(
            id = %request.id(),
            trace = request.trace(),
            method = %request.method(),
            route = %request.route(),
            "a request was refused: {refusal}{line}"
        );
    }
}

/// Logs a failed call, with a limit on lines per second.
fn log_failed(error: &CallError, request: &RequestInfo) {
    static BUSY: LineLimit = LineLimit::new(LINES);
    static FAILED: LineLimit = LineLimit::new(LINES);
    match error {
        CallError::Busy | CallError::Memory(_) | CallError::Evicted(_) => {
            if let Some(line) = BUSY.line() {
                tracing::warn!(
                    id = %request.id(),
                    trace = request.trace(),
                    method = %request.method(),
                    route = %request.route(),
                    "{error}{line}"
                );
            }
        }
        _ => {
            if let Some(line) = FAILED.line() {
                tracing::error!(
                    id = %request.id(),
                    trace = request.trace(),
                    method = %request.method(),
                    route = %request.route(),
                    "{error}{line}"
                );
            }
        }
    }
}
