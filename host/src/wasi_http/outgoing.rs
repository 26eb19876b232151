//! Outgoing requests, which a guest can build but not send.
//!
//! The database is the only thing that a guest may reach, so `wasi:http/outgoing-handler` denies
//! every request. Components that are compiled against all of `wasi:http/types` import these
//! resources nevertheless, and those of the world `wasi:http/proxy` the handler, too.

use std::str::FromStr as _;

use http::uri::{Authority, PathAndQuery};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynPollable;

use super::bindings::wasi::http::outgoing_handler;
use super::bindings::wasi::http::types::{self, ErrorCode, Method, Scheme};
use super::body::{OutgoingBody, Pipe};
use super::fields::Fields;
use super::request::IncomingBody;
use super::view::View;
use crate::memory::{Charge, OverLimit};

/// A request that the guest is building.
#[derive(Debug)]
pub struct OutgoingRequest {
    method: Method,
    target: Option<String>,
    scheme: Option<Scheme>,
    authority: Option<String>,
    fields: Fields,
    body: Option<Pipe>,
    /// The charge for its texts.
    held: Charge,
}

impl OutgoingRequest {
    /// Charges for a text that replaces another.
    fn replace(&mut self, before: usize, after: usize) -> Result<(), OverLimit> {
        self.held.resize(self.held.bytes() - before + after)
    }
}

/// The bytes of a method that is not a standard one.
fn method_bytes(method: &Method) -> usize {
    match method {
        Method::Other(name) => name.len(),
        _ => 0,
    }
}

/// The bytes of a scheme that is not a standard one.
fn scheme_bytes(scheme: Option<&Scheme>) -> usize {
    match scheme {
        Some(Scheme::Other(name)) => name.len(),
        _ => 0,
    }
}

/// Timeouts of a request, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestOptions {
    connect: Option<u64>,
    first_byte: Option<u64>,
    between_bytes: Option<u64>,
}

/// The response to a request that was sent; uninhabited.
#[derive(Clone, Copy, Debug)]
pub enum IncomingResponse {}

/// A response that has not arrived; uninhabited.
#[derive(Clone, Copy, Debug)]
pub enum FutureIncomingResponse {}

impl outgoing_handler::Host for View<'_> {
    fn handle(
        &mut self,
        request: Resource<OutgoingRequest>,
        options: Option<Resource<RequestOptions>>,
    ) -> wasmtime::Result<Result<Resource<FutureIncomingResponse>, ErrorCode>> {
        self.table.delete(request)?;
        if let Some(options) = options {
            self.table.delete(options)?;
        }
        Ok(Err(ErrorCode::HttpRequestDenied))
    }
}

