//! A service made of function handlers.

use super::db::Db;
use super::handler::{Handler, Routes};
use super::ndjson::Ndjson;
use super::path;
use super::problem::Problem;
use super::request::Request;
use crate::answer::Answer;
use crate::database::Database;
use crate::declared::Declared;
use crate::http::{self, RequestHeaders};
use crate::migrations::{Migrations, NoAdoption};
use crate::routing::{self, Found, Route};
use crate::service::Service;

/// A service made of function handlers, each for a route.
pub trait Routed: Sized + 'static {
    /// The request headers that handlers read: [`Header`](http::Header), or an enum of one's own by
    /// [`request_headers!`](crate::request_headers).
    type Header: RequestHeaders;

    /// Its routes.
    const ROUTES: Routes<Self::Header>;
    /// Every statement that handlers run.
    const STATEMENTS: &'static [Declared];
    /// Its migrations, by [`migrations!`](crate::migrations!).
    const MIGRATIONS: Migrations;
}

impl<R: Routed> Service for R {
    type Header = R::Header;
    type Operation = Handler<R::Header>;
    type Streamed = Ndjson;
    type Adoption = NoAdoption;

    const ROUTES: &'static [Route<Handler<R::Header>>] = R::ROUTES;
    const STATEMENTS: &'static [Declared] = R::STATEMENTS;
    const MIGRATIONS: Migrations = R::MIGRATIONS;

    fn handle(request: &impl http::Request<R::Header>, database: &impl Database) -> Answer<Ndjson> {
        respond::<R>(request, &Db::new(database))
            .unwrap_or_else(|problem| Answer::Buffered(problem.into()))
    }
}

fn respond<R: Routed>(
    request: &dyn http::Request<R::Header>,
    db: &Db<'_>,
) -> Result<Answer<Ndjson>, Problem> {
    let (path, query) = match request.target().split_once('?') {
        Some((path, query)) => (path, query),
        None => (request.target(), ""),
    };
    let matched = |template| path::matches(template, path);
    match routing::find(R::ROUTES, request.method(), matched) {
        Found::Route(handler, params) => {
            let request = Request::new(request, path, query, params);
            match handler {
                Handler::Respond(respond) => respond(&request, db).map(Answer::Buffered),
                Handler::Stream(stream) => stream(&request).map(Answer::Streamed),
            }
        }
        Found::OtherMethods => {
            let has_path = |template| path::matches(template, path).is_some();
            let allow = routing::allowed_methods(R::ROUTES, has_path);
            Err(Problem::new(405).header("allow", allow))
        }
        Found::Nothing => Err(Problem::not_found("there is no such path")),
    }
}
