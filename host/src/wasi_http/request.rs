//! The received request.

use bytes::Bytes;
use http::{HeaderValue, Method, Uri, header, request};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, DynPollable, Pollable, pipe::MemoryInputPipe};

use super::bindings::wasi::http::types::{self, ErrorCode, Scheme};
use super::fields::Fields;
use super::forwarded;
use super::view::View;

/// A request whose body has been received.
#[derive(Debug)]
pub struct IncomingRequest {
    head: request::Parts,
    /// Taken from the head on first use.
    fields: Option<Fields>,
    /// `Host`, once the fields have been taken.
    host: Option<HeaderValue>,
    /// The scheme, once the fields have been taken.
    scheme: Option<Scheme>,
    body: Option<Bytes>,
}

impl IncomingRequest {
    /// A request to pass to a guest.
    pub fn new(request: http::Request<Bytes>) -> Self {
        let (head, body) = request.into_parts();
        Self {
            head,
            fields: None,
            host: None,
            scheme: None,
            body: Some(body),
        }
    }
}

/// The authority of a request: that of its URI, or its `Host`.
pub(crate) fn authority<'a>(uri: &'a Uri, host: Option<&'a HeaderValue>) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => host?.to_str().ok(),
    }
}

/// A body that the guest has consumed.
#[derive(Debug)]
pub struct IncomingBody {
    unread: Option<Bytes>,
}

/// The trailers of a request's body. The host passes none on, so they are ready at once and empty.
#[derive(Debug)]
pub struct FutureTrailers {
    taken: bool,
}

#[wasmtime_wasi::async_trait]
impl Pollable for FutureTrailers {
    async fn ready(&mut self) {}
}

impl types::HostIncomingRequest for View<'_> {
    fn method(&mut self, this: Resource<IncomingRequest>) -> wasmtime::Result<types::Method> {
        Ok(match self.table.get(&this)?.head.method {
            Method::GET => types::Method::Get,
            Method::HEAD => types::Method::Head,
            Method::POST => types::Method::Post,
            Method::PUT => types::Method::Put,
            Method::DELETE => types::Method::Delete,
            Method::CONNECT => types::Method::Connect,
            Method::OPTIONS => types::Method::Options,
            Method::TRACE => types::Method::Trace,
            Method::PATCH => types::Method::Patch,
            ref other => types::Method::Other(other.as_str().to_owned()),
        })
    }

    fn path_with_query(
        &mut self,
        this: Resource<IncomingRequest>,
    ) -> wasmtime::Result<Option<String>> {
        let uri = &self.table.get(&this)?.head.uri;
        Ok(uri
            .path_and_query()
            .map(|target| target.as_str().to_owned()))
    }

    fn scheme(&mut self, this: Resource<IncomingRequest>) -> wasmtime::Result<Option<Scheme>> {
        let request = self.table.get(&this)?;
        let known = request.scheme.clone();
        Ok(Some(known.unwrap_or_else(|| {
            forwarded::scheme(&request.head.headers, &request.head.extensions)
        })))
    }

    fn authority(&mut self, this: Resource<IncomingRequest>) -> wasmtime::Result<Option<String>> {
        let request = self.table.get(&this)?;
        let host = request.host.as_ref();
        let host = host.or_else(|| request.head.headers.get(header::HOST));
        Ok(authority(&request.head.uri, host).map(str::to_owned))
    }

    fn headers(&mut self, this: Resource<IncomingRequest>) -> wasmtime::Result<Resource<Fields>> {
        let request = self.table.get_mut(&this)?;
        let fields = if let Some(fields) = &request.fields {
            fields.clone()
        } else {
            let map = std::mem::take(&mut request.head.headers);
            request.host = map.get(header::HOST).cloned();
            request.scheme = Some(forwarded::scheme(&map, &request.head.extensions));
            request.fields.insert(Fields::received(map)).clone()
        };
        Ok(self.table.push(fields)?)
    }

    fn consume(
        &mut self,
        this: Resource<IncomingRequest>,
    ) -> wasmtime::Result<Result<Resource<IncomingBody>, ()>> {
        let Some(body) = self.table.get_mut(&this)?.body.take() else {
            return Ok(Err(()));
        };
        let body = IncomingBody { unread: Some(body) };
        Ok(Ok(self.table.push(body)?))
    }

    fn drop(&mut self, this: Resource<IncomingRequest>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl types::HostIncomingBody for View<'_> {
    fn stream(
        &mut self,
        this: Resource<IncomingBody>,
    ) -> wasmtime::Result<Result<Resource<DynInputStream>, ()>> {
        let Some(bytes) = self.table.get_mut(&this)?.unread.take() else {
            return Ok(Err(()));
        };
        let stream: DynInputStream = Box::new(MemoryInputPipe::new(bytes));
        Ok(Ok(self.table.push_child(stream, &this)?))
    }

    fn finish(
        &mut self,
        this: Resource<IncomingBody>,
    ) -> wasmtime::Result<Resource<FutureTrailers>> {
        self.table.delete(this)?;
        Ok(self.table.push(FutureTrailers { taken: false })?)
    }

    fn drop(&mut self, this: Resource<IncomingBody>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

type Trailers = Result<Result<Option<Resource<Fields>>, ErrorCode>, ()>;

impl types::HostFutureTrailers for View<'_> {
    fn subscribe(
        &mut self,
        this: Resource<FutureTrailers>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        wasmtime_wasi::p2::subscribe(self.table, this)
    }

    fn get(&mut self, this: Resource<FutureTrailers>) -> wasmtime::Result<Option<Trailers>> {
        let trailers = self.table.get_mut(&this)?;
        let first = !std::mem::replace(&mut trailers.taken, true);
        Ok(Some(if first { Ok(Ok(None)) } else { Err(()) }))
    }

    fn drop(&mut self, this: Resource<FutureTrailers>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