impl types::HostOutgoingRequest for View<'_> {
    fn new(&mut self, headers: Resource<Fields>) -> wasmtime::Result<Resource<OutgoingRequest>> {
        let fields = self.table.delete(headers)?.freeze();
        Ok(self.table.push(OutgoingRequest {
            method: Method::Get,
            target: None,
            scheme: None,
            authority: None,
            fields,
            body: None,
            held: self.memory.charge(),
        })?)
    }

    fn body(
        &mut self,
        this: Resource<OutgoingRequest>,
    ) -> wasmtime::Result<Result<Resource<OutgoingBody>, ()>> {
        let request = self.table.get_mut(&this)?;
        let (None, Ok(length)) = (&request.body, request.fields.content_length()) else {
            return Ok(Err(()));
        };
        let pipe = Pipe::new(length, self.memory.charge());
        request.body = Some(pipe.clone());
        Ok(Ok(self.table.push(OutgoingBody::new(pipe))?))
    }

    fn method(&mut self, this: Resource<OutgoingRequest>) -> wasmtime::Result<Method> {
        Ok(self.table.get(&this)?.method.clone())
    }

    fn set_method(
        &mut self,
        this: Resource<OutgoingRequest>,
        method: Method,
    ) -> wasmtime::Result<Result<(), ()>> {
        let request = self.table.get_mut(&this)?;
        if let Method::Other(name) = &method
            && http::Method::from_str(name).is_err()
        {
            return Ok(Err(()));
        }
        request.replace(method_bytes(&request.method), method_bytes(&method))?;
        request.method = method;
        Ok(Ok(()))
    }

    fn path_with_query(
        &mut self,
        this: Resource<OutgoingRequest>,
    ) -> wasmtime::Result<Option<String>> {
        Ok(self.table.get(&this)?.target.clone())
    }

    fn set_path_with_query(
        &mut self,
        this: Resource<OutgoingRequest>,
        target: Option<String>,
    ) -> wasmtime::Result<Result<(), ()>> {
        let request = self.table.get_mut(&this)?;
        if target
            .as_ref()
            .is_some_and(|target| PathAndQuery::from_str(target).is_err())
        {
            return Ok(Err(()));
        }
        request.replace(
            request.target.as_ref().map_or(0, String::len),
            target.as_ref().map_or(0, String::len),
        )?;
        request.target = target;
        Ok(Ok(()))
    }

    fn scheme(&mut self, this: Resource<OutgoingRequest>) -> wasmtime::Result<Option<Scheme>> {
        Ok(self.table.get(&this)?.scheme.clone())
    }

    fn set_scheme(
        &mut self,
        this: Resource<OutgoingRequest>,
        scheme: Option<Scheme>,
    ) -> wasmtime::Result<Result<(), ()>> {
        let request = self.table.get_mut(&this)?;
        if let Some(Scheme::Other(name)) = &scheme
            && http::uri::Scheme::from_str(name).is_err()
        {
            return Ok(Err(()));
        }
        request.replace(
            scheme_bytes(request.scheme.as_ref()),
            scheme_bytes(scheme.as_ref()),
        )?;
        request.scheme = scheme;
        Ok(Ok(()))
    }

    fn authority(&mut self, this: Resource<OutgoingRequest>) -> wasmtime::Result<Option<String>> {
        Ok(self.table.get(&this)?.authority.clone())
    }

    fn set_authority(
        &mut self,
        this: Resource<OutgoingRequest>,
        authority: Option<String>,
    ) -> wasmtime::Result<Result<(), ()>> {
        let request = self.table.get_mut(&this)?;
        if authority
            .as_ref()
            .is_some_and(|name| Authority::from_str(name).is_err())
        {
            return Ok(Err(()));
        }
        request.replace(
            request.authority.as_ref().map_or(0, String::len),
            authority.as_ref().map_or(0, String::len),
        )?;
        request.authority = authority;
        Ok(Ok(()))
    }

    fn headers(&mut self, this: Resource<OutgoingRequest>) -> wasmtime::Result<Resource<Fields>> {
        let fields = self.table.get(&this)?.fields.clone();
        Ok(self.table.push(fields)?)
    }

    fn drop(&mut self, this: Resource<OutgoingRequest>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl types::HostRequestOptions for View<'_> {
    fn new(&mut self) -> wasmtime::Result<Resource<RequestOptions>> {
        Ok(self.table.push(RequestOptions::default())?)
    }

    fn connect_timeout(&mut self, this: Resource<RequestOptions>) -> wasmtime::Result<Option<u64>> {
        Ok(self.table.get(&this)?.connect)
    }

    fn set_connect_timeout(
        &mut self,
        this: Resource<RequestOptions>,
        duration: Option<u64>,
    ) -> wasmtime::Result<Result<(), ()>> {
        self.table.get_mut(&this)?.connect = duration;
        Ok(Ok(()))
    }

    fn first_byte_timeout(
        &mut self,
        this: Resource<RequestOptions>,
    ) -> wasmtime::Result<Option<u64>> {
        Ok(self.table.get(&this)?.first_byte)
    }

    fn set_first_byte_timeout(
        &mut self,
        this: Resource<RequestOptions>,
        duration: Option<u64>,
    ) -> wasmtime::Result<Result<(), ()>> {
        self.table.get_mut(&this)?.first_byte = duration;
        Ok(Ok(()))
    }

    fn between_bytes_timeout(
        &mut self,
        this: Resource<RequestOptions>,
    ) -> wasmtime::Result<Option<u64>> {
        Ok(self.table.get(&this)?.between_bytes)
    }

    fn set_between_bytes_timeout(
        &mut self,
        this: Resource<RequestOptions>,
        duration: Option<u64>,
    ) -> wasmtime::Result<Result<(), ()>> {
        self.table.get_mut(&this)?.between_bytes = duration;
        Ok(Ok(()))
    }

    fn drop(&mut self, this: Resource<RequestOptions>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl types::HostIncomingResponse for View<'_> {
    fn status(&mut self, this: Resource<IncomingResponse>) -> wasmtime::Result<u16> {
        match *self.table.get(&this)? {}
    }

    fn headers(&mut self, this: Resource<IncomingResponse>) -> wasmtime::Result<Resource<Fields>> {
        match *self.table.get(&this)? {}
    }

    fn consume(
        &mut self,
        this: Resource<IncomingResponse>,
    ) -> wasmtime::Result<Result<Resource<IncomingBody>, ()>> {
        match *self.table.get(&this)? {}
    }

    fn drop(&mut self, this: Resource<IncomingResponse>) -> wasmtime::Result<()> {
        match self.table.delete(this)? {}
    }
}

type Arrived = Result<Result<Resource<IncomingResponse>, ErrorCode>, ()>;

impl types::HostFutureIncomingResponse for View<'_> {
    fn subscribe(
        &mut self,
        this: Resource<FutureIncomingResponse>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        match *self.table.get(&this)? {}
    }

    fn get(&mut self, this: Resource<FutureIncomingResponse>) -> wasmtime::Result<Option<Arrived>> {
        match *self.table.get(&this)? {}
    }

    fn drop(&mut self, this: Resource<FutureIncomingResponse>) -> wasmtime::Result<()> {
        match self.table.delete(this)? {}
    }
}
