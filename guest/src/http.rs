//! HTTP as the service sees it: a request whose parts are fetched when they are first needed, and a response.
//!
//! Every part of a request lies on the host's side of the component boundary and costs a call to fetch, so a handler that
//! can answer without the headers or the body must not pay for them.

use std::borrow::Cow;

/// A body larger than this, in bytes, is refused with 413.
pub const BODY_LIMIT: usize = 1 << 20;

/// The content type of every answer that is not a page.
pub const JSON: &str = "application/json";

/// A request method (RFC 9110, 9; RFC 5789).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
    /// Any other, which no route knows.
    Other,
}

impl Method {
    /// The method's name, as in an `Allow` header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Other => "",
        }
    }
}

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is over [`BODY_LIMIT`].
    TooLarge,
    /// The connection broke before it was complete.
    Broken,
}

/// A request. Method and target are at hand; each other part is fetched by its call, at most once in the life of a
/// request.
pub trait Request {
    /// The method.
    fn method(&self) -> Method;
    /// The request target in origin form: the path, still percent-encoded, and the query.
    fn target(&self) -> &str;
    /// The value of this header, whose name is given in lower case. Where it came in several lines, they are joined by a
    /// comma, which says the same (RFC 9110, 5.3).
    fn header(&self, name: &str) -> Option<Vec<u8>>;
    /// `http` or `https`.
    fn scheme(&self) -> &'static str;
    /// What the client called this server: the `Host` header or its like. Absent in HTTP/1.0.
    fn authority(&self) -> Option<String>;
    /// The whole body.
    ///
    /// # Errors
    /// If it is too large or incomplete.
    fn body(&self) -> Result<Cow<'_, [u8]>, BodyError>;
}

/// A response, without the length, which whoever sends it adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// What the body is; `None` where there is none by nature (204, 304, 307).
    pub content_type: Option<&'static str>,
    /// All other headers.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body.
    pub body: Cow<'static, [u8]>,
}

impl Response {
    /// A JSON answer.
    #[must_use]
    pub fn json(status: u16, body: impl Into<Cow<'static, [u8]>>) -> Self {
        Self {
            status,
            content_type: Some(JSON),
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// An answer without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            content_type: None,
            headers: Vec::new(),
            body: Cow::Borrowed(&[]),
        }
    }

    /// The same with one more header, whose name is given in lower case.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Whether a `Content-Length` belongs to it: 204 and 304 must not have one (RFC 9110, 8.6).
    #[must_use]
    pub fn has_length(&self) -> bool {
        !matches!(self.status, 204 | 304)
    }
}
