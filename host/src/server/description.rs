//! The component's OpenAPI description, to which the host adds which token each operation needs.
//!
//! The component's route `/openapi.json` is taken for it, as `/docs` is for its documentation. The
//! entity tag and the conditions of the request are about what the client gets, so the component
//! sees neither: it is asked for all of it.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use ring::digest::{SHA256, digest};

use super::body::Body;
use crate::access::AccessControl;
use crate::sandbox::CallError;

/// Where a component has its description, if it declares this route.
pub(super) const PATH: &str = "/openapi.json";

/// The longest description, in bytes.
const MAX_LENGTH: usize = 16 << 20;

/// What the client asked for.
#[derive(Debug)]
pub(super) struct Asked {
    is_head: bool,
    known: Option<HeaderValue>,
}

/// Makes of a request one for all of the description.
pub(super) fn ask(request: &mut Request<Bytes>) -> Asked {
    let is_head = request.method() == Method::HEAD;
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    let known = headers.remove(IF_NONE_MATCH);
    for name in [
        IF_MATCH,
        IF_MODIFIED_SINCE,
        IF_UNMODIFIED_SINCE,
        RANGE,
        ACCEPT_ENCODING,
    ] {
        headers.remove(name);
    }
    Asked { is_head, known }
}

/// Adds which token each operation needs, if the response is a description that can be read.
///
/// # Errors
/// If the body is too long, or does not end well.
pub(super) async fn describe(
    access: &AccessControl,
    response: Response<Body>,
    asked: Asked,
) -> Result<Response<Body>, CallError> {
    let (mut head, body) = response.into_parts();
    let body = Limited::new(body, MAX_LENGTH).collect().await;
    let body = body.map_err(|error| {
        CallError::Guest(format!("its OpenAPI description was not complete: {error}"))
    })?;
    let mut body = body.to_bytes();
    let is_readable = head.status == StatusCode::OK && is_plain_json(&head.headers);
    if is_readable && let Some(described) = access.describe(&body) {
        body = described.into();
        let hash = digest(&SHA256, &body);
        let (start, _) = hash.as_ref().split_first_chunk().unwrap_or((&[0; 8], &[]));
        let tag = format!("\"{:016x}\"", u64::from_be_bytes(*start));
        let is_known = asked.known.is_some_and(|known| includes(&known, &tag));
        head.headers.remove(LAST_MODIFIED);
        if let Ok(tag) = HeaderValue::try_from(tag) {
            head.headers.insert(ETAG, tag);
        }
        if is_known {
            head.status = StatusCode::NOT_MODIFIED;
            head.headers.remove(CONTENT_TYPE);
            head.headers.remove(CONTENT_LENGTH);
            return Ok(Response::from_parts(head, Body::full(Bytes::new())));
        }
        let length = HeaderValue::from(body.len());
        head.headers.insert(CONTENT_LENGTH, length);
    }
    if asked.is_head {
        body = Bytes::new();
    }
    Ok(Response::from_parts(head, Body::full(body)))
}

fn is_plain_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let kind = kind.and_then(|kind| kind.split(|byte| *byte == b';').next());
    let is_json = kind.is_some_and(|kind| {
        let kind = kind.trim_ascii().to_ascii_lowercase();
        kind == b"application/json" || kind.ends_with(b"+json")
    });
    is_json && !headers.contains_key(CONTENT_ENCODING)
}

/// Whether `If-None-Match` has this tag (RFC 9110, 13.1.2).
fn includes(known: &HeaderValue, tag: &str) -> bool {
    let Ok(known) = known.to_str() else {
        return false;
    };
    known.trim() == "*"
        || known
            .split(',')
            .any(|other| other.trim().trim_start_matches("W/") == tag)
}
