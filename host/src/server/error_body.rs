//! The host's own error responses: JSON with `detail`, like every error of this server.
//!
//! hyper itself responds to a request that it cannot parse (RFC 9112: 400, 414, 431), without a
//! body and without calling the service. Such a response gets a body while it is written. Its bytes
//! are recognised by their head: no other response of this server has no body and closes the
//! connection.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

use super::body::Body;
use crate::access::Refusal;
use crate::sandbox::CallError;
use crate::telemetry::request::Blame;

/// An error response that does not come from the guest.
#[derive(Debug)]
pub(super) enum ErrorResponse {
    Target,
    Host,
    TransferCoding,
    /// Also whether the request's body has not been read, as below.
    NotFound(bool),
    Refused(Refusal, bool),
    LargeHead,
    LargeBody,
    SlowBody,
    BrokenBody,
    /// As `Call`, before the request's body has been read.
    Unread(CallError),
    Call(CallError),
}

impl ErrorResponse {
    /// Who is to blame for the error.
    pub(super) fn blame(&self) -> Blame {
        match self {
            Self::Target
            | Self::Host
            | Self::TransferCoding
            | Self::NotFound(_)
            | Self::Refused(..)
            | Self::LargeHead
            | Self::LargeBody
            | Self::SlowBody
            | Self::BrokenBody => Blame::Client,
            Self::Unread(error) | Self::Call(error) => error.blame(),
        }
    }
}

