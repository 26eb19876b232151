//! One handler per operation.

use super::body::{self, Body};
use super::error::Error;
use super::headers::RequestHeader;
use super::ndjson::{Answer, NDJSON, NdjsonList};
use super::query::{self, ListQuery};
use super::representation::{ListFormat, etag, list_capacity, user_response};
use super::{accept, conditional};
use crate::compat::faults::{Fault, Location, Problem};
use crate::compat::integer::{self, Integer};
use crate::compat::json::write_string;
use crate::users::{self, Page};
use usher_sdk::database::Database;
use usher_sdk::http::{JSON, Request, Response};

/// The number of users on a page, if the query has no `limit`.
const DEFAULT_LIMIT: u32 = 100;

pub(crate) fn get(
    request: &impl Request<RequestHeader>,
    database: &impl Database,
    user_id: &str,
) -> Result<Response, Error> {
    let user = users::get(database, id(path_id(user_id)?)?)?;
    Ok(if conditional::is_user_unchanged(request, &user)? {
        Response::empty(304).with("etag", etag(&user))
    } else {
        user_response(&user)
    })
}

pub(crate) fn create(
    request: &impl Request<RequestHeader>,
    database: &impl Database,
) -> Result<Response, Error> {
    with_body(request, |body| {
        Ok(user_response(&users::create(database, &body.new_user()?)?))
    })
}

pub(crate) fn replace(
    request: &impl Request<RequestHeader>,
    database: &impl Database,
    user_id: &str,
) -> Result<Response, Error> {
    // Faults of the path come before those of the body, and both before the database.
    let user_id = path_id(user_id);
    with_body(request, |body| {
        let (user_id, user) = both(user_id, body.new_user())?;
        let expected = conditional::expected_versions(request);
        let user = users::replace(database, id(user_id)?, &user, &expected)?;
        Ok(user_response(&user))
    })
}

pub(crate) fn change(
    request: &impl Request<RequestHeader>,
    database: &impl Database,
    user_id: &str,
) -> Result<Response, Error> {
    let user_id = path_id(user_id);
    with_body(request, |body| {
        let (user_id, changes) = both(user_id, body.changes())?;
        let expected = conditional::expected_versions(request);
        let user = users::change(database, id(user_id)?, &changes, &expected)?;
        Ok(user_response(&user))
    })
}

pub(crate) fn delete(
    request: &impl Request<RequestHeader>,
    database: &impl Database,
    user_id: &str,
) -> Result<Response, Error> {
    let expected = conditional::expected_versions(request);
    users::delete(database, id(path_id(user_id)?)?, &expected)?;
    Ok(Response::empty(204))
}

pub(crate) fn list(
    request: &impl Request<RequestHeader>,
    database: &impl Database,
    query: &str,
) -> Result<Answer, Error> {
    let query = query::parse(query).map_err(Error::Invalid)?;
    conditional::check_list(request)?;
    let prefers_ndjson = request
        .header(RequestHeader::AcceptNdjson)
        .is_some_and(|header| accept::prefers(&header, NDJSON, JSON));
    if prefers_ndjson {
        return Ok(Answer::Streamed(NdjsonList::new(query, true)));
    }
    let ListQuery { selection, etags } = query;
    let page = Page {
        limit: selection.limit.unwrap_or(DEFAULT_LIMIT),
        after: selection.after,
        email: selection.email,
    };
    let listed = users::list(database, &page)?;
    let found = listed.page()?;
    let mut body = String::with_capacity(list_capacity(&found.users, users::PAGE_BYTES, etags) + 2);
    body.push('[');
    let format = ListFormat::new(etags, found.texts);
    let mut last = None;
    let mut more = found.more;
    for &user in &found.users {
        let end = body.len();
        if last.is_some() {
            body.push(',');
        }
        format.write(user, &mut body);
        // Escapes can make a text six times as long as it is stored.
        if body.len() > users::PAGE_BYTES && last.is_some() {
            body.truncate(end);
            more = true;
            break;
        }
        last = Some(user.id);
    }
    body.push(']');
    let response = Response::json_text(200, body.into_bytes()).with("vary", "accept");
    Ok(Answer::Buffered(match last {
        // A page filtered by address has no next page, so the link omits the filter. It also omits
        // the path, since a proxy may serve this one under another.
        Some(last) if more => {
            let etag = if etags { "&etag=true" } else { "" };
            response.with(
                "link",
                format!("<?limit={}&after={last}{etag}>; rel=\"next\"", page.limit),
            )
        }
        _ => response,
    }))
}

/// All users as NDJSON, whatever `Accept` says: a client generated from the description expects one
/// form of response from one operation.
pub(crate) fn stream(request: &impl Request<RequestHeader>, query: &str) -> Result<Answer, Error> {
    let query = query::parse(query).map_err(Error::Invalid)?;
    conditional::check_list(request)?;
    Ok(Answer::Streamed(NdjsonList::new(query, false)))
}

fn with_body(
    request: &impl Request<RequestHeader>,
    respond: impl FnOnce(&Body<'_>) -> Result<Response, Error>,
) -> Result<Response, Error> {
    let bytes = request.body()?;
    let content_type = request.header(RequestHeader::ContentType);
    respond(&Body::new(&bytes, content_type.as_deref())?)
}

fn path_id(text: &str) -> Result<Integer, Fault> {
    integer::parse(text).ok_or_else(|| {
        let mut input = String::new();
        write_string(text, &mut input);
        Fault {
            location: Location::Path("user_id"),
            problem: Problem::NotInteger,
            input,
        }
    })
}

/// An id that a user may have. No database can hold a larger integer, so no user has it.
fn id(integer: Integer) -> Result<i64, users::Error> {
    match integer {
        Integer::Fits(id) => Ok(id),
        Integer::Below | Integer::Above => Err(users::Error::NotFound),
    }
}

/// The id and what the body holds, or the faults of both.
fn both<T>(
    id: Result<Integer, Fault>,
    body: Result<T, body::Error>,
) -> Result<(Integer, T), Error> {
    match (id, body.map_err(Error::from)) {
        (Ok(id), Ok(body)) => Ok((id, body)),
        (Err(fault), Err(Error::Invalid(faults))) => Err(Error::Invalid(
            std::iter::once(fault).chain(faults).collect(),
        )),
        (Err(fault), Ok(_)) => Err(fault.into()),
        (_, Err(error)) => Err(error),
    }
}
