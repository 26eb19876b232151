//! The response that a guest builds, and the slot in which it leaves it for the connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use wasmtime::component::Resource;

use super::bindings::wasi::http::types::{self, ErrorCode};
use super::body::{OutgoingBody, Pipe};
use super::fields::Fields;
use super::head;
use super::view::View;

/// A response that the guest is building.
#[derive(Debug)]
pub struct OutgoingResponse {
    status: StatusCode,
    fields: Fields,
    body: Option<Pipe>,
}

/// The response that a guest has set.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The length that `Content-Length` declares.
    pub content_length: Option<u64>,
    /// The source of the body.
    pub source: BodySource,
}

/// The source of a body.
#[derive(Debug)]
pub enum BodySource {
    /// The body is complete.
    Buffered(Bytes),
    /// The guest may still write it.
    Pipe(Pipe),
}

/// A guest's response, or the error that it set instead.
pub type ResponseResult = Result<Response, ErrorCode>;

/// Holds a guest's response for the connection. Both run on one task, so no waker is needed.
#[derive(Clone, Debug, Default)]
pub struct Slot(Arc<Mutex<Option<ResponseResult>>>);

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Option<ResponseResult>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the response.
    pub fn put(&self, response: ResponseResult) {
        *self.lock() = Some(response);
    }

    /// Takes the response, if there is one.
    pub fn take(&self) -> Option<ResponseResult> {
        self.lock().take()
    }
}

/// The guest's right to set the response once.
#[derive(Debug)]
pub struct ResponseOutparam(pub(crate) Slot);

impl types::HostResponseOutparam for View<'_> {
    fn set(
        &mut self,
        this: Resource<ResponseOutparam>,
        response: Result<Resource<OutgoingResponse>, ErrorCode>,
    ) -> wasmtime::Result<()> {
        let result = match response {
            Ok(response) => {
                let response = self.table.delete(response)?;
                let empty = || BodySource::Buffered(Bytes::new());
                Ok(Response {
                    status: response.status,
                    // `append` accepts only a number.
                    content_length: response.fields.content_length().ok().flatten(),
                    headers: response.fields.into_map(),
                    source: response.body.map_or_else(empty, BodySource::Pipe),
                })
            }
            Err(code) => Err(code),
        };
        let ResponseOutparam(slot) = self.table.delete(this)?;
        slot.put(result);
        Ok(())
    }

    fn send_informational(
        &mut self,
        _this: Resource<ResponseOutparam>,
        _status: u16,
        _headers: Resource<Fields>,
    ) -> wasmtime::Result<Result<(), ErrorCode>> {
        // hyper cannot send these 1xx responses. They are advisory, so a guest can do without.
        Ok(Err(ErrorCode::HttpProtocolError))
    }

    fn drop(&mut self, this: Resource<ResponseOutparam>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl types::HostOutgoingResponse for View<'_> {
    fn new(&mut self, headers: Resource<Fields>) -> wasmtime::Result<Resource<OutgoingResponse>> {
        let fields = self.table.delete(headers)?.freeze();
        Ok(self.table.push(OutgoingResponse {
            status: StatusCode::OK,
            fields,
            body: None,
        })?)
    }

    fn status_code(&mut self, this: Resource<OutgoingResponse>) -> wasmtime::Result<u16> {
        Ok(self.table.get(&this)?.status.as_u16())
    }

    fn set_status_code(
        &mut self,
        this: Resource<OutgoingResponse>,
        status: u16,
    ) -> wasmtime::Result<Result<(), ()>> {
        let response = self.table.get_mut(&this)?;
        Ok(head::status(status)
            .map(|status| response.status = status)
            .map_err(drop))
    }

    fn headers(&mut self, this: Resource<OutgoingResponse>) -> wasmtime::Result<Resource<Fields>> {
        let fields = self.table.get(&this)?.fields.clone();
        Ok(self.table.push(fields)?)
    }

    fn body(
        &mut self,
        this: Resource<OutgoingResponse>,
    ) -> wasmtime::Result<Result<Resource<OutgoingBody>, ()>> {
        let response = self.table.get_mut(&this)?;
        if response.body.is_some() {
            return Ok(Err(()));
        }
        let Ok(length) = response.fields.content_length() else {
            return Ok(Err(()));
        };
        let pipe = Pipe::new(length, self.memory.charge());
        response.body = Some(pipe.clone());
        Ok(Ok(self.table.push(OutgoingBody::new(pipe))?))
    }

    fn drop(&mut self, this: Resource<OutgoingResponse>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
