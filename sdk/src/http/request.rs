//! A request as the service sees it.
//!
//! Every part of a request lies on the host's side of the component boundary and costs a call to
//! fetch. So a request is a trait whose parts are fetched when a handler first needs them.

use std::borrow::Cow;

use super::headers::RequestHeaders;

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
    /// Any other, which no route has.
    Other,
}

impl Method {
    /// The method's name, as in an `Allow` header.
    #[must_use]
    pub const fn name(self) -> &'static str {
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

/// The scheme by which the client reached the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
}

impl Scheme {
    /// Its name, as in a URL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The body did not arrive completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncompleteBody;

/// A request to a service that reads these headers. Method and target are at hand; every other
/// part is fetched by its call.
pub trait Request<H: RequestHeaders> {
    /// The method.
    fn method(&self) -> Method;
    /// The request target in origin form: the path, still percent-encoded, and the query.
    fn target(&self) -> &str;
    /// The value of this header. Several field lines are joined by commas (RFC 9110, 5.3).
    fn header(&self, header: H) -> Option<Cow<'_, [u8]>>;
    /// The scheme by which the client reached the server.
    fn scheme(&self) -> Scheme;
    /// The `Host` header or its equivalent. Absent in HTTP/1.0.
    fn authority(&self) -> Option<Cow<'_, str>>;
    /// The complete body. It may be consumed: handlers call this at most once. Its size is limited
    /// by the host.
    ///
    /// # Errors
    /// If the connection broke before the body was complete.
    fn body(&self) -> Result<Cow<'_, [u8]>, IncompleteBody>;
}
