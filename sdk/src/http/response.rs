//! A complete response.

use std::borrow::Cow;

/// The media type of JSON.
pub const JSON: &str = "application/json";

/// A response. `Content-Length` is added when it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The content type. `None` for a response without a body (204, 304, 307).
    pub content_type: Option<&'static str>,
    /// All other headers.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body.
    pub body: Cow<'static, [u8]>,
}

impl Response {
    /// A response of JSON that is text already.
    #[must_use]
    pub fn json_text(status: u16, body: impl Into<Cow<'static, [u8]>>) -> Self {
        Self {
            status,
            content_type: Some(JSON),
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// A response without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            content_type: None,
            headers: Vec::new(),
            body: Cow::Borrowed(&[]),
        }
    }

    /// The same with one more header, whose name is in lower case.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Whether it has a `Content-Length`: 204 and 304 must not have one (RFC 9110, 8.6).
    #[must_use]
    pub fn has_length(&self) -> bool {
        !matches!(self.status, 204 | 304)
    }
}
