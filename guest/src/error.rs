//! The answer to whatever goes wrong: `{"detail": …}`, always.

use crate::http::{BodyError, Response};
use crate::users;
use crate::validation::{self, Fault, Location, Problem, faults_to_json};

/// Why a request gets no answer of its operation.
#[derive(Debug)]
pub enum Error {
    /// No route has this path.
    NoRoute,
    /// The path has routes, for these methods only.
    MethodNotAllowed(String),
    /// The client refuses the one encoding there is.
    NotAcceptable,
    /// The body is over the limit.
    BodyTooLarge,
    /// The body did not arrive whole, or is no text.
    UnreadableBody,
    /// These parts of the request are wrong.
    Invalid(Vec<Fault>),
    /// The operation failed.
    Failed(users::Error),
}

impl From<users::Error> for Error {
    fn from(error: users::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::BodyTooLarge,
            BodyError::Broken => Self::UnreadableBody,
        }
    }
}

impl From<validation::body::Error> for Error {
    fn from(error: validation::body::Error) -> Self {
        match error {
            validation::body::Error::Unreadable => Self::UnreadableBody,
            validation::body::Error::Faults(faults) => Self::Invalid(faults),
        }
    }
}

impl From<Error> for Response {
    fn from(error: Error) -> Self {
        use users::Error as Users;
        let detail = |status, body: &'static str| Self::json(status, body.as_bytes());
        // Clients may come back after this many seconds.
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
            Error::BodyTooLarge => detail(413, r#"{"detail":"Content Too Large"}"#),
            Error::UnreadableBody => {
                detail(400, r#"{"detail":"There was an error parsing the body"}"#)
            }
            Error::Invalid(faults) => Self::json(422, faults_to_json(&faults).into_bytes()),
            Error::Failed(error) => match error {
                Users::NotFound => detail(404, r#"{"detail":"User not found"}"#),
                Users::EmailTaken => detail(409, r#"{"detail":"Email already registered"}"#),
                Users::Referenced => detail(409, r#"{"detail":"Other data refers to this user"}"#),
                Users::Conflict => {
                    detail(409, r#"{"detail":"The change conflicts with other data"}"#)
                }
                Users::Unacceptable => Self::json(422, unacceptable().into_bytes()),
                Users::Stale => detail(412, r#"{"detail":"Precondition Failed"}"#),
                Users::Unavailable => busy(r#"{"detail":"Service Unavailable"}"#),
                Users::Timeout => detail(504, r#"{"detail":"Gateway Timeout"}"#),
                Users::InDoubt => busy(
                    r#"{"detail":"The database connection was lost: whether the change took effect is unknown"}"#,
                ),
                // What went wrong is for the operator, who has it from the host.
                Users::Internal(_) => detail(500, r#"{"detail":"Internal Server Error"}"#),
            },
        }
    }
}

/// A body that is in order, and that the database does not take: a column, rule or limit of another program forbids it.
fn unacceptable() -> String {
    faults_to_json(&[Fault {
        location: Location::Body,
        problem: Problem::Unacceptable("the database accepts no such user".into()),
        input: "null".into(),
    }])
}
