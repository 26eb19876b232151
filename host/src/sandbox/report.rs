//! The log lines of requests that a component answered badly. The component chooses when they come and much of what they say,
//! so each kind has so many a second and each text is cut.

use std::fmt;

use http::{Method, StatusCode};

use super::error::CallError;
use super::error::one_line;
use super::processor::Ended;
use crate::database::LastFailure;
use crate::memory::OverLimit;
use crate::telemetry::log::{LINES, LineLimit, excerpt};

/// Whether an answer says that something is wrong with the service. 503 and 504 say that something is wrong with the database, whose
/// loss and return have lines of their own.
fn is_fault(status: StatusCode) -> bool {
    status.is_server_error()
        && status != StatusCode::SERVICE_UNAVAILABLE
        && status != StatusCode::GATEWAY_TIMEOUT
}

/// Says of an answer 500 what failed last at the database. Neither the path nor a value is named.
pub(super) fn answered(status: StatusCode, method: &Method, failed: &LastFailure) {
    if is_fault(status) {
        fault(status, method, failed);
    }
}

#[cold]
fn fault(status: StatusCode, method: &Method, failed: &LastFailure) {
    static FAULTS: LineLimit = LineLimit::new(LINES);
    let Some(line) = FAULTS.line() else { return };
    let (method, status) = (named(method), status.as_u16());
    match failed.take() {
        Some(cause) => tracing::error!(
            "the component answered a {method} with {status}; last at the database: {cause}{line}"
        ),
        None => tracing::error!(
            "the component answered a {method} with {status}; nothing had failed at the database{line}"
        ),
    }
}

/// A method of the standard by its name. Any other is a client's own text.
fn named(method: &Method) -> &str {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ];
    if KNOWN.contains(method) {
        method.as_str()
    } else {
        "request"
    }
}

/// Says why an answer that had begun has no end.
pub(super) fn cut_short(error: &dyn fmt::Display) {
    static CUT: LineLimit = LineLimit::new(LINES);
    if let Some(line) = CUT.line() {
        tracing::error!("a response was cut short: {}{line}", excerpt(error));
    }
}

/// A failure of the component, with what had failed at the database before it.
#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
pub(super) fn failure(error: wasmtime::Error, failed: &LastFailure) -> CallError {
    if let Some(ended) = error.downcast_ref::<Ended>() {
        return match ended {
            Ended::OutOfTime(_) => CallError::Processor(ended.to_string()),
            Ended::Evicted(_) => CallError::Evicted(ended.to_string()),
        };
    }
    if let Some(over @ OverLimit::Host(_)) = error.downcast_ref::<OverLimit>() {
        return CallError::Memory(over.to_string());
    }
    let text = excerpt(one_line(&error));
    CallError::Guest(match failed.take() {
        Some(cause) => format!("{text}; last at the database: {cause}"),
        None => text,
    })
}
