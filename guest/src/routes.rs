//! From a request to its answer.

use std::borrow::Cow;

use crate::database::Database;
use crate::documents::{self, Document};
use crate::error::Error;
use crate::http::{JSON, Method, Request, Response};
use crate::lines::{Lines, NDJSON};
use crate::users::{self, Expected, Page, User};
use crate::validation::body::Body;
use crate::validation::{Fault, Location, Problem, id, query, write_escaped, write_string};
use crate::{ROUTES, accept, percent};

/// One route: a method, a path in which `{user_id}` stands for one segment, and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Route(pub Method, pub &'static str, pub Operation);

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Stores a new user.
    CreateUser,
    /// Gives one user.
    GetUser,
    /// Replaces name and email of one user.
    ReplaceUser,
    /// Changes name or email of one user.
    ChangeUser,
    /// Deletes one user.
    DeleteUser,
    /// Gives a page of users, or line by line all of them.
    ListUsers,
    /// Gives a document.
    Read(Document),
}

/// What a request is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All of it is here.
    Whole(Response),
    /// Users line by line, for whoever sends the answer to read from the database.
    Lines(Lines),
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Whole(response)
    }
}

impl Answer {
    /// All of it at once, for whoever has room for it.
    ///
    /// # Errors
    /// Where the database fails after the first lines.
    pub fn whole(self, database: &impl Database) -> Result<Response, users::Error> {
        let lines = match self {
            Self::Whole(response) => return Ok(response),
            Self::Lines(lines) => lines,
        };
        let mut open = match lines.open(database) {
            Ok(open) => open,
            Err(response) => return Ok(response),
        };
        let mut body = Vec::new();
        while let Some(lines) = open.read()? {
            body.extend(lines);
        }
        Ok(Response {
            body: body.into(),
            ..open.head()
        })
    }
}

/// Answers a request.
pub fn handle(request: &impl Request, database: &impl Database) -> Answer {
    respond(request, database).unwrap_or_else(|error| Answer::Whole(error.into()))
}

fn respond(request: &impl Request, database: &impl Database) -> Result<Answer, Error> {
    let (raw_path, query) = match request.target().split_once('?') {
        Some((path, query)) => (path, query),
        None => (request.target(), ""),
    };
    let path = percent::decode(raw_path);
    match find(request.method(), &path) {
        Found::Route(Operation::Read(Document::SwaggerUi), _) if path.ends_with('\n') => {
            documents::give(Document::OldSwaggerUi, request).map(Answer::from)
        }
        Found::Route(operation, user_id) => run(operation, request, database, user_id, query),
        Found::OtherMethods => Err(Error::MethodNotAllowed(allowed(&path))),
        Found::Nothing => redirect(request, &path, query)
            .map(Answer::from)
            .ok_or(Error::NoRoute),
    }
}

enum Found<'p> {
    /// This route, with the text in the place of `{user_id}`.
    Route(Operation, &'p str),
    /// Routes with this path, but none with this method.
    OtherMethods,
    Nothing,
}

fn find(method: Method, path: &str) -> Found<'_> {
    let wanted = if method == Method::Head {
        Method::Get
    } else {
        method
    };
    let mut found = Found::Nothing;
    for Route(method, template, operation) in &ROUTES {
        if let Some(user_id) = fit(template, path) {
            if *method == wanted {
                return Found::Route(*operation, user_id);
            }
            found = Found::OtherMethods;
        }
    }
    found
}

/// Whether a path fits a template, and if so the text in the place of `{user_id}`.
fn fit<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    match template.strip_suffix("{user_id}") {
        Some(prefix) => path
            .strip_prefix(prefix)
            .filter(|id| !id.is_empty() && !id.contains('/')),
        // The old service matched paths with a regular expression, whose `$` lets a line feed follow.
        None => match path.strip_prefix(template) {
            Some("" | "\n") => Some(""),
            _ => None,
        },
    }
}

fn allowed(path: &str) -> String {
    let mut allow = String::new();
    for Route(method, template, _) in &ROUTES {
        if fit(template, path).is_some() {
            if !allow.is_empty() {
                allow.push_str(", ");
            }
            allow.push_str(method.name());
            if *method == Method::Get {
                allow.push_str(", HEAD");
            }
        }
    }
    allow
}

