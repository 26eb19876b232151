//! The failures. Their statuses, headers and bodies are the service's own responses.

use usher_guest::api::error::Error;
use usher_guest::api::http::Response;
use usher_guest::compat::faults::{Fault, Location, Problem};
use usher_guest::users;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::{self, ResponseBuilder};
use utoipa::openapi::schema::ComponentsBuilder;

use super::schemas::{integer, reference, string};

/// A failure that several operations share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    BadRequest,
    UserNotFound,
    RequestTimeout,
    EmailTaken,
    Referenced,
    Stale,
    BodyTooLarge,
    TargetTooLong,
    Invalid(Part),
    HeadersTooLarge,
    Internal,
    Unavailable,
    UnavailableOrInDoubt,
    Timeout,
    // These belong to no operation.
    NoRoute,
    MethodNotAllowed,
}

/// The part of a request that is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Body,
    Path,
    PathAndBody,
    Query,
}

/// The body of the host's 413.
const BODY_TOO_LARGE: &str = r#"{"detail":"Request body too large"}"#;

const ALL: [Failure; 19] = [
    Failure::BadRequest,
    Failure::NoRoute,
    Failure::UserNotFound,
    Failure::MethodNotAllowed,
    Failure::RequestTimeout,
    Failure::EmailTaken,
    Failure::Referenced,
    Failure::Stale,
    Failure::BodyTooLarge,
    Failure::TargetTooLong,
    Failure::Invalid(Part::Body),
    Failure::Invalid(Part::Path),
    Failure::Invalid(Part::PathAndBody),
    Failure::Invalid(Part::Query),
    Failure::HeadersTooLarge,
    Failure::Internal,
    Failure::Unavailable,
    Failure::UnavailableOrInDoubt,
    Failure::Timeout,
];

impl Failure {
    /// The name among the components, and the description.
    pub(crate) fn about(self) -> (&'static str, &'static str) {
        match self {
            Self::BadRequest => (
                "BadRequest",
                "The request is no HTTP, or its body is incomplete or no text",
            ),
            Self::UserNotFound => ("UserNotFound", "No user has this id"),
            Self::RequestTimeout => ("RequestTimeout", "The body took too long to arrive"),
            Self::EmailTaken => (
                "EmailTaken",
                "Another user has this address; or, as `detail` then says, a constraint of the \
                    database's own forbids the change",
            ),
            Self::Referenced => (
                "Referenced",
                "Other data refers to this user, or a constraint of the database's own forbids it",
            ),
            Self::Stale => ("Stale", "The user is not, or no longer, as `If-Match` says"),
            Self::BodyTooLarge => ("BodyTooLarge", "The body is too large"),
            Self::TargetTooLong => ("TargetTooLong", "The address is too long"),
            Self::Invalid(Part::Body) => ("InvalidBody", "The body will not do"),
            Self::Invalid(Part::Path) => ("InvalidPath", "The id is no integer"),
            Self::Invalid(Part::PathAndBody) => {
                ("InvalidPathOrBody", "The id or the body will not do")
            }
            Self::Invalid(Part::Query) => ("InvalidQuery", "The query will not do"),
            Self::HeadersTooLarge => ("HeadersTooLarge", "The headers are too large"),
            Self::Internal => ("InternalServerError", "The service is at fault"),
            Self::Unavailable => (
                "Unavailable",
                "The service is busy or has no database. Nothing happened",
            ),
            Self::UnavailableOrInDoubt => (
                "UnavailableOrInDoubt",
                "The service is busy or has no database and nothing happened; or, as `detail` \
                    then says, the database was lost \
                 and whether the change took effect is unknown",
            ),
            Self::Timeout => ("Timeout", "The service took too long. Nothing happened"),
            Self::NoRoute => ("NotFound", "Nothing has this path"),
            Self::MethodNotAllowed => ("MethodNotAllowed", "The path does not have this method"),
        }
    }

    /// The status.
    pub(crate) fn status(self) -> u16 {
        match self {
            // The host sends these without calling the component.
            Self::RequestTimeout => 408,
            Self::TargetTooLong => 414,
            Self::HeadersTooLarge => 431,
            _ => {
                self.answers()
                    .first()
                    .expect("the service answers with this")
                    .status
            }
        }
    }

