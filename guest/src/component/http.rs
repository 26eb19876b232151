//! Requests come in and answers go out.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::Component;
use super::bindings::exports::wasi::http::incoming_handler::Guest;
use super::bindings::wasi::http::types::{
    Fields, IncomingRequest, Method as WasiMethod, OutgoingBody, OutgoingResponse,
    ResponseOutparam, Scheme,
};
use super::bindings::wasi::io::streams::StreamError;
use super::database::Import;
use crate::http::{BODY_LIMIT, BodyError, Method, Request, Response};

impl Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let request = Incoming::new(request);
        let response = crate::handle(&request, &Import);
        drop(request);
        send(&response, out);
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
    let mut headers = Vec::with_capacity(response.headers.len() + 2);
    let mut header =
        |name: &str, value: &str| headers.push((name.to_owned(), value.as_bytes().to_owned()));
    if let Some(content_type) = response.content_type {
        header("content-type", content_type);
    }
    if response.has_length() {
        header("content-length", &response.body.len().to_string());
    }
    for (name, value) in &response.headers {
        header(name, value);
    }
    let Ok(fields) = Fields::from_list(&headers) else {
        // Every header is this service's own; a host that forbids one gets no answer out of it, and says so itself.
        return;
    };
    let outgoing = OutgoingResponse::new(fields);
    // 200 is what a response has from the beginning. Others are refused only where they are no status codes.
    if response.status != 200 && outgoing.set_status_code(response.status).is_err() {
        return;
    }
    let Ok(body) = outgoing.body() else { return };
    ResponseOutparam::set(out, Ok(outgoing));
    // A client that has left needs no answer: whatever fails from here on is its doing, and the host knows.
    if write(&body, &response.body).is_ok() {
        OutgoingBody::finish(body, None).ok();
    }
}

fn write(body: &OutgoingBody, mut bytes: &[u8]) -> Result<(), StreamError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let stream = body.write().map_err(|()| StreamError::Closed)?;
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