/// Sends a client to the path that has or lacks the slash at the end, if there is one.
fn redirect(request: &impl Request, path: &str, query: &str) -> Option<Response> {
    if path == "/" {
        return None;
    }
    let path: Cow<'_, str> = match path.trim_end_matches('/') {
        trimmed if trimmed.len() == path.len() => Cow::Owned(format!("{path}/")),
        trimmed => Cow::Borrowed(trimmed),
    };
    if !ROUTES
        .iter()
        .any(|Route(_, template, _)| fit(template, &path).is_some())
    {
        return None;
    }
    let mut url = String::new();
    if let Some(authority) = request.authority() {
        url.push_str(request.scheme());
        url.push_str("://");
        url.push_str(&authority);
    }
    // Decoded, these three would no longer be part of the path.
    url.push_str(
        &path
            .replace('?', "%3F")
            .replace('#', "%23")
            .replace('\\', "%5C"),
    );
    if !query.is_empty() {
        url.push('?');
        url.push_str(query);
    }
    let mut location = String::with_capacity(url.len());
    percent::encode_url(&url, &mut location);
    Some(Response::empty(307).with("location", location))
}

fn run(
    operation: Operation,
    request: &impl Request,
    database: &impl Database,
    user_id: &str,
    query: &str,
) -> Result<Answer, Error> {
    let response = match operation {
        Operation::GetUser => {
            let user = users::get(database, known(path_id(user_id)?)?)?;
            Ok(if is_known_to_client(request, &user) {
                Response::empty(304).with("etag", etag(&user))
            } else {
                one(&user)
            })
        }
        Operation::CreateUser => with_body(request, |body| {
            Ok(one(&users::create(database, &body.new_user()?)?))
        }),
        Operation::ReplaceUser => {
            // The path is looked at before the body, and both before the database.
            let id = path_id(user_id);
            with_body(request, |body| {
                let (id, user) = both(id, body.new_user())?;
                Ok(one(&users::replace(
                    database,
                    known(id)?,
                    &user,
                    &expected(request),
                )?))
            })
        }
        Operation::ChangeUser => {
            let id = path_id(user_id);
            with_body(request, |body| {
                let (id, changes) = both(id, body.changes())?;
                Ok(one(&users::change(
                    database,
                    known(id)?,
                    &changes,
                    &expected(request),
                )?))
            })
        }
        Operation::DeleteUser => {
            users::delete(database, known(path_id(user_id)?)?, &expected(request))?;
            Ok(Response::empty(204))
        }
        Operation::ListUsers => return list(request, database, query),
        Operation::Read(document) => documents::give(document, request),
    };
    response.map(Answer::Whole)
}

/// How many users a page holds where nothing is said.
const DEFAULT_LIMIT: u32 = 100;

fn list(request: &impl Request, database: &impl Database, query: &str) -> Result<Answer, Error> {
    let wanted = query::selection(query).map_err(Error::Invalid)?;
    let by_line = request
        .header("accept")
        .is_some_and(|header| accept::prefers(&header, NDJSON, JSON));
    if by_line {
        return Ok(Answer::Lines(Lines(wanted)));
    }
    let page = Page {
        limit: wanted.limit.unwrap_or(DEFAULT_LIMIT),
        after: wanted.after,
        email: wanted.email,
    };
    let found = users::list(database, &page)?;
    let mut body = String::with_capacity(room(&found.users, users::PAGE_BYTES) + 2);
    body.push('[');
    let mut last = None;
    let mut more = found.more;
    for user in &found.users {
        let end = body.len();
        if last.is_some() {
            body.push(',');
        }
        write_user(user, &mut body);
        // Escapes can make a text six times as long as it is stored.
        if body.len() > users::PAGE_BYTES && last.is_some() {
            body.truncate(end);
            more = true;
            break;
        }
        last = Some(user.id);
    }
    body.push(']');
    let response = Response::json(200, body.into_bytes()).with("vary", "accept");
    Ok(Answer::Whole(match last {
        // A page of one address is never followed by another, so the link need not repeat the filter. It names no path: a proxy may
        // serve this one under another.
        Some(last) if more => response.with(
            "link",
            format!("<?limit={}&after={last}>; rel=\"next\"", page.limit),
        ),
        _ => response,
    }))
}

fn with_body(
    request: &impl Request,
    answer: impl FnOnce(&Body<'_>) -> Result<Response, Error>,
) -> Result<Response, Error> {
    let bytes = request.body()?;
    let content_type = request.header("content-type");
    answer(&Body::new(&bytes, content_type.as_deref())?)
}

fn path_id(text: &str) -> Result<id::Integer, Fault> {
    id::parse(text).ok_or_else(|| {
        let mut input = String::new();
        write_string(text, &mut input);
        Fault {
            location: Location::Path("user_id"),
            problem: Problem::NotInteger,
            input,
        }
    })
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Invalid(vec![fault])
    }
}

/// An id that some user may have. One that no database could hold names nobody, and is not looked for.
fn known(id: id::Integer) -> Result<i64, users::Error> {
    match id {
        id::Integer::Fits(id) => Ok(id),
        id::Integer::Below | id::Integer::Above => Err(users::Error::NotFound),
    }
}

