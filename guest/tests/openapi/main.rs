//! Generates the OpenAPI description from the route table and the service's own responses, and
//! compares it with `openapi.json`, which the component includes.
//!
//! After a change run `USHER_WRITE_OPENAPI=1 cargo test -p usher-guest --test openapi`, and review
//! the difference.

mod answers;
mod failures;
mod operations;
mod schemas;

use std::path::Path;

use usher_guest::api::ROUTES;
use usher_guest::api::routes::Operation;
use usher_sdk::http::Method;
use usher_sdk::routing::Route;
use utoipa::openapi::info::{ContactBuilder, InfoBuilder, LicenseBuilder};
use utoipa::openapi::path::{HttpMethod, PathItem, PathsBuilder};
use utoipa::openapi::server::ServerBuilder;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{OpenApi, OpenApiBuilder};

const ABOUT: &str = "Creates, lists, changes and deletes users. No two users have the same email \
    address.\n\n\
    **Errors.** Every error response is JSON with the field `detail`. In addition to the responses \
    that are listed with each operation, there is 404 for an unknown path; 405 with `Allow` for a \
    method that the path does not have; and 307 with `Location` for a path that differs from a \
    known one only by the slash at its end.\n\n\
    **Concurrent changes.** A response with one user has an `ETag`, and so has each user of a list \
    that is requested with `etag=true`. Send it as `If-Match` with a change, and the change is \
    made only if the user has not been changed in the meantime; otherwise the response is 412.\n\n\
    **HEAD.** Each path that has GET also has HEAD, with the same headers and without a body.\n\n\
    **Authentication.** The service itself does not authenticate its clients. Where its host does, \
    each operation says what it needs.";

fn describe() -> OpenApi {
    let described = ROUTES
        .iter()
        .filter(|Route(_, _, operation)| is_described(*operation));
    let paths = described.fold(
        PathsBuilder::new(),
        |paths, &Route(method, path, operation)| {
            let operation = operations::describe(operation);
            paths.path(path, PathItem::new(http_method(method), operation))
        },
    );
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Usher users")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(ABOUT))
                .contact(Some(
                    ContactBuilder::new()
                        .name(Some("The maintainers of Usher"))
                        .build(),
                ))
                .license(Some(
                    LicenseBuilder::new()
                        .name(env!("CARGO_PKG_LICENSE"))
                        .identifier(Some(env!("CARGO_PKG_LICENSE")))
                        .build(),
                ))
                .build(),
        )
        // Relative to the description, so that it works under a proxy's prefix.
        .servers(Some([ServerBuilder::new()
            .url(".")
            .description(Some("The server from which this description was loaded."))
            .build()]))
        // Explicitly none: a generator then adds no option for credentials.
        .security(Some([]))
        .tags(Some([TagBuilder::new()
            .name("users")
            .description(Some("Users and lists of users."))
            .build()]))
        .paths(paths.build())
        .components(Some(failures::components(schemas::components()).build()))
        .build()
}

/// Whether a client generated from the description should have a method for this operation.
///
/// The description itself and the pages that show it are for generators, browsers and people.
/// `HEAD` is not described either, because its method would return nothing that that of `GET` does
/// not; the description's text says that it exists.
fn is_described(operation: Operation) -> bool {
    !matches!(operation, Operation::Read(_))
}

fn http_method(method: Method) -> HttpMethod {
    match method {
        Method::Get => HttpMethod::Get,
        Method::Post => HttpMethod::Post,
        Method::Put => HttpMethod::Put,
        Method::Patch => HttpMethod::Patch,
        Method::Delete => HttpMethod::Delete,
        Method::Head | Method::Other => panic!("no route has the method {method:?}"),
    }
}

#[test]
fn openapi_file_equals_generated_description() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi.json");
    let generated = describe().to_pretty_json().expect("a description is JSON") + "\n";
    if std::env::var_os("USHER_WRITE_OPENAPI").is_some() {
        std::fs::write(&path, &generated).expect("openapi.json can be written");
    }
    let file =
        std::fs::read_to_string(&path).expect("openapi.json lies at the top of the repository");
    assert!(
        file == generated,
        "openapi.json differs from the generated description: run `USHER_WRITE_OPENAPI=1 cargo \
            test -p usher-guest --test openapi`"
    );
}

#[test]
fn every_route_is_described_except_documents() {
    let description = serde_json::to_value(describe()).expect("a description is JSON");
    let mut undescribed = Vec::new();
    for Route(method, path, _) in ROUTES {
        let method = method.name().to_ascii_lowercase();
        if description["paths"][path][&method].is_null() {
            undescribed.push(*path);
        }
    }
    assert_eq!(
        undescribed,
        [
            "/openapi.json",
            "/docs",
            "/docs/swagger-ui.css",
            "/docs/swagger-ui-bundle.js",
            "/docs/init.js",
            "/docs/oauth2-redirect",
            "/docs/oauth2-redirect.js",
            "/redoc",
            "/redoc/redoc.standalone.js",
        ]
    );
}