    /// The responses.
    fn answers(self) -> Vec<Response> {
        let errors = match self {
            Self::BadRequest => vec![Error::UnreadableBody],
            Self::UserNotFound => vec![users::Error::NotFound.into()],
            Self::EmailTaken => vec![
                users::Error::EmailTaken.into(),
                users::Error::Conflict.into(),
            ],
            Self::Referenced => vec![
                users::Error::Referenced.into(),
                users::Error::Conflict.into(),
            ],
            Self::Stale => vec![users::Error::Stale.into()],
            // The host limits bodies. `tests/` compares its response with this one.
            Self::BodyTooLarge => {
                return vec![Response::json(413, BODY_TOO_LARGE.as_bytes())];
            }
            Self::Invalid(part) => vec![Error::Invalid(part.faults())],
            Self::Internal => vec![users::Error::Internal(String::new()).into()],
            Self::Unavailable => vec![users::Error::Unavailable.into()],
            Self::UnavailableOrInDoubt => vec![
                users::Error::Unavailable.into(),
                users::Error::InDoubt.into(),
            ],
            Self::Timeout => vec![users::Error::Timeout.into()],
            Self::NoRoute => vec![Error::NoRoute],
            Self::MethodNotAllowed => vec![Error::MethodNotAllowed("POST, GET, HEAD".into())],
            Self::RequestTimeout | Self::TargetTooLong | Self::HeadersTooLarge => Vec::new(),
        };
        errors.into_iter().map(Response::from).collect()
    }

    /// The description.
    pub(crate) fn response(self) -> ResponseBuilder {
        let answers = self.answers();
        let headers =
            answers
                .iter()
                .flat_map(|answer| &answer.headers)
                .map(|(name, _)| match *name {
                    "retry-after" => {
                        let seconds = integer()
                            .minimum(Some(0))
                            .description(Some("When to come back, in seconds."));
                        (
                            "Retry-After",
                            HeaderBuilder::new().schema(Some(seconds)).build(),
                        )
                    }
                    "allow" => {
                        let methods = string().description(Some("The methods that the path has."));
                        ("Allow", HeaderBuilder::new().schema(Some(methods)).build())
                    }
                    other => panic!("the header {other} of an error is not described"),
                });
        headers.fold(
            ResponseBuilder::new().description(self.about().1),
            |response, (name, header)| response.header(name, header),
        )
    }

    fn with_body(self) -> response::Response {
        let schema = match self {
            Self::Invalid(_) => "HTTPValidationError",
            _ => "Error",
        };
        let examples = self.answers().into_iter().enumerate().map(|(i, answer)| {
            let value = serde_json::from_slice(&answer.body).expect("an error is JSON");
            (
                format!("{}", i + 1),
                ExampleBuilder::new().value(Some(value)).build(),
            )
        });
        let content = ContentBuilder::new()
            .schema(Some(reference(schema)))
            .examples_from_iter(examples);
        self.response()
            .content("application/json", content.build())
            .build()
    }
}

impl Part {
    fn faults(self) -> Vec<Fault> {
        let fault = |location, problem, input: &str| Fault {
            location,
            problem,
            input: input.into(),
        };
        let body = || {
            fault(
                Location::Field("name"),
                Problem::Missing,
                r#"{"email":"john@example.com"}"#,
            )
        };
        let path = || fault(Location::Path("user_id"), Problem::NotInteger, r#""one""#);
        match self {
            Self::Body => vec![body()],
            Self::Path => vec![path()],
            Self::PathAndBody => vec![path(), body()],
            Self::Query => vec![fault(
                Location::Query("limit"),
                Problem::LessThan(1),
                r#""0""#,
            )],
        }
    }
}

/// Adds all failures to the components.
pub(crate) fn components(components: ComponentsBuilder) -> ComponentsBuilder {
    ALL.into_iter().fold(components, |components, failure| {
        components.response(failure.about().0, failure.with_body())
    })
}
