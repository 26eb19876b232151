//! The operations: parameters, bodies and responses.

use usher_guest::api::ndjson::NDJSON;
use usher_guest::api::routes::Operation;
use usher_guest::users::PAGE_LIMIT;
use usher_sdk::http::JSON;
use utoipa::openapi::content::Content;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::link::{Link, LinkBuilder};
use utoipa::openapi::path::{self, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{Ref, Required};

use super::failures::{Failure, Part};
use super::schemas::{email, etag, integer, reference, string};

const AFTER: &str = "Only users whose id is greater than this.\n\n\
    PostgreSQL assigns an id before the user is committed, so a user may appear with a smaller id \
    than one that was already listed. To poll for new users without missing any, continue after \
    the greatest id that was listed a minute ago, and skip the users that you have already seen: \
    a user is committed at most one request timeout (30 seconds by default) after its id is \
    assigned.";

const LIST: &str = "Returns one page of users in ascending order of their ids. If there are more, \
    the response has a `Link` header with the address of the next page. If a query parameter is \
    repeated, its last value is used; unknown parameters are ignored.\n\n\
    With an `Accept` header that prefers `application/x-ndjson` to `application/json` the response \
    is that of `GET /users.ndjson` instead.";

const STREAM: &str = "Returns all users that match, in ascending order of their ids and as they \
    were at one moment, as newline-delimited JSON: a `ListedUser` on each line. The users are sent \
    while they are read from the database, so there is no limit on their number. If reading fails \
    after the first line, the server closes the connection before the end of the body, and the \
    client reports an incomplete response.";

/// Describes one operation.
pub(crate) fn describe(operation: Operation) -> path::Operation {
    let About {
        id,
        summary,
        description,
    } = about(operation);
    let mut described = OperationBuilder::new()
        .tag("users")
        .summary(Some(summary))
        .description(Some(description))
        .operation_id(Some(id));
    for parameter in parameters(operation) {
        described = described.parameter(parameter);
    }
    if let Some(schema) = body(operation) {
        let body = RequestBodyBuilder::new()
            .required(Some(Required::True))
            .content(JSON, Content::new(Some(reference(schema))));
        described = described.request_body(Some(body.build()));
    }
    let (status, answer) = success(operation);
    described = described.response(status.to_string(), answer);
    if operation == Operation::GetUser {
        let unchanged = ResponseBuilder::new()
            .description("The user still has an `ETag` that `If-None-Match` names.");
        described = described.response("304", with_headers(unchanged, operation).build());
    }
    for failure in failures(operation) {
        let reference = Ref::from_response_name(failure.about().0);
        described = described.response(failure.status().to_string(), reference);
    }
    described.build()
}

struct About {
    /// Names the method of a generated client.
    id: &'static str,
    summary: &'static str,
    description: &'static str,
}

fn about(operation: Operation) -> About {
    let (id, summary, description) = match operation {
        Operation::CreateUser => (
            "createUser",
            "Create a user",
            "Stores a new user and returns it with its id. The status is 200, not 201.",
        ),
        Operation::GetUser => ("getUser", "Get a user", "Returns the user with this id."),
        Operation::ReplaceUser => (
            "replaceUser",
            "Replace a user's name and email",
            "Sets the name and the email address of an existing user. It never creates a user.",
        ),
        Operation::ChangeUser => (
            "updateUser",
            "Change a user's name or email",
            "Sets the name, the email address or both. A field that is absent keeps its value.",
        ),
        Operation::DeleteUser => (
            "deleteUser",
            "Delete a user",
            "Deletes the user with this id.",
        ),
        Operation::ListUsers => ("listUsers", "List users", LIST),
        Operation::StreamUsers => ("streamUsers", "List all users as NDJSON", STREAM),
        Operation::Read(document) => panic!("{document:?} is not described"),
    };
    About {
        id,
        summary,
        description,
    }
}

fn parameters(operation: Operation) -> Vec<Parameter> {
    match operation {
        Operation::CreateUser => Vec::new(),
        Operation::GetUser => vec![user_id(), if_none_match()],
        Operation::ReplaceUser | Operation::ChangeUser | Operation::DeleteUser => {
            vec![user_id(), if_match()]
        }
        Operation::ListUsers => {
            let about = "The maximum number of users on the page. A page of large users has \
                fewer, so only `Link` tells whether there are more.";
            let limit = limit().default(Some(100.into()));
            list_parameters(parameter("limit", ParameterIn::Query, about).schema(Some(limit)))
        }
        Operation::StreamUsers => {
            let about = "The maximum number of users. Without it all users are listed.";
            list_parameters(parameter("limit", ParameterIn::Query, about).schema(Some(limit())))
        }
        Operation::Read(document) => panic!("{document:?} is not described"),
    }
}

fn list_parameters(limit: ParameterBuilder) -> Vec<Parameter> {
    let query = |name, about| parameter(name, ParameterIn::Query, about);
    let etag = "If `true`, each user of the list has the field `etag`, so that it can be changed \
        with `If-Match` without another GET.";
    let boolean = ObjectBuilder::new().schema_type(Type::Boolean);
    vec![
        limit.build(),
        query("after", AFTER)
            .schema(Some(integer().default(Some(0.into()))))
            .build(),
        query(
            "email",
            "Only the user with this email address. It may be written as in a request body.",
        )
        .schema(Some(email()))
        .build(),
        query("etag", etag)
            .schema(Some(boolean.default(Some(false.into()))))
            .build(),
    ]
}

fn limit() -> ObjectBuilder {
    integer().minimum(Some(1)).maximum(Some(PAGE_LIMIT))
}

fn parameter(name: &str, location: ParameterIn, description: &str) -> ParameterBuilder {
    let required = if location == ParameterIn::Path {
        Required::True
    } else {
        Required::False
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(location)
        .required(required)
        .description(Some(description))
}

fn user_id() -> Parameter {
    parameter("user_id", ParameterIn::Path, "The id of the user.")
        .schema(Some(integer()))
        .build()
}

fn if_match() -> Parameter {
    parameter(
        "If-Match",
        ParameterIn::Header,
        "Change the user only if its current `ETag` is one of these. `*` stands for any.",
    )
    .schema(Some(string()))
    .build()
}

fn if_none_match() -> Parameter {
    parameter(
        "If-None-Match",
        ParameterIn::Header,
        "Return 304 without a body if the current `ETag` of the user is one of these.",
    )
    .schema(Some(string()))
    .build()
}

fn body(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::CreateUser | Operation::ReplaceUser => Some("UserCreate"),
        Operation::ChangeUser => Some("UserUpdate"),
        _ => None,
    }
}

fn success(operation: Operation) -> (u16, Response) {
    let user = || Some((JSON, Content::new(Some(reference("UserResponse")))));
    let (status, description, content) = match operation {
        Operation::CreateUser => (200, "The new user.", user()),
        Operation::GetUser => (200, "The user.", user()),
        Operation::ReplaceUser | Operation::ChangeUser => {
            (200, "The user after the change.", user())
        }
        Operation::DeleteUser => (204, "The user is deleted.", None),
        Operation::ListUsers => {
            let users = ArrayBuilder::new()
                .items(reference("ListedUser"))
                .max_items(usize::try_from(PAGE_LIMIT).ok());
            let content = Content::new(Some(users));
            (200, "A page of users.", Some((JSON, content)))
        }
        Operation::StreamUsers => {
            // OpenAPI 3.1 cannot describe the lines of a text.
            let lines = string().description(Some("A `ListedUser` as JSON on each line."));
            let content = Content::new(Some(lines));
            (200, "The users, one per line.", Some((NDJSON, content)))
        }
        Operation::Read(document) => panic!("{document:?} is not described"),
    };
    let answer = with_headers(ResponseBuilder::new().description(description), operation);
    let answer = match content {
        Some((kind, content)) => answer.content(kind, content),
        None => answer,
    };
    let answer = if operation == Operation::CreateUser {
        with_links(answer)
    } else {
        answer
    };
    (status, answer.build())
}

fn with_headers(response: ResponseBuilder, operation: Operation) -> ResponseBuilder {
    let names: &[&str] = match operation {
        Operation::CreateUser
        | Operation::GetUser
        | Operation::ReplaceUser
        | Operation::ChangeUser => &["ETag"],
        Operation::ListUsers => &["Link", "Vary"],
        _ => &[],
    };
    names.iter().fold(response, |response, name| {
        response.header(*name, header(name))
    })
}

fn header(name: &str) -> Header {
    let (schema, description) = match name {
        "ETag" => (
            etag(),
            "The entity tag of the user. Every change gives the user another one.",
        ),
        "Link" => (
            string(),
            "`<ADDRESS>; rel=\"next\"` if there are more users. The address is relative to that of \
                the request.",
        ),
        "Vary" => (
            string(),
            "`accept`: the request header on which the form of the response depends.",
        ),
        other => panic!("nothing is known of the header {other}"),
    };
    HeaderBuilder::new()
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

/// Links from a new user to its operations.
fn with_links(response: ResponseBuilder) -> ResponseBuilder {
    [
        Operation::GetUser,
        Operation::ReplaceUser,
        Operation::ChangeUser,
        Operation::DeleteUser,
    ]
    .into_iter()
    .fold(response, |response, operation| {
        response.link(about(operation).id, link_to(operation))
    })
}

fn link_to(operation: Operation) -> Link {
    LinkBuilder::new()
        .operation_id(about(operation).id)
        .parameter("user_id", "$response.body#/id")
        .build()
}

fn failures(operation: Operation) -> Vec<Failure> {
    use Failure as F;
    let mut failures = vec![F::BadRequest];
    failures.extend_from_slice(match operation {
        Operation::CreateUser => &[
            F::RequestTimeout,
            F::EmailTaken,
            F::BodyTooLarge,
            F::Invalid(Part::Body),
        ],
        Operation::GetUser => &[F::UserNotFound, F::Stale, F::Invalid(Part::Path)],
        Operation::ReplaceUser | Operation::ChangeUser => &[
            F::UserNotFound,
            F::RequestTimeout,
            F::EmailTaken,
            F::Stale,
            F::BodyTooLarge,
            F::Invalid(Part::PathAndBody),
        ],
        Operation::DeleteUser => &[
            F::UserNotFound,
            F::Referenced,
            F::Stale,
            F::Invalid(Part::Path),
        ],
        Operation::ListUsers | Operation::StreamUsers => &[F::Stale, F::Invalid(Part::Query)],
        Operation::Read(document) => panic!("{document:?} is not described"),
    });
    let writes = !matches!(
        operation,
        Operation::GetUser | Operation::ListUsers | Operation::StreamUsers
    );
    let unavailable = if writes {
        F::UnavailableOrInDoubt
    } else {
        F::Unavailable
    };
    failures.extend([
        F::TargetTooLong,
        F::HeadersTooLarge,
        F::Internal,
        unavailable,
        F::Timeout,
    ]);
    failures
}
