//! A request that was received in one piece.

use std::borrow::Cow;

use super::headers::RequestHeaders;
use super::request::{IncompleteBody, Method, Request, Scheme};

/// A request that was received in one piece, as `usher:service/buffered-handler` passes it.
#[derive(Clone, Debug)]
pub struct BufferedRequest {
    /// The method.
    pub method: Method,
    /// The scheme by which the client reached the server.
    pub scheme: Scheme,
    /// The `Host` header or its equivalent. Absent in HTTP/1.0.
    pub authority: Option<String>,
    /// The request target in origin form.
    pub target: String,
    /// The field lines of the headers in [`RequestHeaders::ALL`], and possibly of others. Names are
    /// in lower case.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl BufferedRequest {
    /// A request over HTTP without authority, headers and body.
    #[must_use]
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Self {
            method,
            scheme: Scheme::Http,
            authority: None,
            target: target.into(),
            fields: Vec::new(),
            body: Vec::new(),
        }
    }

    /// The same with one more header, whose name is in lower case.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }
}

impl<H: RequestHeaders> Request<H> for BufferedRequest {
    fn method(&self) -> Method {
        self.method
    }

    fn target(&self) -> &str {
        &self.target
    }

    fn header(&self, header: H) -> Option<Cow<'_, [u8]>> {
        if self.fields.is_empty() {
            return None;
        }
        let name = header.name();
        let lines = self.fields.iter().filter(|(field, _)| field == name);
        header.value(lines.map(|(_, line)| Cow::Borrowed(line.as_slice())))
    }

    fn scheme(&self) -> Scheme {
        self.scheme
    }

    fn authority(&self) -> Option<Cow<'_, str>> {
        self.authority.as_deref().map(Cow::Borrowed)
    }

    fn body(&self) -> Result<Cow<'_, [u8]>, IncompleteBody> {
        Ok(Cow::Borrowed(&self.body))
    }
}
