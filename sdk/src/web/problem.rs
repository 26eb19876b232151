//! Error responses as `application/problem+json` (RFC 9457).

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap as _, SerializeStruct as _, Serializer};

use super::error::Error;
use super::row::RowError;
use crate::database::{Error as DatabaseError, Refusal, RefusalKind};
use crate::http::Response;

/// An error response. `?` makes one of each error of the database and of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem(Box<Parts>);

/// In a box, since nearly every function returns a result with it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    status: u16,
    type_uri: Option<Cow<'static, str>>,
    detail: Option<Cow<'static, str>>,
    faults: Vec<Fault>,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The transaction that it ends conflicted with another one, and can be run again.
    conflict: Option<DatabaseError>,
}

/// One fault of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it is.
    pub place: Place,
    /// What is wrong.
    pub detail: Cow<'static, str>,
}

/// A part of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A part of the body, by its JSON pointer as a URI fragment, such as `#/title`.
    Body(String),
    /// The parameter of this name in the path or in the query.
    Parameter(Cow<'static, str>),
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fault = serializer.serialize_struct("Fault", 2)?;
        match &self.place {
            Place::Body(pointer) => fault.serialize_field("pointer", pointer)?,
            Place::Parameter(name) => fault.serialize_field("parameter", name)?,
        }
        fault.serialize_field("detail", &self.detail)?;
        fault.end()
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut problem = serializer.serialize_map(None)?;
        let parts = &self.0;
        if let Some(uri) = &parts.type_uri {
            problem.serialize_entry("type", uri)?;
        }
        problem.serialize_entry("title", title(parts.status))?;
        problem.serialize_entry("status", &parts.status)?;
        if let Some(detail) = &parts.detail {
            problem.serialize_entry("detail", detail)?;
        }
        if !parts.faults.is_empty() {
            problem.serialize_entry("errors", &parts.faults)?;
        }
        problem.end()
    }
}

impl Problem {
    /// A problem with this status, whose title is the status's own.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self(Box::new(Parts {
            status,
            type_uri: None,
            detail: None,
            faults: Vec::new(),
            headers: Vec::new(),
            conflict: None,
        }))
    }

    /// 404.
    #[must_use]
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(404).detail(detail)
    }

    /// 409.
    #[must_use]
    pub fn conflict(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(409).detail(detail)
    }

    /// 422 for this field of the body.
    #[must_use]
    pub fn invalid(field: &str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(422).fault(Place::Body(format!("#/{field}")), detail)
    }

    /// The same with this explanation for the client.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// The same with the URI of its type. Without one the status says all.
    #[must_use]
    pub fn type_uri(mut self, uri: impl Into<Cow<'static, str>>) -> Self {
        self.0.type_uri = Some(uri.into());
        self
    }

    /// The same with one more fault of the request.
    #[must_use]
    pub fn fault(mut self, place: Place, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        self.0.faults.push(Fault { place, detail });
        self
    }

    /// The same with one more header, whose name is in lower case.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.0.headers.push((name, value.into()));
        self
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// The conflict that ended a transaction, which can be run again.
    pub(super) fn into_conflict(mut self) -> Result<DatabaseError, Self> {
        match self.0.conflict.take() {
            Some(error) => Ok(error),
            None => Err(self),
        }
    }

    /// Nothing happened, and a retry may succeed.
    fn busy(detail: &'static str) -> Self {
        Self::new(503).detail(detail).header("retry-after", "1")
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        // Text and numbers alone, so that it cannot fail.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        Self {
            status: problem.0.status,
            content_type: Some("application/problem+json"),
            headers: problem.0.headers,
            body: body.into(),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Database(error) => error.into(),
            Error::Row(error) => error.into(),
            Error::NoRow => Self::not_found("there is no such entry"),
        }
    }
}

impl From<RowError> for Problem {
    fn from(error: RowError) -> Self {
        // It names columns and types, but no data.
        Self::new(500).detail(error.to_string())
    }
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        match &error {
            DatabaseError::Unavailable(_) => Self::busy("the database is not reachable"),
            DatabaseError::Overloaded => Self::busy("the database is busy"),
            DatabaseError::Timeout => {
                Self::new(504).detail("the database took too long, and nothing was changed")
            }
            DatabaseError::InDoubt => in_doubt(),
            DatabaseError::Invalid(_) => {
                Self::new(422).detail("the database accepts no such value")
            }
            DatabaseError::Denied(_) | DatabaseError::TooLarge(_) => Self::new(500),
            DatabaseError::Refused(refusal) => {
                let mut problem = of_refusal(refusal);
                if refusal.kind == RefusalKind::SerializationFailure {
                    problem.0.conflict = Some(error);
                }
                problem
            }
        }
    }
}

