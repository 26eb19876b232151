//! The failures. Their statuses, headers and bodies are the service's own responses.

use usher_guest::api::error::Error;
use usher_guest::compat::faults::{Fault, Location, Problem};
use usher_guest::users;
use usher_sdk::http::Response;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::{self, ResponseBuilder};
use utoipa::openapi::schema::ComponentsBuilder;

use super::schemas::{integer, reference};

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

const ALL: [Failure; 17] = [
    Failure::BadRequest,
    Failure::UserNotFound,
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
                "The request is not valid HTTP, or its body is incomplete or cannot be decoded.",
            ),
            Self::UserNotFound => ("UserNotFound", "There is no user with this id."),
            Self::RequestTimeout => ("RequestTimeout", "The body did not arrive in time."),
            Self::EmailTaken => (
                "EmailTaken",
                "Another user has this email address, or a constraint of the database forbids the \
                    change. `detail` says which.",
            ),
            Self::Referenced => (
                "UserReferenced",
                "Other data refers to this user, or a constraint of the database forbids the \
                    deletion. `detail` says which.",
            ),
            Self::Stale => (
                "PreconditionFailed",
                "The current `ETag` is not one of those in `If-Match`. For a change, it is one of \
                    those in `If-None-Match`.",
            ),
            Self::BodyTooLarge => ("BodyTooLarge", "The body is too large."),
            Self::TargetTooLong => ("TargetTooLong", "The path and the query are too long."),
            Self::Invalid(Part::Body) => ("InvalidBody", "The body is invalid."),
            Self::Invalid(Part::Path) => ("InvalidPath", "The id is not an integer."),
            Self::Invalid(Part::PathAndBody) => {
                ("InvalidPathOrBody", "The id or the body is invalid.")
            }
            Self::Invalid(Part::Query) => ("InvalidQuery", "A query parameter is invalid."),
            Self::HeadersTooLarge => ("HeadersTooLarge", "The headers are too large."),
            Self::Internal => (
                "InternalServerError",
                "The service failed. Its log says why.",
            ),
            Self::Unavailable => (
                "Unavailable",
                "The service is overloaded or cannot reach its database.",
            ),
            Self::UnavailableOrInDoubt => (
                "UnavailableOrInDoubt",
                "The service is overloaded or cannot reach its database, and nothing was changed; \
                    or the connection to the database was lost, and it is unknown whether the \
                    change took effect. `detail` says which.",
            ),
            Self::Timeout => ("Timeout", "The request took too long. Nothing was changed."),
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
                    .1
                    .status
            }
        }
    }

    /// The responses, each with the name of its example.
    fn answers(self) -> Vec<(&'static str, Response)> {
        let unavailable = ("unavailable", users::Error::Unavailable.into());
        let conflict = ("constraint", users::Error::Conflict.into());
        let errors: Vec<(_, Error)> = match self {
            Self::BadRequest => vec![("undecodableBody", Error::UnreadableBody)],
            Self::UserNotFound => vec![("userNotFound", users::Error::NotFound.into())],
            Self::EmailTaken => vec![("emailTaken", users::Error::EmailTaken.into()), conflict],
            Self::Referenced => vec![
                ("userReferenced", users::Error::Referenced.into()),
                conflict,
            ],
            Self::Stale => vec![("preconditionFailed", users::Error::Stale.into())],
            // The host limits bodies. `tests/` compares its response with this one.
            Self::BodyTooLarge => {
                let response = Response::json_text(413, BODY_TOO_LARGE.as_bytes());
                return vec![("bodyTooLarge", response)];
            }
            Self::Invalid(part) => vec![("invalid", Error::Invalid(part.faults()))],
            Self::Internal => vec![("failed", users::Error::Internal(String::new()).into())],
            Self::Unavailable => vec![unavailable],
            Self::UnavailableOrInDoubt => {
                vec![unavailable, ("inDoubt", users::Error::InDoubt.into())]
            }
            Self::Timeout => vec![("timeout", users::Error::Timeout.into())],
            Self::RequestTimeout | Self::TargetTooLong | Self::HeadersTooLarge => Vec::new(),
        };
        let response = |(name, error)| (name, Response::from(error));
        errors.into_iter().map(response).collect()
    }

    fn response(self) -> ResponseBuilder {
        let answers = self.answers();
        let names = answers.iter().flat_map(|(_, answer)| &answer.headers);
        names.fold(
            ResponseBuilder::new().description(self.about().1),
            |response, (name, _)| match *name {
                "retry-after" => {
                    let header = HeaderBuilder::new()
                        .description(Some("How many seconds to wait before another attempt."))
                        .schema(Some(integer().minimum(Some(0))));
                    response.header("Retry-After", header.build())
                }
                other => panic!("the header {other} of an error is not described"),
            },
        )
    }

    fn with_body(self) -> response::Response {
        let schema = match self {
            Self::Invalid(_) => "HTTPValidationError",
            _ => "ErrorResponse",
        };
        let examples = self.answers().into_iter().map(|(name, answer)| {
            let value = serde_json::from_slice(&answer.body).expect("an error is JSON");
            (name, ExampleBuilder::new().value(Some(value)).build())
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
