//! The operations: parameters, bodies and responses.

use usher_guest::api::documents::Document;
use usher_guest::api::http::{JSON, Method};
use usher_guest::api::ndjson::NDJSON;
use usher_guest::api::routes::Operation;
use usher_guest::users::PAGE_LIMIT;
use utoipa::openapi::content::Content;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::link::{Link, LinkBuilder};
use utoipa::openapi::path::{self, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder};
use utoipa::openapi::{Ref, Required};

use super::failures::{Failure, Part};
use super::schemas::{email, integer, reference, string};

const AFTER: &str = "Only users with a greater id.\n\n\
    Ids are given out before users are stored, so one with a smaller id may appear after one with \
    a greater id has been listed. \
    Who asks again and again for what is new misses nobody with an `after` that was the greatest \
    id listed a minute ago, \
    leaving out those seen since: no user is stored later than a request may take (30 seconds by \
    default) after the id is given out.";

const USER: &str = "/users/{user_id}";

/// Describes one operation. For `HEAD` it leaves out the bodies.
pub(crate) fn describe(method: Method, path: &str, operation: Operation) -> path::Operation {
    let About {
        function,
        tag,
        summary,
        description,
    } = about(operation);
    let head = method == Method::Head;
    let mut described = OperationBuilder::new()
        .tag(tag)
        .summary(Some(if head {
            format!("{summary}, headers alone")
        } else {
            summary.into()
        }))
        .description(description)
        .operation_id(Some(operation_id(method, path, function)));
    for parameter in parameters(operation) {
        described = described.parameter(parameter);
    }
    if let Some(schema) = body(operation) {
        let body = RequestBodyBuilder::new()
            .required(Some(Required::True))
            .content(JSON, Content::new(Some(reference(schema))));
        described = described.request_body(Some(body.build()));
    }
    let (status, answer) = success(operation, head);
    described = described.response(status.to_string(), answer);
    if has_tag(operation) {
        let unchanged = ResponseBuilder::new()
            .description("The client has it already, as `If-None-Match` says");
        described = described.response("304", with_headers(unchanged, operation, true).build());
    }
    for failure in failures(operation) {
        let status = failure.status().to_string();
        described = if head {
            described.response(status, failure.response().build())
        } else {
            described.response(status, Ref::from_response_name(failure.about().0))
        };
    }
    described.build()
}

/// The id that FastAPI derives from a function's name.
fn operation_id(method: Method, path: &str, function: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let path: String = path.chars().map(word).collect();
    format!("{function}{path}_{}", method.name().to_ascii_lowercase())
}

struct About {
    /// The first two are FastAPI's, the others follow their form.
    function: &'static str,
    tag: &'static str,
    summary: &'static str,
    description: Option<&'static str>,
}

fn about(operation: Operation) -> About {
    let users = |function, summary, description| About {
        function,
        tag: "users",
        summary,
        description,
    };
    let documentation = |function, summary| About {
        function,
        tag: "documentation",
        summary,
        description: None,
    };
    match operation {
        Operation::CreateUser => users("create_user_route", "Create a user", None),
        Operation::GetUser => users("get_user_route", "Get a user", None),
        Operation::ReplaceUser => users(
            "replace_user_route",
            "Replace a user's name and email",
            None,
        ),
        Operation::ChangeUser => users(
            "update_user_route",
            "Change a user's name or email",
            Some("What is not given stays as it is. At least one of the two has to be given."),
        ),
        Operation::DeleteUser => users("delete_user_route", "Delete a user", None),
        Operation::ListUsers => users(
            "list_users_route",
            "List users",
            Some(
                "A page of users by ascending id. Where there are more, `Link` says where. Of a \
                    parameter that is given more \
                 than once the last one counts; others are ignored.\n\n\
                 Where `Accept` weighs `application/x-ndjson` above `application/json`, it is not \
                 a page but every user, as they \
                 are at that moment, one JSON object per line: without `limit` as many as there \
                 are. They are sent as they are \
                 read. Where that fails after the first line the connection is closed within the \
                 body, whose last chunk is \
                 missing then.",
            ),
        ),
        Operation::Read(Document::OpenApi) => documentation("openapi", "Get this description"),
        Operation::Read(Document::SwaggerUi) => {
            documentation("swagger_ui_html", "Get the page of Swagger UI")
        }
        Operation::Read(Document::ReDoc) => documentation("redoc_html", "Get the page of ReDoc"),
        Operation::Read(other) => panic!("{other:?} is a part of a page"),
    }
}

fn parameters(operation: Operation) -> Vec<Parameter> {
    match operation {
        Operation::CreateUser => Vec::new(),
        Operation::GetUser => vec![user_id(), if_none_match()],
        Operation::ReplaceUser | Operation::ChangeUser | Operation::DeleteUser => {
            vec![user_id(), if_match()]
        }
        Operation::ListUsers => vec![
            parameter(
                "limit",
                ParameterIn::Query,
                "At most this many users: fewer where they are large, so that only `Link` tells \
                    whether there are more. \
                 Not 100 but all where they come line by line.",
            )
            .schema(Some(
                integer()
                    .title(Some("Limit"))
                    .minimum(Some(1))
                    .maximum(Some(PAGE_LIMIT))
                    .default(Some(100.into())),
            ))
            .build(),
            parameter("after", ParameterIn::Query, AFTER)
                .schema(Some(integer().title(Some("After")).default(Some(0.into()))))
                .build(),
            parameter(
                "email",
                ParameterIn::Query,
                "Only the user with this address, which is normalised first.",
            )
            .schema(Some(email()))
            .build(),
        ],
        Operation::Read(_) => vec![if_none_match()],
    }
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
    parameter("user_id", ParameterIn::Path, "The user's id.")
        .schema(Some(integer().title(Some("User Id"))))
        .build()
}

