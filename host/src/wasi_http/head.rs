//! What the head of a guest's response may say: a status that ends an exchange, and a length that agrees with the body.
//!
//! A head that says otherwise makes two readers of one connection disagree where a message ends (RFC 9112, 6.3), so it is put right
//! where that changes nothing for the client, and refused where the guest has contradicted itself.

use std::fmt;

use http::{HeaderMap, Method, StatusCode, header};

/// Why a response is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsound {
    /// No status, or none that ends an exchange.
    Status(u16),
    /// A tunnel, which there is none of.
    Tunnel,
    /// A body with a status that has none.
    Content(StatusCode, usize),
    /// Another length than the body's.
    Length {
        /// What the head says.
        promised: u64,
        /// What there is.
        given: usize,
    },
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) => write!(
                f,
                "it answered with the status {code}, which does not end an exchange (200 to 599 do)"
            ),
            Self::Tunnel => f.write_str("it answered a CONNECT with a tunnel"),
            Self::Content(status, bytes) => write!(
                f,
                "it answered with the status {} and a body of {bytes} bytes, which that has none of",
                status.as_u16()
            ),
            Self::Length { promised, given } => write!(
                f,
                "it promised a body of {promised} bytes (content-length) and gave {given}"
            ),
        }
    }
}

impl std::error::Error for Unsound {}

/// The status of a response, which ends an exchange: no 1xx, and none of a class that HTTP has not.
pub(crate) fn status(code: u16) -> Result<StatusCode, Unsound> {
    match StatusCode::from_u16(code) {
        Ok(status) if (200..=599).contains(&code) => Ok(status),
        _ => Err(Unsound::Status(code)),
    }
}

/// Leaves out what would announce trailers of a body that is all here, and so has none.
pub(crate) fn without_trailers(headers: &mut HeaderMap) {
    headers.remove(header::TRAILER);
}

/// Has a head agree with its body, of which so many bytes are here; none where it is still to be written, and its length is held
/// to what was promised while it is.
pub(crate) fn agree(
    method: &Method,
    status: StatusCode,
    headers: &mut HeaderMap,
    promised: Option<u64>,
    body: Option<usize>,
) -> Result<(), Unsound> {
    if *method == Method::CONNECT && status.is_success() {
        return Err(Unsound::Tunnel);
    }
    match status {
        StatusCode::NO_CONTENT => {
            headers.remove(header::CONTENT_LENGTH);
        }
        // Its length is that of what the client has already (RFC 9110, 8.6).
        StatusCode::NOT_MODIFIED => {}
        // The same of what it would have been sent.
        _ if *method == Method::HEAD && body.is_none_or(|given| given == 0) => return Ok(()),
        _ => {
            if let (Some(promised), Some(given)) = (promised, body)
                && promised != given as u64
            {
                return Err(Unsound::Length { promised, given });
            }
            if status != StatusCode::RESET_CONTENT {
                return Ok(());
            }
        }
    }
    match body {
        Some(given) if given > 0 => Err(Unsound::Content(status, given)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_that_ends_no_exchange_is_refused() {
        for code in [0, 99, 100, 101, 103, 199, 600, 999, 1000, u16::MAX] {
            assert_eq!(status(code), Err(Unsound::Status(code)));
        }
        for code in [200, 204, 304, 418, 599] {
            assert_eq!(status(code).map(|status| status.as_u16()), Ok(code));
        }
    }

    #[test]
    fn length_that_disagrees_with_the_body_is_refused_but_where_there_is_none() {
        let mut headers = HeaderMap::new();
        let mut check = |method: &Method, code, promised, body| {
            let status = status(code).expect("a status");
            agree(method, status, &mut headers, promised, body)
        };
        let (get, head) = (Method::GET, Method::HEAD);
        let differs = |promised, given| Err(Unsound::Length { promised, given });
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
            Err(Unsound::Tunnel)
        );
        assert_eq!(check(&Method::CONNECT, 405, None, Some(0)), Ok(()));
    }

    #[test]
    fn length_of_a_204_is_taken_out() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, 0.into());
        let status = StatusCode::NO_CONTENT;
        assert_eq!(
            agree(&Method::GET, status, &mut headers, Some(0), Some(0)),
            Ok(())
        );
        assert!(headers.is_empty());
    }
}
