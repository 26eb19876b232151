//! The response a guest makes, and where it hands it in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use wasmtime::component::Resource;

use super::bindings::wasi::http::types::{self, ErrorCode};
use super::body::{OutgoingBody, Pipe};
use super::fields::Fields;
use super::head;
use super::view::View;

/// A response in the making.
#[derive(Debug)]
pub struct OutgoingResponse {
    status: StatusCode,
    fields: Fields,
    body: Option<Pipe>,
}

/// What a guest handed in.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// What `Content-Length` promises.
    pub promised: Option<u64>,
    /// Where the body comes from.
    pub source: Source,
}

/// Where a body comes from.
#[derive(Debug)]
pub enum Source {
    /// It is here.
    Whole(Bytes),
    /// The guest writes it.
    Pipe(Pipe),
}

/// A guest's response, or why there is none.
pub type Answer = Result<Response, ErrorCode>;

/// Where a guest's answer is left for the connection. Guest and connection share a task, so nobody needs to be woken.
#[derive(Clone, Debug, Default)]
pub struct Slot(Arc<Mutex<Option<Answer>>>);

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Option<Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the answer.
    pub fn put(&self, answer: Answer) {
        *self.lock() = Some(answer);
    }

    /// The answer, if there is one by now.
    pub fn take(&self) -> Option<Answer> {
        self.lock().take()
    }
}

/// The guest's right to answer, once.
#[derive(Debug)]
pub struct ResponseOutparam(pub(crate) Slot);

impl types::HostResponseOutparam for View<'_> {
    fn set(
        &mut self,
        this: Resource<ResponseOutparam>,
        response: Result<Resource<OutgoingResponse>, ErrorCode>,
    ) -> wasmtime::Result<()> {
        let answer = match response {
            Ok(response) => {
                let response = self.table.delete(response)?;
                let nothing = || Source::Whole(Bytes::new());
                Ok(Response {
                    status: response.status,
                    // What was let in is a number.
                    promised: response.fields.content_length().ok().flatten(),
                    headers: response.fields.into_map(),
                    source: response.body.map_or_else(nothing, Source::Pipe),
                })
            }
            Err(code) => Err(code),
        };
        let ResponseOutparam(slot) = self.table.delete(this)?;
        slot.put(answer);
        Ok(())
    }

    fn send_informational(
        &mut self,
        _this: Resource<ResponseOutparam>,
        _status: u16,
        _headers: Resource<Fields>,
    ) -> wasmtime::Result<Result<(), ErrorCode>> {
        // The server underneath cannot send 1xx responses; they are advice, and a guest must do without.
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
