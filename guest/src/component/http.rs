//! Requests come in and answers go out.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::Component;
use super::bindings::exports::wasi::http::incoming_handler::Guest;
use super::bindings::wasi::http::types::{
    Fields, IncomingRequest, Method as WasiMethod, OutgoingBody, OutgoingResponse,
    ResponseOutparam, Scheme,
};
use super::bindings::wasi::io::streams::{OutputStream, StreamError};
use super::database::Import;
use crate::Answer;
use crate::http::{BODY_LIMIT, BodyError, Method, Request, Response};
use crate::lines::Lines;

impl Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let request = Incoming::new(request);
        let answer = crate::handle(&request, &Import);
        let is_head = request.method == Method::Head;
        drop(request);
        match answer {
            Answer::Whole(response) => send(&response, out),
            Answer::Lines(lines) => send_lines(&lines, is_head, out),
        }
    }
}

/// A request whose parts are fetched from the host when they are asked for.
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
        // Without a path it is the root that is meant (RFC 9110, 4.2.3), as in `OPTIONS *`.
        let target = request.path_with_query().unwrap_or_else(|| "/".into());
        Self {
            request,
            method,
            target,
            headers: OnceCell::new(),
        }
    }
}

impl Request for Incoming {
    fn method(&self) -> Method {
        self.method
    }

    fn target(&self) -> &str {
        &self.target
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        let headers = self.headers.get_or_init(|| self.request.headers());
        let mut lines = headers.get(name).into_iter();
        let mut whole = lines.next()?;
        for line in lines {
            whole.extend_from_slice(b", ");
            whole.extend_from_slice(&line);
        }
        Some(whole)
    }

    fn scheme(&self) -> &'static str {
        match self.request.scheme() {
            Some(Scheme::Https) => "https",
            _ => "http",
        }
    }

    fn authority(&self) -> Option<String> {
        self.request.authority()
    }

    fn body(&self) -> Result<Cow<'_, [u8]>, BodyError> {
        let body = self.request.consume().map_err(|()| BodyError::Broken)?;
        let stream = body.stream().map_err(|()| BodyError::Broken)?;
        let mut whole = Vec::new();
        loop {
            // One byte more than may be there tells a body at the limit from one over it.
            let room = (BODY_LIMIT + 1).saturating_sub(whole.len());
            match stream.blocking_read(room as u64) {
                Ok(part) if whole.is_empty() => whole = part,
                Ok(part) => whole.extend_from_slice(&part),
                Err(StreamError::Closed) => return Ok(Cow::Owned(whole)),
                Err(StreamError::LastOperationFailed(_)) => return Err(BodyError::Broken),
            }
            if whole.len() > BODY_LIMIT {
                return Err(BodyError::TooLarge);
            }
        }
    }
}

fn send(response: &Response, out: ResponseOutparam) {
    let length = response.has_length().then_some(response.body.len());
    let Some(body) = begin(response, length, out) else {
        return;
    };
    // A client that has left needs no answer: whatever fails from here on is its doing, and the host knows.
    if write_whole(&body, &response.body).is_ok() {
        OutgoingBody::finish(body, None).ok();
    }
}

/// Sends lines as the client takes them. Where the list cannot be read to its end, the body is let go of unfinished, so that the host
/// cuts it off.
fn send_lines(lines: &Lines, is_head: bool, out: ResponseOutparam) {
    let mut lines = match lines.open(&Import) {
        Ok(lines) => lines,
        Err(response) => return send(&response, out),
    };
    let Some(body) = begin(&lines.head(), None, out) else {
        return;
    };
    if !is_head {
        let Ok(stream) = body.write() else { return };
        loop {
            match lines.read() {
                Ok(Some(helping)) if write(&stream, &helping).is_ok() => {}
                Ok(None) => break,
                // The database failed, or the client has left.
                Err(_) | Ok(Some(_)) => return,
            }
        }
    }
    // The connection is free again before the client can know that the list is at its end.
    drop(lines);
    OutgoingBody::finish(body, None).ok();
}

/// Sends the head of a response, and gives the body to be written; nothing where the host will have none of it.
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
    // Every header is this service's own; a host that forbids one gets no answer out of it, and says so itself.
    let fields = Fields::from_list(&headers).ok()?;
    let outgoing = OutgoingResponse::new(fields);
    // 200 is what a response has from the beginning. Others are refused only where they are no status codes.
    if response.status != 200 && outgoing.set_status_code(response.status).is_err() {
        return None;
    }
    let body = outgoing.body().ok()?;
    ResponseOutparam::set(out, Ok(outgoing));
    Some(body)
}

/// Writes to a body that is complete with this.
fn write_whole(body: &OutgoingBody, bytes: &[u8]) -> Result<(), StreamError> {
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
