//! The route table, dispatch, redirects and 405.

use std::borrow::Cow;

use super::accept;
use super::documents::{self, Document};
use super::error::Error;
use super::headers::RequestHeader;
use super::ndjson::Answer;
use super::users;
use crate::compat::percent;
use usher_sdk::database::Database;
use usher_sdk::http::Method::{Delete, Get, Head, Patch, Post, Put};
use usher_sdk::http::{JSON, Request, Response};
use usher_sdk::routing::{self, Found, Route};

/// All routes. `GET` includes `HEAD`. Of two routes that match a request the first one is taken.
pub const ROUTES: &[Route<Operation>] = &[
    Route(Post, "/users/", Operation::CreateUser),
    Route(Get, "/users/{user_id}", Operation::GetUser),
    Route(Put, "/users/{user_id}", Operation::ReplaceUser),
    Route(Patch, "/users/{user_id}", Operation::ChangeUser),
    Route(Delete, "/users/{user_id}", Operation::DeleteUser),
    Route(Get, "/users/", Operation::ListUsers),
    Route(Get, "/openapi.json", Operation::Read(Document::OpenApi)),
    Route(Get, "/docs", Operation::Read(Document::SwaggerUi)),
    Route(
        Get,
        "/docs/swagger-ui.css",
        Operation::Read(Document::SwaggerUiStyle),
    ),
    Route(
        Get,
        "/docs/swagger-ui-bundle.js",
        Operation::Read(Document::SwaggerUiScript),
    ),
    Route(
        Get,
        "/docs/init.js",
        Operation::Read(Document::SwaggerUiStart),
    ),
    Route(
        Get,
        "/docs/oauth2-redirect",
        Operation::Read(Document::OAuth2Redirect),
    ),
    Route(
        Get,
        "/docs/oauth2-redirect.js",
        Operation::Read(Document::OAuth2RedirectScript),
    ),
    Route(Get, "/redoc", Operation::Read(Document::ReDoc)),
    Route(
        Get,
        "/redoc/redoc.standalone.js",
        Operation::Read(Document::ReDocScript),
    ),
    Route(Get, "/users.ndjson", Operation::StreamUsers),
];

/// The operation of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Stores a new user.
    CreateUser,
    /// Returns one user.
    GetUser,
    /// Replaces name and email of one user.
    ReplaceUser,
    /// Changes name or email of one user.
    ChangeUser,
    /// Deletes one user.
    DeleteUser,
    /// Returns a page of users, or all of them as NDJSON if `Accept` prefers it.
    ListUsers,
    /// Returns all users as NDJSON.
    StreamUsers,
    /// Returns a document.
    Read(Document),
}

/// Answers a request.
pub fn handle(request: &impl Request<RequestHeader>, database: &impl Database) -> Answer {
    respond(request, database).unwrap_or_else(|error| Answer::Buffered(error.into()))
}

fn respond(
    request: &impl Request<RequestHeader>,
    database: &impl Database,
) -> Result<Answer, Error> {
    let (raw_path, query) = match request.target().split_once('?') {
        Some((path, query)) => (path, query),
        None => (request.target(), ""),
    };
    let path = percent::decode(raw_path);
    match routing::find(ROUTES, request.method(), |template| {
        match_path(template, &path)
    }) {
        Found::Route(Operation::Read(Document::SwaggerUi), _) if path.ends_with('\n') => {
            documents::read(Document::FastApiDocs, request).map(Answer::from)
        }
        Found::Route(&operation, user_id) => run(operation, request, database, user_id, query),
        Found::OtherMethods => {
            let matches = |template: &str| match_path(template, &path).is_some();
            let allow = routing::allowed_methods(ROUTES, matches);
            Err(Error::MethodNotAllowed(allow))
        }
        Found::Nothing => redirect(request, raw_path, &path, query)
            .map(Answer::from)
            .ok_or(Error::NoRoute),
    }
}

