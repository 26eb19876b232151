//! Logs requests on which the component failed.
//!
//! The component decides how often these lines come and chooses much of their text, so each kind of
//! line is limited to [`LINES`] a second and each text is cut.

use std::fmt;

use http::StatusCode;
use wasmtime_wasi::I32Exit;

use super::error::CallError;
use super::error::one_line;
use super::processor::Ended;
use crate::database::LastFailure;
use crate::memory::OverLimit;
use crate::telemetry::RequestInfo;
use crate::telemetry::log::{LINES, LineLimit, excerpt};
use crate::telemetry::request::Blame;

/// Whether a status reports a fault of the service. 503 and 504 report one of the database, whose
/// loss and return are logged elsewhere.
fn is_fault(status: StatusCode) -> bool {
    status.is_server_error()
        && status != StatusCode::SERVICE_UNAVAILABLE
        && status != StatusCode::GATEWAY_TIMEOUT
}

/// Notes who is to blame for a server error. Logs a fault with what last failed at the database,
/// without the path or any value.
pub(super) fn server_error(status: StatusCode, request: &RequestInfo, failed: &LastFailure) {
    if status.is_server_error() {
        error(status, request, failed);
    }
}

#[cold]
fn error(status: StatusCode, request: &RequestInfo, failed: &LastFailure) {
    static FAULTS: LineLimit = LineLimit::new(LINES);
    request.blame(if failed.is_of_database() {
        Blame::Database
    } else {
        Blame::Component
    });
    if !is_fault(status) {
        return;
    }
    let Some(line) = FAULTS.line() else { return };
    let (id, method, route) = (request.id(), request.method(), request.route());
    let status = status.as_u16();
    match failed.take() {
        Some(cause) => tracing::error!(
            id = %id,
            trace = request.trace(),
            method = %method,
            route = %route,
            "the component answered a {method} with {status}; last at the database: {cause}{line}"
        ),
        None => tracing::error!(
            id = %id,
            trace = request.trace(),
            method = %method,
            route = %route,
            "the component answered a {method} with {status}; \
             nothing had failed at the database{line}"
        ),
    }
}

/// Logs why a response ended before it was complete.
pub(super) fn cut_short(error: &dyn fmt::Display, request: &RequestInfo) {
    static CUT: LineLimit = LineLimit::new(LINES);
    request.cut_short(Blame::Component);
    if let Some(line) = CUT.line() {
        tracing::error!(
            id = %request.id(),
            trace = request.trace(),
            method = %request.method(),
            route = %request.route(),
            "a response was cut short: {}{line}",
            excerpt(error)
        );
    }
}

/// An error of the component, with what last failed at the database.
#[expect(clippy::needless_pass_by_value, reason = "as `map_err` passes it")]
pub(super) fn failure(error: wasmtime::Error, failed: &LastFailure) -> CallError {
    if let Some(ended) = error.downcast_ref::<Ended>() {
        return match ended {
            Ended::OutOfTime(_) => CallError::Processor(ended.to_string()),
            Ended::Evicted(_) => CallError::Evicted(ended.to_string()),
        };
    }
    if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
        let text = format!("it exited with status {status} (wasi:cli/exit) before it returned");
        return CallError::Guest(text);
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
