//! Error responses. The body is always `{"detail": …}`.

use super::body;
use crate::compat::faults::{Fault, Location, Problem, faults_to_json};
use crate::users;
use usher_sdk::http::{IncompleteBody, Response};

/// Why a request failed.
#[derive(Debug)]
pub enum Error {
    /// No route has this path.
    NoRoute,
    /// The path has routes, but only for these methods.
    MethodNotAllowed(String),
    /// The client does not accept the only encoding of the document.
    NotAcceptable,
    /// The body is incomplete, or is not text.
    UnreadableBody,
    /// The request has these faults.
    Invalid(Vec<Fault>),
    /// The operation failed.
    Failed(users::Error),
}

impl From<users::Error> for Error {
    fn from(error: users::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<IncompleteBody> for Error {
    fn from(_: IncompleteBody) -> Self {
        Self::UnreadableBody
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Invalid(vec![fault])
    }
}

impl From<body::Error> for Error {
    fn from(error: body::Error) -> Self {
        match error {
            body::Error::Unreadable => Self::UnreadableBody,
            body::Error::Faults(faults) => Self::Invalid(faults),
        }
    }
}

const IN_DOUBT: &str = concat!(
    r#"{"detail":"The database connection was lost: "#,
    r#"whether the change took effect is unknown"}"#,
);

impl From<Error> for Response {
    fn from(error: Error) -> Self {
        use users::Error as Users;
        let detail = |status, body: &'static str| Self::json_text(status, body.as_bytes());
        // The client may retry after this many seconds.
        let busy = |body| detail(503, body).with("retry-after", "1");
        match error {
            Error::NoRoute => detail(404, r#"{"detail":"Not Found"}"#),
            Error::MethodNotAllowed(allow) => {
                detail(405, r#"{"detail":"Method Not Allowed"}"#).with("allow", allow)
            }
            Error::NotAcceptable => detail(
                406,
                r#"{"detail":"Not Acceptable: this document is gzip-encoded"}"#,
            ),
            Error::UnreadableBody => {
                detail(400, r#"{"detail":"There was an error parsing the body"}"#)
            }
            Error::Invalid(faults) => Self::json_text(422, faults_to_json(&faults).into_bytes()),
            Error::Failed(error) => match error {
                Users::NotFound => detail(404, r#"{"detail":"User not found"}"#),
                Users::EmailTaken => detail(409, r#"{"detail":"Email already registered"}"#),
                Users::Referenced => detail(409, r#"{"detail":"Other data refers to this user"}"#),
                Users::Conflict => {
                    detail(409, r#"{"detail":"The change conflicts with other data"}"#)
                }
                Users::Unacceptable => Self::json_text(422, unacceptable().into_bytes()),
                Users::Stale => detail(412, r#"{"detail":"Precondition Failed"}"#),
                Users::Unavailable => busy(r#"{"detail":"Service Unavailable"}"#),
                Users::Timeout => detail(504, r#"{"detail":"Gateway Timeout"}"#),
                Users::InDoubt => busy(IN_DOUBT),
                // The reason is for the operator; the host logs the database's error.
                Users::Internal(_) => detail(500, r#"{"detail":"Internal Server Error"}"#),
            },
        }
    }
}

/// The body of the 422 for values that a column, rule or limit of another program forbids.
fn unacceptable() -> String {
    faults_to_json(&[Fault {
        location: Location::Body,
        problem: Problem::Unacceptable("the database accepts no such user".into()),
        input: "null".into(),
    }])
}