fn run(
    operation: Operation,
    request: &impl Request<RequestHeader>,
    database: &impl Database,
    user_id: &str,
    query: &str,
) -> Result<Answer, Error> {
    let response = match operation {
        Operation::GetUser => users::get(request, database, user_id),
        Operation::CreateUser => users::create(request, database),
        Operation::ReplaceUser => users::replace(request, database, user_id),
        Operation::ChangeUser => users::change(request, database, user_id),
        Operation::DeleteUser => users::delete(request, database, user_id),
        Operation::ListUsers => return users::list(request, database, query),
        Operation::StreamUsers => return users::stream(request, query),
        Operation::Read(document) => documents::read(document, request),
    };
    response.map(Answer::Buffered)
}

/// Returns the text in place of `{user_id}` if a path matches a template.
fn match_path<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    match template.strip_suffix("{user_id}") {
        Some(prefix) => path
            .strip_prefix(prefix)
            .filter(|id| !id.is_empty() && !id.contains('/')),
        // FastAPI matches paths with a regular expression, whose `$` also matches before a final
        // line feed.
        None => match path.strip_prefix(template) {
            Some("" | "\n") => Some(""),
            _ => None,
        },
    }
}

/// Redirects to the path with or without the final slash, if that path has a route. A browser is
/// redirected from `/` to the documentation.
fn redirect(
    request: &impl Request<RequestHeader>,
    raw_path: &str,
    path: &str,
    query: &str,
) -> Option<Response> {
    if path == "/" {
        return browser_redirect(request);
    }
    let trimmed = path.trim_end_matches('/');
    let slashes = path.len() - trimmed.len();
    let target: Cow<'_, str> = if slashes == 0 {
        Cow::Owned(format!("{path}/"))
    } else {
        Cow::Borrowed(trimmed)
    };
    if !ROUTES
        .iter()
        .any(|Route(_, template, _)| match_path(template, &target).is_some())
    {
        return None;
    }
    // To a client an encoded slash separates no segments.
    let has_encoded_slash = raw_path.matches('/').count() != path.matches('/').count();
    if is_forwarded(request) && !has_encoded_slash {
        return Some(redirection(&relative_reference(trimmed, slashes), query));
    }
    let mut url = String::new();
    if let Some(authority) = request.authority() {
        url.push_str(request.scheme().name());
        url.push_str("://");
        url.push_str(&authority);
    }
    url.push_str(&target);
    Some(redirection(&url, query))
}

/// A redirect to a decoded URL without query.
fn redirection(url: &str, query: &str) -> Response {
    // Decoded, these three would end the path.
    let mut url = url
        .replace('?', "%3F")
        .replace('#', "%23")
        .replace('\\', "%5C");
    if !query.is_empty() {
        url.push('?');
        url.push_str(query);
    }
    let mut location = String::with_capacity(url.len());
    percent::encode_url(&url, &mut location);
    Response::empty(307).with("location", location)
}

/// Redirects a browser to the documentation. Others get 404, as from the FastAPI service.
fn browser_redirect(request: &impl Request<RequestHeader>) -> Option<Response> {
    let is_read = matches!(request.method(), Get | Head);
    let accepts_html = |header: Cow<'_, [u8]>| accept::prefers(&header, "text/html", JSON);
    let is_browser = is_read
        && request
            .header(RequestHeader::AcceptHtml)
            .is_some_and(accepts_html);
    is_browser.then(|| {
        Response::empty(307)
            .with("location", "docs")
            .with("vary", "accept")
    })
}

/// Whether a trusted proxy has forwarded the request. Others' headers of these names are removed by
/// the host.
fn is_forwarded(request: &impl Request<RequestHeader>) -> bool {
    [
        RequestHeader::Forwarded,
        RequestHeader::ForwardedHost,
        RequestHeader::ForwardedPrefix,
        RequestHeader::ForwardedProto,
    ]
    .into_iter()
    .any(|header| request.header(header).is_some())
}

/// The path without this many final slashes, or with one if it has none, relative to the path
/// itself: right under whatever scheme, host and prefix the client knows it.
fn relative_reference(trimmed: &str, slashes: usize) -> String {
    let last = trimmed.rsplit('/').next().unwrap_or_default();
    if slashes == 0 {
        format!("./{last}/")
    } else {
        format!("{}{last}", "../".repeat(slashes))
    }
}
