//! What must hold of a request's head beyond what hyper checks: its target, its `Host` and how its
//! body is framed.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{Method, Request, Uri, Version};

use super::error_body::ErrorResponse;
use super::host;

/// Checks a request's head. One of HTTP/1.0 without `Host` gets one.
///
/// # Errors
/// The response to a head that is not valid.
pub(super) fn check<B>(request: &mut Request<B>, has_body: bool) -> Result<(), ErrorResponse> {
    if !has_valid_target(request) {
        return Err(ErrorResponse::Target);
    }
    if request.version() == Version::HTTP_2 && !has_valid_fields(request.headers()) {
        return Err(ErrorResponse::Target);
    }
    check_host(request)?;
    if has_body && !is_plain_or_chunked(request.headers()) {
        return Err(ErrorResponse::TransferCoding);
    }
    Ok(())
}

/// Copies a head out of the buffer that it was read into, which takes many times as much.
pub(super) fn compact(head: &mut Parts) {
    let length = head.headers.values().map(HeaderValue::len).sum();
    let mut values = BytesMut::with_capacity(length);
    for value in head.headers.values() {
        values.extend_from_slice(value.as_bytes());
    }
    let mut values = values.freeze();
    for value in head.headers.values_mut() {
        let copy = values.split_to(value.len());
        // It is valid, since it was before.
        if let Ok(mut copy) = HeaderValue::from_maybe_shared(copy) {
            copy.set_sensitive(value.is_sensitive());
            *value = copy;
        }
    }
    let mut uri = head.uri.clone().into_parts();
    if let Some(path) = &uri.path_and_query
        && let Ok(path) = PathAndQuery::from_maybe_shared(copied(path.as_str()))
    {
        uri.path_and_query = Some(path);
    }
    if let Some(authority) = &uri.authority
        && let Ok(authority) = Authority::from_maybe_shared(copied(authority.as_str()))
    {
        uri.authority = Some(authority);
    }
    if let Ok(uri) = Uri::from_parts(uri) {
        head.uri = uri;
    }
}

fn copied(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Whether a target is a path, a URL, or `*` of OPTIONS (RFC 9112, 3.2). hyper's parser also takes
/// `a:80` and `a`, which name an authority and are for CONNECT alone. HTTP/2's takes any scheme.
fn has_valid_target<B>(request: &Request<B>) -> bool {
    let uri = request.uri();
    if request.version() == Version::HTTP_2
        && *request.method() != Method::CONNECT
        && uri.authority().is_some()
        && !matches!(uri.scheme_str(), Some("http" | "https"))
    {
        return false;
    }
    match request.uri().path() {
        "*" | "" => matches!(*request.method(), Method::OPTIONS | Method::CONNECT),
        path => path.starts_with('/'),
    }
}

/// Whether fields are valid in HTTP/2 beyond what its library checks: it allows a second length,
/// and whitespace around a value, which in HTTP/1 is no part of it (RFC 9113, 8.1.1 and 8.2.1).
fn has_valid_fields(headers: &HeaderMap) -> bool {
    let is_trimmed = |value: &HeaderValue| value.as_bytes().trim_ascii().len() == value.len();
    headers.get_all(CONTENT_LENGTH).iter().count() < 2 && headers.values().all(is_trimmed)
}

/// Whether a body is sent as it is or in chunks. hyper accepts any coding below the chunks, as if
/// the body were not encoded (RFC 9112, 6.1).
fn is_plain_or_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => {
            let listed = coding.as_bytes().split(|&byte| byte == b',');
            let mut named = listed
                .map(<[u8]>::trim_ascii)
                .filter(|name| !name.is_empty());
            let is_chunked = |name: &[u8]| name.eq_ignore_ascii_case(b"chunked");
            named.next().is_some_and(is_chunked) && named.next().is_none()
        }
        _ => false,
    }
}

/// An HTTP/1.1 request has exactly one `Host` (RFC 9112, 3.2). One of HTTP/1.0 may have none, and
/// so may one of HTTP/2, where a `Host` that differs from `:authority` is malformed (RFC 9113,
/// 8.3.1).
fn check_host<B>(request: &mut Request<B>) -> Result<(), ErrorResponse> {
    let authority = request.uri().authority();
    if authority.is_some_and(|authority| !host::is_valid(authority.as_str().as_bytes())) {
        return Err(ErrorResponse::Host);
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if host::is_valid(host.as_bytes()) => {
            let differs =
                |authority: &Authority| !authority.as_str().eq_ignore_ascii_case(text(host));
            if request.version() == Version::HTTP_2 && authority.is_some_and(differs) {
                return Err(ErrorResponse::Host);
            }
            Ok(())
        }
        (None, None) if request.uri().authority().is_some() => Ok(()),
        (None, None) if request.version() < Version::HTTP_11 => {
            let host = HeaderValue::from_static("localhost");
            request.headers_mut().insert(HOST, host);
            Ok(())
        }
        _ => Err(ErrorResponse::Host),
    }
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_head_is_the_same_and_in_no_larger_buffer() {
        for target in [
            "/a/b?c=d&e",
            "*",
            "http://example.com:80/a?b",
            "http://example.com",
        ] {
            let buffer = Bytes::from(format!("{target}application/json"));
            let (target, value) = (buffer.slice(..target.len()), buffer.slice(target.len()..));
            let mut value = HeaderValue::from_maybe_shared(value).expect("a value");
            value.set_sensitive(true);
            let target = Uri::from_maybe_shared(target).expect("a target");
            let request = Request::options(target)
                .header("content-type", value)
                .header("x", "")
                .header("x", "two");
            let (mut head, ()) = request.body(()).expect("a request").into_parts();
            let (uri, headers) = (head.uri.clone(), head.headers.clone());
            compact(&mut head);
            assert_eq!((&head.uri, &head.headers), (&uri, &headers));
            assert!(head.headers["content-type"].is_sensitive());
            drop((uri, headers));
            assert!(buffer.is_unique(), "{:?}", head.uri);
        }
    }
}
