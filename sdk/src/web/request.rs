//! A request as a handler has it.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use serde::de::DeserializeOwned;

use super::json;
use super::path::{self, Params};
use super::problem::{Place, Problem};
use crate::http::{self, Header, Method, RequestHeaders};

/// A request, with the parameters of its path and query.
pub struct Request<'r, H: RequestHeaders = Header> {
    parts: &'r dyn http::Request<H>,
    path: &'r str,
    query: &'r str,
    params: Params<'r>,
}

impl<H: RequestHeaders> std::fmt::Debug for Request<'_, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method())
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl<'r, H: RequestHeaders> Request<'r, H> {
    pub(super) fn new(
        parts: &'r dyn http::Request<H>,
        path: &'r str,
        query: &'r str,
        params: Params<'r>,
    ) -> Self {
        Self {
            parts,
            path,
            query,
            params,
        }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> Method {
        self.parts.method()
    }

    /// The path, still percent-encoded.
    #[must_use]
    pub fn path(&self) -> &'r str {
        self.path
    }

    /// The value of a header, with U+FFFD in place of what is not UTF-8. Several field lines are
    /// joined by commas.
    #[must_use]
    pub fn header(&self, header: H) -> Option<String> {
        let value = self.parts.header(header)?;
        Some(String::from_utf8_lossy(&value).into_owned())
    }

    /// The parameter `{name}` of the path.
    ///
    /// # Errors
    /// 422 when it is no `T`; 500 when the route has no such parameter.
    pub fn param<T: FromStr<Err: Display>>(&self, name: &'static str) -> Result<T, Problem> {
        let found = self.params.iter().find(|(known, _)| *known == name);
        match found {
            Some((_, text)) => parse(name, text),
            None => Err(Problem::new(500).detail(format!("the route has no parameter {name}"))),
        }
    }

    /// The parameter of this name in the query, if there is one. Of several the last one is taken.
    ///
    /// # Errors
    /// 422 when it is no `T`.
    pub fn query<T: FromStr<Err: Display>>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, Problem> {
        let text = path::query_value(self.query, name);
        text.map(|text| parse(name, &text)).transpose()
    }

    /// The body, read as JSON.
    ///
    /// # Errors
    /// 400 when the body is not JSON, 415 when its media type says so, 422 with the field that is
    /// wrong when it is no `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let content_type = H::ALL
            .iter()
            .find(|header| header.name() == "content-type")
            .and_then(|header| self.parts.header(*header));
        json::parse(&self.body()?, content_type.as_deref())
    }

    /// The body as it is. Handlers call this or [`json`](Self::json) once.
    ///
    /// # Errors
    /// 400 when the connection broke before the body was complete.
    pub fn body(&self) -> Result<Cow<'r, [u8]>, Problem> {
        let incomplete = |_| Problem::new(400).detail("the body is incomplete");
        self.parts.body().map_err(incomplete)
    }
}

fn parse<T: FromStr<Err: Display>>(name: &'static str, text: &str) -> Result<T, Problem> {
    text.parse::<T>().map_err(|error| {
        let place = Place::Parameter(name.into());
        Problem::new(422).fault(place, error.to_string())
    })
}