impl From<ErrorResponse> for Response<Body> {
    fn from(error: ErrorResponse) -> Self {
        let (status, detail, close) = match &error {
            ErrorResponse::Target => (StatusCode::BAD_REQUEST, MALFORMED, true),
            ErrorResponse::TransferCoding => {
                (StatusCode::NOT_IMPLEMENTED, "Unknown transfer coding", true)
            }
            ErrorResponse::Host => (
                StatusCode::BAD_REQUEST,
                "Missing or invalid Host header",
                true,
            ),
            ErrorResponse::NotFound(is_unread) => (StatusCode::NOT_FOUND, "Not Found", *is_unread),
            ErrorResponse::Refused(refusal, is_unread) if refusal.is_forbidden() => {
                (StatusCode::FORBIDDEN, "Not enough permissions", *is_unread)
            }
            ErrorResponse::Refused(refusal, is_unread) if refusal.is_malformed() => {
                (StatusCode::BAD_REQUEST, MALFORMED, *is_unread)
            }
            ErrorResponse::Refused(_, is_unread) => {
                (StatusCode::UNAUTHORIZED, "Not authenticated", *is_unread)
            }
            ErrorResponse::LargeHead => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "Request Header Fields Too Large",
                true,
            ),
            ErrorResponse::LargeBody => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "Request body too large",
                true,
            ),
            ErrorResponse::SlowBody => (
                StatusCode::REQUEST_TIMEOUT,
                "Request body took too long",
                true,
            ),
            ErrorResponse::BrokenBody => (
                StatusCode::BAD_REQUEST,
                "There was an error parsing the body",
                true,
            ),
            ErrorResponse::Unread(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", true)
            }
            ErrorResponse::Call(CallError::Busy | CallError::Memory(_) | CallError::Evicted(_)) => {
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Service Unavailable",
                    false,
                )
            }
            ErrorResponse::Call(CallError::Deadline | CallError::Processor(_)) => {
                (StatusCode::GATEWAY_TIMEOUT, "Gateway Timeout", false)
            }
            ErrorResponse::Call(CallError::Guest(_) | CallError::Host(_)) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal Server Error",
                false,
            ),
        };
        let mut response = json(status, detail);
        if let ErrorResponse::Refused(refusal, _) = &error {
            refusal.describe(response.headers_mut());
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if close {
            // The rest of the body is not read, so no further request can be.
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The response `{"detail":"…"}`. `detail` must need no escaping.
pub(crate) fn json(status: StatusCode, detail: &str) -> Response<Body> {
    let text = format!(r#"{{"detail":"{detail}"}}"#);
    let length = text.len();
    let mut response = Response::new(Body::full(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// What is wrong with a request that cannot be parsed.
const MALFORMED: &str = "Malformed request";

/// The end of a response without a body.
const END: &[u8] = b"\r\n\r\n";

/// The longest response of hyper.
const MAX_LENGTH: usize = 160;

/// The status of each response of hyper, and the detail of its replacement.
const HYPER_ERRORS: [(&str, &str); 3] = [
    ("400 Bad Request", MALFORMED),
    ("414 URI Too Long", "URI Too Long"),
    (
        "431 Request Header Fields Too Large",
        "Request Header Fields Too Large",
    ),
];

/// The head of hyper's response without its status and its date, by version. A guest's response is
/// never like it: it has a body, or its status is another, or (HTTP/1.0) `Connection: close`.
const HYPER_HEADS: [(&[u8], &[u8]); 2] = [
    (
        b"HTTP/1.1 ",
        b"\r\nconnection: close\r\ncontent-length: 0\r\n",
    ),
    (b"HTTP/1.0 ", b"\r\ncontent-length: 0\r\n"),
];

/// What is known of a request before hyper has parsed it, for the response to a malformed one. Of
/// pipelined requests that arrive together only the first is seen.
#[derive(Debug)]
pub(super) struct RequestStart {
    /// The next bytes that are read begin a request.
    is_next: bool,
    /// How many bytes of `HEAD` have been read; `None` if the request begins otherwise.
    of_head: Option<usize>,
    has_line: bool,
}

/// How a request begins whose response has no content.
const HEAD: &[u8] = b"HEAD ";

impl RequestStart {
    pub(super) fn new() -> Self {
        Self {
            is_next: true,
            of_head: Some(0),
            has_line: false,
        }
    }

    /// Records bytes that were read.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        if self.is_next {
            *self = Self::new();
            self.is_next = false;
        }
        if let Some(read) = self.of_head.filter(|read| *read < HEAD.len()) {
            if read == 0 {
                bytes = without_empty_lines(bytes);
            }
            let missing = HEAD.get(read..).unwrap_or_default();
            let more = missing.len().min(bytes.len());
            let is_same = bytes.starts_with(missing.get(..more).unwrap_or_default());
            self.of_head = is_same.then_some(read + more);
        }
        self.has_line = self.has_line || memchr::memchr(b'\n', bytes).is_some();
    }

    fn is_head(&self) -> bool {
        self.of_head == Some(HEAD.len())
    }

    /// Records that a response is written.
    pub(super) fn responded(&mut self) {
        self.is_next = true;
    }
}

/// What follows the empty lines that may precede a request (RFC 9112, 2.2).
pub(super) fn without_empty_lines(bytes: &[u8]) -> &[u8] {
    let begin = bytes.iter().position(|byte| !b"\r\n".contains(byte));
    begin.and_then(|at| bytes.get(at..)).unwrap_or_default()
}

/// The bytes to write instead, if `bytes` ends with a response of hyper; earlier responses in the
/// same buffer are kept. `id` receives the status and the length of the body, and returns the id of
/// the request.
pub(super) fn replacement<I: AsRef<str>>(
    bytes: &[u8],
    request: &RequestStart,
    id: impl FnOnce(StatusCode, usize) -> I,
) -> Option<Bytes> {
    if !bytes.ends_with(END) {
        return None;
    }
    // The buffer may hold earlier responses, if the client pipelines requests.
    let from = bytes.len().saturating_sub(MAX_LENGTH);
    let (at, (mut status, mut detail)) = (from..bytes.len()).find_map(|at| {
        let response = bytes.get(at..)?;
        HYPER_HEADS.iter().find_map(|(version, rest)| {
            let response = response.strip_prefix(*version)?;
            let error = HYPER_ERRORS.iter().find(|(status, _)| {
                let response = response.strip_prefix(status.as_bytes());
                response.is_some_and(|response| response.starts_with(rest))
            })?;
            Some((at, *error))
        })
    })?;
    let (before, response) = bytes.split_at(at);
    let version = response.get(.."HTTP/1.1".len())?;
    // hyper's buffer was full before the request line was complete.
    if detail == HYPER_ERRORS[2].1 && !request.has_line {
        (status, detail) = HYPER_ERRORS[1];
    }
    let head = response.strip_suffix(END)?;
    let body = format!(r#"{{"detail":"{detail}"}}"#);
    let code = status.get(..3).unwrap_or_default();
    let code = StatusCode::from_bytes(code.as_bytes()).unwrap_or(StatusCode::BAD_REQUEST);
    // The response to HEAD has no content (RFC 9110, 9.3.2).
    let content = if request.is_head() { "" } else { &body };
    let id = id(code, content.len());
    // Only the date differs between such responses.
    let date = head
        .windows(8)
        .position(|window| window == b"\r\ndate: ")
        .and_then(|at| head.get(at..))
        .unwrap_or_default();
    let mut replaced = before.to_vec();
    replaced.extend_from_slice(version);
    replaced.extend_from_slice(
        format!(
            " {status}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             x-request-id: {}\r\ncontent-length: {}",
            id.as_ref(),
            body.len()
        )
        .as_bytes(),
    );
    replaced.extend_from_slice(date);
    replaced.extend_from_slice(END);
    replaced.extend_from_slice(content.as_bytes());
    Some(replaced.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYPER_ERROR: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\n\
                               connection: close\r\ncontent-length: 0\r\n\
                               date: Mon, 23 Nov 2026 14:18:42 GMT\r\n\r\n";

    /// A request whose head is complete.
    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nx: y\r\n";

    fn request(bytes: &[u8]) -> RequestStart {
        let mut start = RequestStart::new();
        start.read(bytes);
        start
    }

    #[test]
    fn error_response_to_head_has_no_body() {
        let head = request(b"HEAD / HTTP/1.1\r\nx : y\r\n");
        let replaced = replacement(HYPER_ERROR.as_bytes(), &head, |_, _| "id");
        let replaced = replaced.expect("an error response of hyper");
        assert!(replaced.ends_with(b"GMT\r\n\r\n"), "{replaced:?}");
    }

    #[test]
    fn request_that_begins_with_empty_lines_or_in_parts_is_known() {
        let line = b"\r\n\nHEAD / HTTP/1.1\r\n";
        for at in 0..line.len() {
            let (begin, end) = line.split_at(at);
            let mut start = request(begin);
            assert!(!start.has_line, "{at}");
            start.read(end);
            assert!(start.is_head() && start.has_line, "{at}");
            start.responded();
            start.read(b"HEAR ");
            assert!(!start.is_head() && !start.has_line, "{at}");
        }
    }

    #[test]
    fn full_buffer_before_the_end_of_the_request_line_returns_414() {
        let replaced = replacement(HYPER_ERROR.as_bytes(), &request(b"GET /aaaa"), |_, _| "id");
        let replaced = replaced.expect("an error response of hyper");
        assert!(replaced.starts_with(b"HTTP/1.1 414 URI Too Long\r\n"));
        assert!(replaced.ends_with(br#"{"detail":"URI Too Long"}"#));
    }

    #[test]
    fn error_response_of_http_1_0_gets_a_body() {
        let error = "HTTP/1.0 400 Bad Request\r\ncontent-length: 0\r\n\
                     date: Mon, 23 Nov 2026 14:18:42 GMT\r\n\r\n";
        let replaced = replacement(error.as_bytes(), &request(b"garbage\r\n"), |_, _| "id");
        let replaced = replaced.expect("an error response of hyper");
        assert!(replaced.starts_with(b"HTTP/1.0 400 Bad Request\r\nconnection: close\r\n"));
        assert!(replaced.ends_with(br#"{"detail":"Malformed request"}"#));
    }

    #[test]
    fn error_response_of_hyper_gets_a_body() {
        let id = |status: StatusCode, _| format!("id-of-{}", status.as_u16());
        let replaced = replacement(HYPER_ERROR.as_bytes(), &request(HEAD), id);
        let replaced = replaced.expect("an error response of hyper");
        assert_eq!(
            String::from_utf8_lossy(&replaced),
            "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\
             content-type: application/json\r\nx-request-id: id-of-431\r\n\
             content-length: 44\r\n\
             date: Mon, 23 Nov 2026 14:18:42 GMT\r\n\r\n\
             {\"detail\":\"Request Header Fields Too Large\"}"
        );
    }

    #[test]
    fn earlier_responses_in_the_buffer_are_unchanged() {
        let before = "HTTP/1.1 204 No Content\r\n\r\n";
        let both = format!("{before}{HYPER_ERROR}");
        let replaced = replacement(both.as_bytes(), &request(HEAD), |_, _| "id");
        let replaced = replaced.expect("an error response of hyper");
        assert!(replaced.starts_with(before.as_bytes()) && replaced.ends_with(b"}"));
        let unnamed = |_, _| -> &str { panic!("no request is refused") };
        assert_eq!(
            replacement(before.as_bytes(), &request(HEAD), unnamed),
            None
        );
        assert_eq!(
            replacement(
                b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
                &request(HEAD),
                unnamed
            ),
            None
        );
    }
}