fn if_match() -> Parameter {
    parameter(
        "If-Match",
        ParameterIn::Header,
        "Go ahead only if the user's `ETag` is one of these, or on `*` if there is a user.",
    )
    .schema(Some(string()))
    .build()
}

fn if_none_match() -> Parameter {
    parameter(
        "If-None-Match",
        ParameterIn::Header,
        "Answer 304 if the `ETag` is one of these.",
    )
    .schema(Some(string()))
    .build()
}

fn body(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::CreateUser | Operation::ReplaceUser => Some("UserCreate"),
        Operation::ChangeUser => Some("UserUpdate"),
        Operation::GetUser | Operation::DeleteUser | Operation::ListUsers | Operation::Read(_) => {
            None
        }
    }
}

/// Whether the response has an entity tag for `If-None-Match`.
fn has_tag(operation: Operation) -> bool {
    matches!(operation, Operation::GetUser | Operation::Read(_))
}

fn success(operation: Operation, head: bool) -> (u16, Response) {
    let user = || Content::new(Some(reference("UserResponse")));
    let (status, description, content) = match operation {
        Operation::CreateUser => (200, "The new user", Some((JSON, user()))),
        Operation::GetUser => (200, "The user", Some((JSON, user()))),
        Operation::ReplaceUser | Operation::ChangeUser => {
            (200, "The user as it now is", Some((JSON, user())))
        }
        Operation::DeleteUser => (204, "The user is deleted", None),
        Operation::ListUsers => {
            let users = ArrayBuilder::new()
                .title(Some("Users"))
                .items(reference("UserResponse"))
                .max_items(usize::try_from(PAGE_LIMIT).ok());
            (
                200,
                "A page of users",
                Some((JSON, Content::new(Some(users)))),
            )
        }
        Operation::Read(Document::OpenApi) => {
            let any = ObjectBuilder::new().description(Some("An OpenAPI 3.1 document."));
            (
                200,
                "This description",
                Some((JSON, Content::new(Some(any)))),
            )
        }
        Operation::Read(_) => (
            200,
            "The page",
            Some(("text/html; charset=utf-8", Content::new(Some(string())))),
        ),
    };
    let answer = with_headers(
        ResponseBuilder::new().description(description),
        operation,
        false,
    );
    let answer = match content {
        Some((kind, content)) if !head => answer.content(kind, content),
        _ => answer,
    };
    let answer = if operation == Operation::ListUsers && !head {
        answer.content(NDJSON, Content::new(Some(ndjson())))
    } else {
        answer
    };
    let answer = if operation == Operation::CreateUser {
        with_links(answer)
    } else {
        answer
    };
    (status, answer.build())
}

/// OpenAPI 3.1 cannot describe the lines of a text.
fn ndjson() -> ObjectBuilder {
    string().description(Some("A `UserResponse` in JSON on each line."))
}

fn with_headers(
    response: ResponseBuilder,
    operation: Operation,
    unchanged: bool,
) -> ResponseBuilder {
    let names: &[&str] = match operation {
        Operation::CreateUser
        | Operation::GetUser
        | Operation::ReplaceUser
        | Operation::ChangeUser => &["ETag"],
        Operation::DeleteUser => &[],
        Operation::ListUsers => &["Link", "Vary"],
        Operation::Read(_) if unchanged => &["ETag", "Cache-Control"],
        Operation::Read(Document::OpenApi) => &["ETag", "Cache-Control", "X-Content-Type-Options"],
        Operation::Read(_) => &[
            "ETag",
            "Cache-Control",
            "Content-Security-Policy",
            "X-Content-Type-Options",
        ],
    };
    names.iter().fold(response, |response, name| {
        response.header(*name, header(name))
    })
}

fn header(name: &str) -> Header {
    let (schema, description) = match name {
        "ETag" => (
            string().pattern(Some("^\"[^\"]+\"$")),
            "Changes whenever what is served changes.",
        ),
        "Link" => (
            string(),
            "`<address of the next page>; rel=\"next\"`, where there is one. The address is \
                relative to the request's.",
        ),
        "Vary" => (
            string(),
            "What of a request decided in what form it was answered.",
        ),
        "Cache-Control" => (string(), "Whether it may be used again without asking."),
        "Content-Security-Policy" => (string(), "What the page may load and do."),
        "X-Content-Type-Options" => (
            string().enum_values(Some(["nosniff"])),
            "The content type is what it says.",
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
        ("GetUser", Method::Get, Operation::GetUser),
        ("ReplaceUser", Method::Put, Operation::ReplaceUser),
        ("ChangeUser", Method::Patch, Operation::ChangeUser),
        ("DeleteUser", Method::Delete, Operation::DeleteUser),
    ]
    .into_iter()
    .fold(response, |response, (name, method, operation)| {
        response.link(name, to(method, operation))
    })
}

fn to(method: Method, operation: Operation) -> Link {
    LinkBuilder::new()
        .operation_id(operation_id(method, USER, about(operation).function))
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
        Operation::GetUser => &[F::UserNotFound, F::Invalid(Part::Path)],
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
        Operation::ListUsers => &[F::Invalid(Part::Query)],
        Operation::Read(_) => &[],
    });
    let writes = !matches!(
        operation,
        Operation::GetUser | Operation::ListUsers | Operation::Read(_)
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
