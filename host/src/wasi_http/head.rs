//! Checks the head of a guest's response: the status is final, and the length is the body's.
//!
//! With any other head, two readers of a connection could disagree where a message ends (RFC 9112,
//! 6.3). A head is corrected if that changes nothing for the client, and refused if the guest has
//! contradicted itself.

use std::fmt;

use http::{HeaderMap, Method, StatusCode, header};

/// Why a response is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidResponse {
    /// Not a final status.
    Status(u16),
    /// Success for a CONNECT, which would open a tunnel.
    Tunnel,
    /// A body with a status that allows none.
    Content(StatusCode, usize),
    /// A length that is not the body's.
    Length {
        /// The length in the head.
        content_length: u64,
        /// The body's length.
        body: usize,
    },
}

impl fmt::Display for InvalidResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) => write!(
                f,
                "it answered with the status {code}, which is not final (200 to 599 are)"
            ),
            Self::Tunnel => f.write_str("it answered a CONNECT with a tunnel"),
            Self::Content(status, bytes) => write!(
                f,
                "it answered with a body of {bytes} bytes and the status {}, which allows none",
                status.as_u16()
            ),
            Self::Length {
                content_length,
                body,
            } => write!(
                f,
                "it promised a body of {content_length} bytes (content-length) and gave {body}"
            ),
        }
    }
}

impl std::error::Error for InvalidResponse {}

/// The status of a response, which must be final and of a class that HTTP defines.
pub(crate) fn status(code: u16) -> Result<StatusCode, InvalidResponse> {
    match StatusCode::from_u16(code) {
        Ok(status) if (200..=599).contains(&code) => Ok(status),
        _ => Err(InvalidResponse::Status(code)),
    }
}

/// Removes `Trailer`: a complete body has no trailers.
pub(crate) fn without_trailers(headers: &mut HeaderMap) {
    headers.remove(header::TRAILER);
}

/// Makes a head agree with its body. `body` is the length of a complete body; a body that is still
/// being written is held to `content_length` by its pipe.
pub(crate) fn reconcile(
    method: &Method,
    status: StatusCode,
    headers: &mut HeaderMap,
    content_length: Option<u64>,
    body: Option<usize>,
) -> Result<(), InvalidResponse> {
    if *method == Method::CONNECT && status.is_success() {
        return Err(InvalidResponse::Tunnel);
    }
    match status {
        StatusCode::NO_CONTENT => {
            headers.remove(header::CONTENT_LENGTH);
        }
        // The length is that of the representation that the client has (RFC 9110, 8.6).
        StatusCode::NOT_MODIFIED => {}
        // The length is that of the response to a GET.
        _ if *method == Method::HEAD && body.is_none_or(|bytes| bytes == 0) => return Ok(()),
        _ => {
            if let (Some(content_length), Some(body)) = (content_length, body)
                && content_length != body as u64
            {
                return Err(InvalidResponse::Length {
                    content_length,
                    body,
                });
            }
            if status != StatusCode::RESET_CONTENT {
                return Ok(());
            }
        }
    }
    match body {
        Some(bytes) if bytes > 0 => Err(InvalidResponse::Content(status, bytes)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_that_is_not_final_is_refused() {
        for code in [0, 99, 100, 101, 103, 199, 600, 999, 1000, u16::MAX] {
            assert_eq!(status(code), Err(InvalidResponse::Status(code)));
        }
        for code in [200, 204, 304, 418, 599] {
            assert_eq!(status(code).map(|status| status.as_u16()), Ok(code));
        }
    }

    #[test]
    fn length_other_than_the_bodys_is_refused_unless_no_body_is_sent() {
        let mut headers = HeaderMap::new();
        let mut check = |method: &Method, code, content_length, body| {
            let status = status(code).expect("a status");
            reconcile(method, status, &mut headers, content_length, body)
        };
        let (get, head) = (Method::GET, Method::HEAD);
        let differs = |content_length, body| {
            Err(InvalidResponse::Length {
                content_length,
                body,
            })
        };
        assert_eq!(check(&get, 200, Some(5), Some(5)), Ok(()));
        assert_eq!(check(&get, 200, None, Some(5)), Ok(()));
        assert_eq!(check(&get, 200, Some(5), None), Ok(()));
        assert_eq!(check(&get, 200, Some(5), Some(0)), differs(5, 0));
        assert_eq!(check(&get, 200, Some(0), Some(5)), differs(0, 5));
        assert_eq!(check(&head, 200, Some(5), Some(0)), Ok(()));
        assert_eq!(check(&head, 200, Some(5), Some(4)), differs(5, 4));
        assert_eq!(check(&get, 304, Some(5), Some(0)), Ok(()));
        assert_eq!(check(&get, 205, None, Some(0)), Ok(()));
        for code in [204, 205, 304] {
            assert!(check(&get, code, None, Some(1)).is_err(), "{code}");
        }
        assert_eq!(
            check(&Method::CONNECT, 200, None, Some(0)),
            Err(InvalidResponse::Tunnel)
        );
        assert_eq!(check(&Method::CONNECT, 405, None, Some(0)), Ok(()));
    }

    #[test]
    fn content_length_of_a_204_is_removed() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, 0.into());
        let status = StatusCode::NO_CONTENT;
        assert_eq!(
            reconcile(&Method::GET, status, &mut headers, Some(0), Some(0)),
            Ok(())
        );
        assert!(headers.is_empty());
    }
}
