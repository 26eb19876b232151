//! Which sites' pages may send requests and read the responses (CORS, fetch.spec.whatwg.org).

use http::Method;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderMap, HeaderValue, ORIGIN, VARY,
};

/// What a page may send and read beyond what every page may.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const SENT: &str =
    "authorization, content-type, if-match, if-none-match, x-request-id, traceparent";
const READ: &str = "etag, link, location, retry-after, www-authenticate, x-request-id";

/// How long a browser may remember the answer to a preflight, in seconds.
const REMEMBERED: &str = "600";

/// The origin of a page that sends this request, if it is one of these.
pub(super) fn origin(allowed: &[HeaderValue], headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    allowed.contains(origin).then(|| origin.clone())
}

/// Whether a browser asks whether it may send a request.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Adds that the page may read the response.
pub(super) fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    let read = HeaderValue::from_static(READ);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, read);
}

/// Adds that the response differs by the page's origin.
pub(super) fn vary(headers: &mut HeaderMap) {
    headers.append(VARY, HeaderValue::from_static("origin"));
}

/// Adds what the page may send.
pub(super) fn allow_sending(headers: &mut HeaderMap) {
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (ACCESS_CONTROL_ALLOW_HEADERS, SENT),
        (ACCESS_CONTROL_MAX_AGE, REMEMBERED),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
