//! `wasi:http/incoming-handler`: each part of a request is fetched when it is needed, and a
//! response may be streamed.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::bindings::exports::wasi::http::incoming_handler::Guest;
use super::bindings::wasi::http::types::{
    Fields, IncomingRequest, Method as WasiMethod, OutgoingBody, OutgoingResponse,
    ResponseOutparam, Scheme as WasiScheme,
};
use super::bindings::wasi::io::streams::{OutputStream, StreamError};
use super::database::Import;
use super::exported::Component;
use crate::answer::{Answer, Chunks as _, Streamed};
use crate::http::{IncompleteBody, Method, Request, RequestHeaders, Response, Scheme};
use crate::service::Service;

impl<S: Service> Guest for Component<S> {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let request = Incoming::new(request);
        let answer = S::handle(&request, &Import);
        let is_head = request.method == Method::Head;
        drop(request);
        match answer {
            Answer::Buffered(response) => send(&response, out),
            Answer::Streamed(streamed) => send_streamed(&streamed, is_head, out),
        }
    }
}

/// The most bytes of a body that one call reads.
const READ_BYTES: u64 = 1 << 20;

/// A request whose parts are fetched from the host when they are needed.
struct Incoming {
    request: IncomingRequest,
    method: Method,
    target: String,
    headers: OnceCell<Fields>,
}

impl Incoming {
    fn new(request: IncomingRequest) -> Self {
        let method = match request.method() {
            WasiMethod::Get => Method::Get,
            WasiMethod::Head => Method::Head,
            WasiMethod::Post => Method::Post,
            WasiMethod::Put => Method::Put,
            WasiMethod::Patch => Method::Patch,
            WasiMethod::Delete => Method::Delete,
            _ => Method::Other,
        };
        // A target without a path means the root (RFC 9110, 4.2.3), as in `OPTIONS *`.
        let target = request.path_with_query().unwrap_or_else(|| "/".into());
        Self {
            request,
            method,
            target,
            headers: OnceCell::new(),
        }
    }
}

impl<H: RequestHeaders> Request<H> for Incoming {
    fn method(&self) -> Method {
        self.method
    }

    fn target(&self) -> &str {
        &self.target
    }

    fn header(&self, header: H) -> Option<Cow<'_, [u8]>> {
        let headers = self.headers.get_or_init(|| self.request.headers());
        let lines = headers.get(header.name());
        header.value(lines.into_iter().map(Cow::Owned))
    }

    fn scheme(&self) -> Scheme {
        match self.request.scheme() {
            Some(WasiScheme::Https) => Scheme::Https,
            _ => Scheme::Http,
        }
    }

    fn authority(&self) -> Option<Cow<'_, str>> {
        self.request.authority().map(Cow::Owned)
    }

    fn body(&self) -> Result<Cow<'_, [u8]>, IncompleteBody> {
        let incoming = self.request.consume().map_err(|()| IncompleteBody)?;
        let stream = incoming.stream().map_err(|()| IncompleteBody)?;
        let mut body = Vec::new();
        loop {
            match stream.blocking_read(READ_BYTES) {
                Ok(part) if body.is_empty() => body = part,
                Ok(part) => body.extend_from_slice(&part),
                Err(StreamError::Closed) => return Ok(Cow::Owned(body)),
                Err(StreamError::LastOperationFailed(_)) => return Err(IncompleteBody),
            }
        }
    }
}

fn send(response: &Response, out: ResponseOutparam) {
    let length = response.has_length().then_some(response.body.len());
    let Some(body) = begin(response, length, out) else {
        return;
    };
    // From here on a failure means that the client has disconnected, which the host knows.
    if write_body(&body, &response.body).is_ok() {
        OutgoingBody::finish(body, None).ok();
    }
}

/// Sends a body as fast as the client reads it. If the body cannot be read to its end, it is
/// dropped unfinished, so that the host aborts the response.
fn send_streamed(streamed: &impl Streamed, is_head: bool, out: ResponseOutparam) {
    let mut chunks = match streamed.open(&Import) {
        Ok(chunks) => chunks,
        Err(response) => return send(&response, out),
    };
    let Some(body) = begin(&chunks.head(), None, out) else {
        return;
    };
    if !is_head {
        let Ok(stream) = body.write() else { return };
        loop {
            match chunks.read() {
                Ok(Some(chunk)) if write(&stream, &chunk).is_ok() => {}
                Ok(None) => break,
                // The database failed, or the client has disconnected.
                Err(_) | Ok(Some(_)) => return,
            }
        }
    }
    // Releases the database connection before the client can see the end of the body.
    drop(chunks);
    OutgoingBody::finish(body, None).ok();
}

/// Sends the head of a response and returns its body, or `None` if the host refuses the response.
fn begin(
    response: &Response,
    length: Option<usize>,
    out: ResponseOutparam,
) -> Option<OutgoingBody> {
    let mut headers = Vec::with_capacity(response.headers.len() + 2);
    let mut header =
        |name: &str, value: &str| headers.push((name.to_owned(), value.as_bytes().to_owned()));
    if let Some(content_type) = response.content_type {
        header("content-type", content_type);
    }
    if let Some(length) = length {
        header("content-length", &length.to_string());
    }
    for (name, value) in &response.headers {
        header(name, value);
    }
    // A host that forbids one of the service's headers gets no response, and reports that itself.
    let fields = Fields::from_list(&headers).ok()?;
    let outgoing = OutgoingResponse::new(fields);
    // 200 is the initial status. The host refuses only numbers that are not status codes.
    if response.status != 200 && outgoing.set_status_code(response.status).is_err() {
        return None;
    }
    let body = outgoing.body().ok()?;
    ResponseOutparam::set(out, Ok(outgoing));
    Some(body)
}

/// Writes a complete body.
fn write_body(body: &OutgoingBody, bytes: &[u8]) -> Result<(), StreamError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let stream = body.write().map_err(|()| StreamError::Closed)?;
    write(&stream, bytes)
}

/// Writes as fast as the client reads.
fn write(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let permitted = stream.check_write()?;
        if permitted == 0 {
            stream.blocking_flush()?;
            continue;
        }
        let (now, later) = bytes.split_at(
            bytes
                .len()
                .min(usize::try_from(permitted).unwrap_or(usize::MAX)),
        );
        stream.write(now)?;
        bytes = later;
    }
    Ok(())
}