fn in_doubt() -> Problem {
    Problem::busy(
        "the connection to the database was lost: whether the change took effect is unknown",
    )
}

/// By the kind, else by the class of the SQLSTATE (PostgreSQL, Appendix A). The database's message
/// is for the operator, whose log the host writes.
fn of_refusal(refusal: &Refusal) -> Problem {
    let forbidden = || Problem::new(422).detail("the database accepts no such values");
    match refusal.kind {
        RefusalKind::UniqueViolation => return Problem::conflict("there is such an entry already"),
        RefusalKind::ForeignKeyViolation => {
            return Problem::conflict(
                "an entry that this one refers to is missing, or another one refers to it",
            );
        }
        RefusalKind::NotNullViolation | RefusalKind::CheckViolation => return forbidden(),
        RefusalKind::SerializationFailure => {
            return Problem::busy("the change conflicted with others");
        }
        RefusalKind::Other => {}
    }
    let code = refusal.code.as_str();
    match (code.get(..2).unwrap_or_default(), code) {
        // division_by_zero: no value of the client.
        ("22", "22012") => Problem::new(500),
        ("22" | "44", _) | (_, "54000") => forbidden(),
        ("23", _) | (_, "P0001") => Problem::conflict("the change conflicts with other data"),
        // statement_completion_unknown.
        ("40", "40003") => in_doubt(),
        // transaction_timeout.
        (_, "25P04") => Problem::new(504),
        // read_only_sql_transaction, lock_not_available, connection, authorization, resources,
        // operator intervention, system errors.
        (_, "25006" | "55P03" | "42501") | ("08" | "28" | "53" | "57" | "58", _) => {
            Problem::busy("the database cannot be used now")
        }
        _ => Problem::new(500),
    }
}

/// The reason phrase of a status (RFC 9110, 15).
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        409 => "Conflict",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Problem};
    use crate::database::{Error, Refusal, RefusalKind};
    use crate::http::Response;

    fn refused(kind: RefusalKind, code: &str) -> Problem {
        Problem::from(Error::Refused(Refusal {
            kind,
            code: code.into(),
            message: "secret".into(),
            constraint: None,
            column: None,
        }))
    }

    #[test]
    fn problem_is_sent_as_problem_json_with_its_faults() {
        let problem = Problem::invalid("title", "too long")
            .detail("no")
            .fault(Place::Parameter("limit".into()), "not a number");
        let response = Response::from(problem);
        assert_eq!(response.content_type, Some("application/problem+json"));
        assert_eq!(
            String::from_utf8_lossy(&response.body),
            concat!(
                r##"{"title":"Unprocessable Content","status":422,"detail":"no","errors":["##,
                r##"{"pointer":"#/title","detail":"too long"},"##,
                r##"{"parameter":"limit","detail":"not a number"}]}"##,
            )
        );
    }

    #[test]
    fn database_error_maps_to_status() {
        use RefusalKind as Kind;
        for (status, problem) in [
            (503, Problem::from(Error::Unavailable("secret".into()))),
            (503, Problem::from(Error::Overloaded)),
            (503, Problem::from(Error::InDoubt)),
            (504, Problem::from(Error::Timeout)),
            (422, Problem::from(Error::Invalid("secret".into()))),
            (500, Problem::from(Error::Denied("secret".into()))),
            (500, Problem::from(Error::TooLarge(1))),
            (409, refused(Kind::UniqueViolation, "23505")),
            (409, refused(Kind::ForeignKeyViolation, "23503")),
            (422, refused(Kind::NotNullViolation, "23502")),
            (422, refused(Kind::CheckViolation, "23514")),
            (503, refused(Kind::SerializationFailure, "40001")),
            (422, refused(Kind::Other, "22001")),
            (503, refused(Kind::Other, "57P01")),
            (500, refused(Kind::Other, "42P01")),
            (500, refused(Kind::Other, "é")),
        ] {
            assert_eq!(problem.status(), status, "{problem:?}");
            let is_retried = problem
                .0
                .headers
                .iter()
                .any(|(name, _)| *name == "retry-after");
            assert_eq!(is_retried, status == 503, "{problem:?}");
            let response = Response::from(problem);
            assert!(!String::from_utf8_lossy(&response.body).contains("secret"));
        }
    }

    #[test]
    fn in_doubt_problem_says_that_the_outcome_is_unknown() {
        let response = Response::from(Problem::from(Error::InDoubt));
        assert!(String::from_utf8_lossy(&response.body).contains("unknown"));
    }
}
