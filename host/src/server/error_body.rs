//! The answers that are the host's own: JSON with `detail`, as of every error of this server.
//!
//! What hyper cannot parse (RFC 9112: 400, 414, 431) it answers by itself, with no body and before any service is asked. The
//! bytes of such an answer are replaced on their way out. They are easily told: no other answer of this server has no body and
//! closes the connection.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

use super::body::Body;
use crate::sandbox::CallError;

/// Answers the guest has no part in.
#[derive(Debug)]
pub(super) enum Refusal {
    Host,
    LargeHead,
    LargeBody,
    SlowBody,
    BrokenBody,
    Call(CallError),
}

impl From<Refusal> for Response<Body> {
    fn from(refusal: Refusal) -> Self {
        let (status, detail, close) = match refusal {
            Refusal::Host => (
                StatusCode::BAD_REQUEST,
                "Missing or invalid Host header",
                true,
            ),
            Refusal::LargeHead => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "Request Header Fields Too Large",
                true,
            ),
            Refusal::LargeBody => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "Request body too large",
                true,
            ),
            Refusal::SlowBody => (
                StatusCode::REQUEST_TIMEOUT,
                "Request body took too long",
                true,
            ),
            Refusal::BrokenBody => (
                StatusCode::BAD_REQUEST,
                "There was an error parsing the body",
                true,
            ),
            Refusal::Call(CallError::Busy | CallError::Memory(_) | CallError::Evicted(_)) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Service Unavailable",
                false,
            ),
            Refusal::Call(CallError::Deadline | CallError::Processor(_)) => {
                (StatusCode::GATEWAY_TIMEOUT, "Gateway Timeout", false)
            }
            Refusal::Call(CallError::Guest(_) | CallError::Host(_)) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal Server Error",
                false,
            ),
        };
        let mut response = json(status, detail);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if close {
            // What is left of the body is not read, so nothing that follows on this connection could be.
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// `{"detail":"…"}`, the shape of every error of this service. `detail` needs no escaping.
pub(crate) fn json(status: StatusCode, detail: &str) -> Response<Body> {
    let text = format!(r#"{{"detail":"{detail}"}}"#);
    let mut response = Response::new(Body::Full(None));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    *response.body_mut() = Body::Full(Some(Bytes::from(text)));
    response
}

/// The end of every answer that has no body.
const END: &[u8] = b"\r\n\r\n";

/// The whole answer is shorter than this.
const LONGEST: usize = 160;

/// What hyper says, and what is said in its place.
const REFUSALS: [(&[u8], &str, &str); 3] = [
    (b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n", "400 Bad Request", "Malformed request"),
    (b"HTTP/1.1 414 URI Too Long\r\nconnection: close\r\ncontent-length: 0\r\n", "414 URI Too Long", "URI Too Long"),
    (
        b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n",
        "431 Request Header Fields Too Large",
        "Request Header Fields Too Large",
    ),
];

/// What to write in place of these bytes: all before the library's refusal as it is, then the refusal with a body.
pub(super) fn replacement(bytes: &[u8]) -> Option<Bytes> {
    if !bytes.ends_with(END) {
        return None;
    }
    let tail = bytes.get(bytes.len().saturating_sub(LONGEST)..)?;
    // Earlier answers may lie in the same buffer, where a client sends requests without waiting.
    let (at, (_, status, detail)) = (0..tail.len()).find_map(|at| {
        let refusal = REFUSALS
            .iter()
            .find(|(head, ..)| tail.get(at..).is_some_and(|rest| rest.starts_with(head)))?;
        Some((at, refusal))
    })?;
    let (before, refusal) = bytes.split_at(bytes.len() - tail.len() + at);
    let head = refusal.strip_suffix(END)?;
    let body = format!(r#"{{"detail":"{detail}"}}"#);
    // Of its headers, only the date is not the same every time.
    let date = head
        .windows(8)
        .position(|window| window == b"\r\ndate: ")
        .and_then(|at| head.get(at..))
        .unwrap_or_default();
    let mut answer = before.to_vec();
    answer.extend_from_slice(format!("HTTP/1.1 {status}\r\nconnection: close\r\n").as_bytes());
    answer.extend_from_slice(
        format!(
            "content-type: application/json\r\ncontent-length: {}",
            body.len()
        )
        .as_bytes(),
    );
    answer.extend_from_slice(date);
    answer.extend_from_slice(END);
    answer.extend_from_slice(body.as_bytes());
    Some(answer.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSAL: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\
                           date: Mon, 23 Nov 2026 14:18:42 GMT\r\n\r\n";

    #[test]
    fn a_refusal_of_the_library_gets_a_body() {
        let replaced = replacement(REFUSAL.as_bytes()).expect("a refusal");
        assert_eq!(
            String::from_utf8_lossy(&replaced),
            "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: 44\r\ndate: Mon, 23 Nov 2026 14:18:42 GMT\r\n\r\n{\"detail\":\"Request Header Fields Too Large\"}"
        );
    }

    #[test]
    fn what_was_answered_before_is_left_alone() {
        let before = "HTTP/1.1 204 No Content\r\n\r\n";
        let replaced = replacement(format!("{before}{REFUSAL}").as_bytes()).expect("a refusal");
        assert!(replaced.starts_with(before.as_bytes()) && replaced.ends_with(b"}"));
        assert_eq!(replacement(before.as_bytes()), None);
        assert_eq!(
            replacement(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
            None
        );
    }
}