/// What path and body give, or all their faults.
fn both<T>(
    id: Result<id::Integer, Fault>,
    body: Result<T, crate::validation::body::Error>,
) -> Result<(id::Integer, T), Error> {
    match (id, body.map_err(Error::from)) {
        (Ok(id), Ok(body)) => Ok((id, body)),
        (Err(fault), Err(Error::Invalid(faults))) => Err(Error::Invalid(
            std::iter::once(fault).chain(faults).collect(),
        )),
        (Err(fault), Ok(_)) => Err(fault.into()),
        (_, Err(error)) => Err(error),
    }
}

fn one(user: &User) -> Response {
    let mut body = String::with_capacity(json_size(user));
    write_user(user, &mut body);
    Response::json(200, body.into_bytes()).with("etag", etag(user))
}

/// The room for users' JSON of at most so many bytes, or for that of the first of them.
pub(crate) fn room(users: &[User], most: usize) -> usize {
    let first = users.first().map_or(0, json_size);
    let all: usize = users.iter().map(json_size).sum();
    all.min(most.max(first))
}

/// A name from which on its JSON is measured, in bytes.
const LONG: usize = 16 << 10;

/// The room that a user's JSON takes: exactly or a little less for a long name, whose text would else grow by doubling; for others as
/// if nothing had to be escaped.
fn json_size(user: &User) -> usize {
    let name = if user.name.len() < LONG {
        user.name.len()
    } else {
        let escapes = user.name.bytes().map(|byte| match byte {
            b'"' | b'\\' => 2,
            0..0x20 => 6,
            _ => 1,
        });
        escapes.sum()
    };
    name + user.email.len() + 48
}

pub(crate) fn write_user(user: &User, out: &mut String) {
    out.push_str("{\"id\":");
    push_integer(user.id, out);
    out.push_str(",\"name\":\"");
    write_escaped(&user.name, out);
    out.push_str("\",\"email\":\"");
    write_escaped(&user.email, out);
    out.push_str("\"}");
}

/// Writes an integer, without the machinery of `format!`, which would cost as much as all the rest of a user.
fn push_integer(value: i64, out: &mut String) {
    if value < 0 {
        out.push('-');
    }
    push_digits(value.unsigned_abs(), out);
}

/// The last digit comes last; a number has at most twenty of them, and nearly always few.
fn push_digits(number: u64, out: &mut String) {
    if number >= 10 {
        push_digits(number / 10, out);
    }
    out.push(char::from(b'0' + (number % 10) as u8));
}

/// A strong validator: a user's version goes up with every change.
fn etag(user: &User) -> String {
    let mut tag = String::with_capacity(8);
    tag.push('"');
    push_integer(user.version, &mut tag);
    tag.push('"');
    tag
}

/// Whether `If-None-Match` names the version the client would get (RFC 9110, 13.1.2; the comparison is weak).
fn is_known_to_client(request: &impl Request, user: &User) -> bool {
    request
        .header("if-none-match")
        .is_some_and(|tags| match Tags::parse(&tags) {
            Tags::Any => true,
            Tags::These(tags) => tags.iter().any(|tag| tag.version == Some(user.version)),
        })
}

/// The versions `If-Match` lets a write go ahead on (RFC 9110, 13.1.1; the comparison is strong).
fn expected(request: &impl Request) -> Expected {
    let Some(tags) = request.header("if-match") else {
        return Expected::Any;
    };
    match Tags::parse(&tags) {
        Tags::Any => Expected::Any,
        Tags::These(tags) => {
            let mut versions = tags
                .iter()
                .filter(|tag| !tag.weak)
                .filter_map(|tag| tag.version);
            match (versions.next(), versions.next()) {
                (Some(only), None) => Expected::Version(only),
                (first, second) => {
                    Expected::OneOf(first.into_iter().chain(second).chain(versions).collect())
                }
            }
        }
    }
}

/// A list of entity tags (RFC 9110, 8.8.3).
enum Tags {
    Any,
    These(Vec<Tag>),
}

struct Tag {
    weak: bool,
    /// The version, where the tag is one that this service could have given.
    version: Option<i64>,
}

impl Tags {
    fn parse(header: &[u8]) -> Self {
        let header = String::from_utf8_lossy(header);
        let header = header.trim_matches([' ', '\t']);
        if header == "*" {
            return Self::Any;
        }
        // Tags of this service have neither commas nor quotes in them, and all others match nothing anyway.
        let tag = |text: &str| {
            let text = text.trim_matches([' ', '\t']);
            let (weak, quoted) = match text.strip_prefix("W/") {
                Some(quoted) => (true, quoted),
                None => (false, text),
            };
            let digits = quoted
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'));
            let version = digits
                .filter(|digits| !digits.starts_with(['0', '+', '-']))
                .and_then(|digits| digits.parse().ok());
            Tag { weak, version }
        };
        Self::These(header.split(',').map(tag).collect())
    }
}
