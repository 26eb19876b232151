//! The schemas of requests and responses.

use serde_json::json;
use usher_guest::compat::faults::Problem;
use utoipa::openapi::schema::{
    AnyOfBuilder, ArrayBuilder, ComponentsBuilder, KnownFormat, ObjectBuilder, SchemaFormat,
    SchemaType, Type,
};
use utoipa::openapi::{Ref, Schema};

/// The schemas. Generated clients make a type of each, by its name, which therefore hides no type
/// of a language's own, such as `Error`. FastAPI's names are kept.
pub(crate) fn components() -> ComponentsBuilder {
    ComponentsBuilder::new()
        .schema("UserCreate", user_create())
        .schema("UserUpdate", user_update())
        .schema("UserUpdateWithName", user_update_with("name"))
        .schema("UserUpdateWithEmail", user_update_with("email"))
        .schema("UserResponse", user_response())
        .schema("ListedUser", listed_user())
        .schema("ErrorResponse", error_response())
        .schema("HTTPValidationError", http_validation_error())
        .schema("ValidationError", validation_error())
        .schema("ValidationErrorType", validation_error_type())
        .schema("ValidationErrorLocation", validation_error_location())
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
        .description(Some(
            "The name. It may be empty, and may not contain the character U+0000.",
        ))
        .pattern(Some(r"^[^\u0000]*$"))
        .examples(["John Doe"])
}

/// An address in a request.
///
/// `format` alone says what is accepted. A pattern that also excluded the special-use domains would
/// have to spell each letter in both cases.
pub(crate) fn email() -> ObjectBuilder {
    string()
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Email)))
        .max_length(Some(2048))
        .examples(["john@example.com"])
}

fn new_email() -> ObjectBuilder {
    email().description(Some(
        "The email address, which may have characters beyond ASCII. `Name <address>` is also \
            accepted. An address under a special-use domain (`arpa`, `invalid`, `local`, \
            `localhost`, `onion`, `test`) is refused. It is stored in its normalised form.",
    ))
}

/// The entity tag of a user.
pub(crate) fn etag() -> ObjectBuilder {
    string().pattern(Some("^\"[^\"]+\"$")).examples(["\"1\""])
}

fn user_create() -> ObjectBuilder {
    ObjectBuilder::new()
        .description(Some("The name and the email address of a user."))
        .schema_type(Type::Object)
        .property("name", name())
        .property("email", new_email())
        .required("name")
        .required("email")
}

/// The two cases have names, because generators would number them.
fn user_update() -> Schema {
    AnyOfBuilder::new()
        .description(Some("A new name, a new email address or both."))
        .item(reference("UserUpdateWithName"))
        .item(reference("UserUpdateWithEmail"))
        .examples([json!({"name": "John Doe"})])
        .build()
        .into()
}

fn user_update_with(required: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .description(Some(format!("A change of at least the {required}.")))
        .schema_type(Type::Object)
        .property("name", name())
        .property("email", new_email())
        .required(required)
}

fn user_response() -> ObjectBuilder {
    stored_user().description(Some("A stored user."))
}

fn listed_user() -> ObjectBuilder {
    let etag = etag().description(Some(
        "The entity tag of the user, for `If-Match`. Only present with `etag=true` in the query.",
    ));
    stored_user()
        .description(Some("A stored user in a list."))
        .property("etag", etag)
}

fn stored_user() -> ObjectBuilder {
    let id = integer()
        .description(Some("Identifies the user."))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .examples([1]);
    let name = string()
        .description(Some("The name."))
        .examples(["John Doe"]);
    let email = string()
        .description(Some("The email address in its normalised form."))
        .examples(["john@example.com"]);
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("id", id)
        .property("name", name)
        .property("email", email)
        .required("id")
        .required("name")
        .required("email")
}

fn error_response() -> ObjectBuilder {
    ObjectBuilder::new()
        .description(Some("The reason why a request failed."))
        .schema_type(Type::Object)
        .property(
            "detail",
            string().description(Some("The reason, for people.")),
        )
        .required("detail")
}

fn http_validation_error() -> ObjectBuilder {
    ObjectBuilder::new()
        .description(Some("Everything that is wrong with a request."))
        .schema_type(Type::Object)
        .property(
            "detail",
            ArrayBuilder::new()
                .description(Some("The errors, those of the path first."))
                .items(reference("ValidationError"))
                .min_items(Some(1)),
        )
        .required("detail")
}

fn validation_error() -> ObjectBuilder {
    ObjectBuilder::new()
        .description(Some("One error of a request."))
        .schema_type(Type::Object)
        .property("type", reference("ValidationErrorType"))
        .property(
            "loc",
            ArrayBuilder::new()
                .description(Some(
                    "Where the error is: `body`, `path` or `query`, then the name of the field or \
                        parameter. For a body that is not JSON, then the position of the \
                        character.",
                ))
                .items(reference("ValidationErrorLocation"))
                .min_items(Some(1)),
        )
        .property(
            "msg",
            string().description(Some("What is wrong, for people.")),
        )
        .property(
            "input",
            ObjectBuilder::new()
                .schema_type(SchemaType::AnyValue)
                .description(Some("The value that is wrong.")),
        )
        .property(
            "ctx",
            ObjectBuilder::new()
                .schema_type(Type::Object)
                .description(Some("The values that `msg` contains.")),
        )
        .required("type")
        .required("loc")
        .required("msg")
        .required("input")
}

fn validation_error_type() -> ObjectBuilder {
    let kinds = [
        Problem::Missing,
        Problem::NotString,
        Problem::NotUnicode,
        Problem::Unacceptable(String::new()),
        Problem::NotObject,
        Problem::NotJson(""),
        Problem::NotInteger,
        Problem::NotBoolean,
        Problem::LessThan(1),
        Problem::GreaterThan(1),
    ];
    string()
        .description(Some("What is wrong, for programs."))
        .enum_values(Some(kinds.map(|problem| problem.kind())))
}

fn validation_error_location() -> Schema {
    AnyOfBuilder::new()
        .description(Some("A part of the place of an error."))
        .item(string())
        .item(integer())
        .build()
        .into()
}
