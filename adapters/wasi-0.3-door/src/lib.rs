//! `wasi:http/handler` of WASI 0.3 before a service for WASI 0.2.
//!
//! It applies the service's migrations before the first request, as `migrate-first` does for WASI
//! 0.2. It receives a request as a whole, passes it to the service's `streamed-handler`, and sends
//! the response while the service reads it. The service and its database stay as they are, with
//! plain functions: while one of them runs, so does nothing else of the instance.
//!
//! | module | contents |
//! |---|---|
//! | `request` | a request, as the service takes it |
//! | `response` | a response, and the body that is sent after it |
//! | `schema` | the migrations, once in an instance |

mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit", "wit/clocks.wit", "wit/http.wit"],
        inline: "
            package usher:adapters;
            world wasi-0-3-door {
                import usher:service/buffered-handler@0.2.0;
                import usher:service/migrations@0.2.0;
                import usher:service/streamed-handler@0.2.0;
                export wasi:http/handler@0.3.0;
            }
        ",
        world: "usher:adapters/wasi-0-3-door",
        generate_all,
    });
    use super::Door;
    export!(Door);
}

mod request;
mod response;
#[path = "../../migrate-first/src/schema.rs"]
mod schema;

use bindings::exports::wasi::http0_3_0::handler::Guest;
use bindings::usher::service::streamed_handler;
use bindings::wasi::http0_3_0::types::{ErrorCode, Request, Response};

struct Door;

impl Guest for Door {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        schema::migrate_once().map_err(|why| ErrorCode::InternalError(Some(why)))?;
        let request = request::receive(request).await?;
        let (response, chunks) = streamed_handler::handle(&request);
        response::send(response, chunks, request.method)
    }
}
