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
use usher_guest::api::documents::Document;
use usher_guest::api::http::Method;
use usher_guest::api::routes::{Operation, Route};
use utoipa::openapi::info::{InfoBuilder, LicenseBuilder};
use utoipa::openapi::path::{HttpMethod, PathItem, PathsBuilder};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{OpenApi, OpenApiBuilder, Server};

const ABOUT: &str = "Users, each with an address that no other has.\n\n\
    Every error is JSON with a `detail`. Besides what is listed with each operation: an unknown \
    path is answered with 404; a path \
    that differs from a known one only by the slash at its end with 307 to that one; a known path \
    with a method it does not have \
    with 405, and in `Allow` the methods it has. \
    Changes are lost to nobody who sends the `ETag` of what was read as `If-Match` of what is \
    written.";

fn describe() -> OpenApi {
    // Parts of pages are not an interface.
    let described = ROUTES
        .iter()
        .filter(|Route(_, _, operation)| !is_part_of_a_page(*operation));
    let paths = described.fold(
        PathsBuilder::new(),
        |paths, &Route(method, path, operation)| {
            let mut item = PathItem::new(
                http_method(method),
                operations::describe(method, path, operation),
            );
            if method == Method::Get {
                let head = operations::describe(Method::Head, path, operation);
                item.merge_operations(PathItem::new(HttpMethod::Head, head));
            }
            paths.path(path, item)
        },
    );
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Usher users")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(ABOUT))
                .license(Some(
                    LicenseBuilder::new()
                        .name(env!("CARGO_PKG_LICENSE"))
                        .identifier(Some(env!("CARGO_PKG_LICENSE")))
                        .build(),
                ))
                .build(),
        )
        // Relative to the description, so that it works under a proxy's prefix.
        .servers(Some([Server::new(".")]))
        .tags(Some([
            TagBuilder::new()
                .name("users")
                .description(Some("Users."))
                .build(),
            TagBuilder::new()
                .name("documentation")
                .description(Some("This description, and pages that show it."))
                .build(),
        ]))
        .paths(paths.build())
        .components(Some(failures::components(schemas::components()).build()))
        .build()
}

fn is_part_of_a_page(operation: Operation) -> bool {
    match operation {
        Operation::Read(Document::OpenApi | Document::SwaggerUi | Document::ReDoc) => false,
        Operation::Read(_) => true,
        _ => false,
    }
}

fn http_method(method: Method) -> HttpMethod {
    match method {
        Method::Get => HttpMethod::Get,
        Method::Head => HttpMethod::Head,
        Method::Post => HttpMethod::Post,
        Method::Put => HttpMethod::Put,
        Method::Patch => HttpMethod::Patch,
        Method::Delete => HttpMethod::Delete,
        Method::Other => panic!("a route has a method that no client can name"),
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
