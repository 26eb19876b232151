//! The schemas of requests and responses.

use serde_json::json;
use usher_guest::compat::faults::Problem;
use utoipa::openapi::schema::{
    AnyOfBuilder, ArrayBuilder, ComponentsBuilder, KnownFormat, ObjectBuilder, SchemaFormat,
    SchemaType, Type,
};
use utoipa::openapi::{Ref, Schema};

/// The schemas, by the names that FastAPI gave those it had.
pub(crate) fn components() -> ComponentsBuilder {
    ComponentsBuilder::new()
        .schema("UserCreate", user_create())
        .schema("UserUpdate", user_update())
        .schema("UserResponse", user_response())
        .schema("Error", error())
        .schema("HTTPValidationError", http_validation_error())
        .schema("ValidationError", validation_error())
}

pub(crate) fn reference(name: &str) -> Ref {
    Ref::from_schema_name(name)
}

pub(crate) fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

pub(crate) fn integer() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer)
}

fn name() -> ObjectBuilder {
    string()
        .title(Some("Name"))
        .description(Some("Any text, also none, without U+0000."))
        .pattern(Some(r"^[^\u0000]*$"))
        .examples(["John Doe"])
}

/// Special-use domains, which mail cannot reach.
const SPECIAL_USE: [&str; 6] = ["arpa", "invalid", "local", "localhost", "onion", "test"];

/// An address in a request.
pub(crate) fn email() -> ObjectBuilder {
    // Patterns cannot ignore case: `test` becomes `[tT][eE][sS][tT]`.
    let in_any_case = |c: char| format!("[{c}{}]", c.to_ascii_uppercase());
    let refused = SPECIAL_USE.map(|name| name.chars().map(in_any_case).collect::<String>());
    string()
        .title(Some("Email"))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Email)))
        .pattern(Some(format!(r"^(?!.*\.({})\s*>?\s*$)", refused.join("|"))))
        .max_length(Some(2048))
        .description(Some(
            "An address, also with a domain or local part beyond ASCII, also as `Name <address>`; \
                not one under a special-use \
             name such as `test` or `local`. It is stored normalised.",
        ))
        .examples(["john@example.com"])
}

fn user_create() -> ObjectBuilder {
    ObjectBuilder::new()
        .title(Some("UserCreate"))
        .schema_type(Type::Object)
        .property("name", name())
        .property("email", email())
        .required("name")
        .required("email")
}

fn user_update() -> Schema {
    let either = |field| {
        Schema::from(
            ObjectBuilder::new()
                .schema_type(Type::Object)
                .property("name", name())
                .property("email", email())
                .required(field)
                .build(),
        )
    };
    AnyOfBuilder::new()
        .description(Some("What to change: name, email or both."))
        .item(either("name"))
        .item(either("email"))
        .examples([json!({"name": "John Doe"})])
        .build()
        .into()
}

fn user_response() -> ObjectBuilder {
    ObjectBuilder::new()
        .title(Some("UserResponse"))
        .schema_type(Type::Object)
        .property(
            "id",
            integer()
                .title(Some("Id"))
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
                .examples([1]),
        )
        .property("name", string().title(Some("Name")).examples(["John Doe"]))
        .property(
            "email",
            string()
                .title(Some("Email"))
                .description(Some("The normalised address."))
                .examples(["john@example.com"]),
        )
        .required("id")
        .required("name")
        .required("email")
}

fn error() -> ObjectBuilder {
    ObjectBuilder::new()
        .title(Some("Error"))
        .schema_type(Type::Object)
        .property(
            "detail",
            string()
                .title(Some("Detail"))
                .description(Some("What went wrong.")),
        )
        .required("detail")
}

fn http_validation_error() -> ObjectBuilder {
    ObjectBuilder::new()
        .title(Some("HTTPValidationError"))
        .schema_type(Type::Object)
        .property(
            "detail",
            ArrayBuilder::new()
                .title(Some("Detail"))
                .description(Some("All that is wrong with the request."))
                .items(reference("ValidationError"))
                .min_items(Some(1)),
        )
        .required("detail")
}

fn validation_error() -> ObjectBuilder {
    let part = AnyOfBuilder::new().item(string()).item(integer());
    let kinds = [
        Problem::Missing,
        Problem::NotString,
        Problem::NotUnicode,
        Problem::Unacceptable(String::new()),
        Problem::NotObject,
        Problem::NotJson(""),
        Problem::NotInteger,
        Problem::LessThan(1),
        Problem::GreaterThan(1),
    ];
    ObjectBuilder::new()
        .title(Some("ValidationError"))
        .schema_type(Type::Object)
        .property(
            "type",
            string()
                .title(Some("Error Type"))
                .description(Some("What is wrong, for programs."))
                .enum_values(Some(kinds.map(|problem| problem.kind()))),
        )
        .property(
            "loc",
            ArrayBuilder::new()
                .title(Some("Location"))
                .description(Some(
                    "Where: `body`, `path` or `query`, and the name of the field or parameter, or \
                        the character of the body.",
                ))
                .items(part)
                .min_items(Some(1)),
        )
        .property(
            "msg",
            string().title(Some("Message")).description(Some(
                "What is wrong, for \
            people.",
            )),
        )
        .property(
            "input",
            ObjectBuilder::new()
                .schema_type(SchemaType::AnyValue)
                .title(Some("Input"))
                .description(Some("The offending value.")),
        )
        .property(
            "ctx",
            ObjectBuilder::new()
                .schema_type(Type::Object)
                .title(Some("Context"))
                .description(Some("What the message was made from.")),
        )
        .required("type")
        .required("loc")
        .required("msg")
        .required("input")
}
