//! Requests and responses as the service sees them.
//!
//! Every part of a request lies on the host's side of the component boundary and costs a call to
//! fetch. So a request is a trait whose parts are fetched when a handler first needs them.

use std::borrow::Cow;

/// The content type of every response that is not a page.
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

/// Defines [`RequestHeader`] together with the list of all of its variants.
macro_rules! request_headers {
    ($($(#[$about:meta])* $variant:ident = $name:literal $(if it contains $text:literal)?;)+) => {
        /// The request headers that the service reads.
        ///
        /// A host passes a buffered request with these headers only, since each costs a copy. A
        /// handler names a header by this type, so it cannot read one that was not passed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum RequestHeader {
            $($(#[$about])* $variant,)+
        }

        impl RequestHeader {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name, in lower case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The text, in any case, without which a value is treated as absent.
            #[must_use]
            pub const fn required_text(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => {
                        let text: &[&str] = &[$($text)?];
                        text.first().copied()
                    })+
                }
            }
        }
    };
}

request_headers! {
    /// `Accept`, if it mentions NDJSON. Nearly every request has one, and hardly any mentions it.
    AcceptNdjson = "accept" if it contains "ndjson";
    /// `Accept`, if it mentions HTML, as that of browsers does.
    AcceptHtml = "accept" if it contains "text/html";
    /// `Accept-Encoding`.
    AcceptEncoding = "accept-encoding";
    /// `Content-Type`.
    ContentType = "content-type";
    /// `Forwarded` (RFC 7239).
    Forwarded = "forwarded";
    /// `X-Forwarded-Host`, as many proxies send it.
    ForwardedHost = "x-forwarded-host";
    /// `X-Forwarded-Prefix`.
    ForwardedPrefix = "x-forwarded-prefix";
    /// `X-Forwarded-Proto`.
    ForwardedProto = "x-forwarded-proto";
    /// `If-Match`.
    IfMatch = "if-match";
    /// `If-None-Match`.
    IfNoneMatch = "if-none-match";
}

impl RequestHeader {
    /// The value of this header in a request with these field lines: joined by commas (RFC 9110,
    /// 5.3), and absent without its [required text](Self::required_text).
    pub fn value<'a>(
        self,
        mut lines: impl Iterator<Item = Cow<'a, [u8]>>,
    ) -> Option<Cow<'a, [u8]>> {
        let mut value = lines.next()?;
        for line in lines {
            let joined = value.to_mut();
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(&line);
        }
        let is_relevant = |text: &str| {
            value
                .windows(text.len())
                .any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
        };
        self.required_text()
            .is_none_or(is_relevant)
            .then_some(value)
    }
}

/// The body did not arrive completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncompleteBody;

/// A request. Method and target are at hand; every other part is fetched by its call.
pub trait Request {
    /// The method.
    fn method(&self) -> Method;
    /// The request target in origin form: the path, still percent-encoded, and the query.
    fn target(&self) -> &str;
    /// The value of this header. Several field lines are joined by commas (RFC 9110, 5.3).
    fn header(&self, header: RequestHeader) -> Option<Cow<'_, [u8]>>;
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
    /// A JSON response.
    #[must_use]
    pub fn json(status: u16, body: impl Into<Cow<'static, [u8]>>) -> Self {
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
