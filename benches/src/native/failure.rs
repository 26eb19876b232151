//! Error responses: `{"detail": …}`, with Usher's texts.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use tokio_postgres::error::SqlState;
use usher_guest::compat::faults::{Fault, faults_to_json};
use usher_guest::users::sql::EMAIL_KEY;

/// Why a request fails.
#[derive(Debug)]
pub(super) enum Failure {
    /// No route has this path.
    NoRoute,
    /// The path has routes, but none with this method.
    MethodNotAllowed,
    /// No user has this id.
    NotFound,
    /// Another user has this address.
    EmailTaken,
    /// The user has another version than the client expects.
    Stale,
    /// The body is over the limit.
    BodyTooLarge,
    /// The body did not arrive whole, or is not text.
    UnreadableBody,
    /// These parts of the request are wrong.
    Invalid(Vec<Fault>),
    /// There is no database connection.
    Unavailable,
    /// The database returned an error. The text is for the operator.
    Internal(String),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(refusal)
                if *refusal.code() == SqlState::UNIQUE_VIOLATION
                    && refusal.constraint() == Some(EMAIL_KEY) =>
            {
                Self::EmailTaken
            }
            Some(_) => Self::Internal(error.to_string()),
            None => Self::Unavailable,
        }
    }
}

impl From<deadpool_postgres::PoolError> for Failure {
    fn from(_: deadpool_postgres::PoolError) -> Self {
        Self::Unavailable
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error() {
            Some(code) if code.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE => {
                Self::EmailTaken
            }
            _ => Self::Internal(error.to_string()),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let detail = |status: StatusCode, body: &'static str| {
            (status, [(CONTENT_TYPE, "application/json")], body).into_response()
        };
        match self {
            Self::NoRoute => detail(StatusCode::NOT_FOUND, r#"{"detail":"Not Found"}"#),
            Self::MethodNotAllowed => detail(
                StatusCode::METHOD_NOT_ALLOWED,
                r#"{"detail":"Method Not Allowed"}"#,
            ),
            Self::NotFound => detail(StatusCode::NOT_FOUND, r#"{"detail":"User not found"}"#),
            Self::EmailTaken => detail(
                StatusCode::CONFLICT,
                r#"{"detail":"Email already registered"}"#,
            ),
            Self::Stale => detail(
                StatusCode::PRECONDITION_FAILED,
                r#"{"detail":"Precondition Failed"}"#,
            ),
            Self::BodyTooLarge => detail(
                StatusCode::PAYLOAD_TOO_LARGE,
                r#"{"detail":"Content Too Large"}"#,
            ),
            Self::UnreadableBody => detail(
                StatusCode::BAD_REQUEST,
                r#"{"detail":"There was an error parsing the body"}"#,
            ),
            Self::Invalid(faults) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                [(CONTENT_TYPE, "application/json")],
                faults_to_json(&faults),
            )
                .into_response(),
            Self::Unavailable => (
                [(RETRY_AFTER, "1")],
                detail(
                    StatusCode::SERVICE_UNAVAILABLE,
                    r#"{"detail":"Service Unavailable"}"#,
                ),
            )
                .into_response(),
            Self::Internal(error) => {
                eprintln!("the database refused: {error}");
                detail(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    r#"{"detail":"Internal Server Error"}"#,
                )
            }
        }
    }
}
