//! Routes with functions for handlers.

use super::db::Db;
use super::ndjson::Ndjson;
use super::problem::Problem;
use super::request::Request;
use crate::http::{Header, Method, RequestHeaders, Response};
use crate::routing::Route;

/// What answers the requests of a route.
#[derive(Clone, Copy, Debug)]
pub enum Handler<H: RequestHeaders = Header> {
    /// Returns a complete response.
    Respond(Respond<H>),
    /// Returns a list that is sent while it is read.
    Stream(Stream<H>),
}

type Respond<H> = fn(&Request<'_, H>, &Db<'_>) -> Result<Response, Problem>;
type Stream<H> = fn(&Request<'_, H>) -> Result<Ndjson, Problem>;

/// A route table. Of two routes that match, the first one is taken.
pub type Routes<H = Header> = &'static [Route<Handler<H>>];

impl<H: RequestHeaders> Route<Handler<H>> {
    /// A route of `GET`, and so of `HEAD`.
    #[must_use]
    pub const fn get(template: &'static str, handler: Respond<H>) -> Self {
        Self(Method::Get, template, Handler::Respond(handler))
    }

    /// A route of `POST`.
    #[must_use]
    pub const fn post(template: &'static str, handler: Respond<H>) -> Self {
        Self(Method::Post, template, Handler::Respond(handler))
    }

    /// A route of `PUT`.
    #[must_use]
    pub const fn put(template: &'static str, handler: Respond<H>) -> Self {
        Self(Method::Put, template, Handler::Respond(handler))
    }

    /// A route of `PATCH`.
    #[must_use]
    pub const fn patch(template: &'static str, handler: Respond<H>) -> Self {
        Self(Method::Patch, template, Handler::Respond(handler))
    }

    /// A route of `DELETE`.
    #[must_use]
    pub const fn delete(template: &'static str, handler: Respond<H>) -> Self {
        Self(Method::Delete, template, Handler::Respond(handler))
    }

    /// A route of `GET` whose response is a list of any length as NDJSON. Its handler has no
    /// database: the list's statement runs when the response is sent.
    #[must_use]
    pub const fn stream(template: &'static str, handler: Stream<H>) -> Self {
        Self(Method::Get, template, Handler::Stream(handler))
    }
}
