//! Applies a service's migrations before its first request, for hosts that only know `wasi:http`.
//!
//! It imports the service and exports the same handler. While the migrations cannot be applied,
//! requests are answered with 503, the reason is written to standard error, and the next request
//! tries again.
//!
//! | module | contents |
//! |---|---|
//! | `schema` | the migrations, once in an instance |

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package usher:adapters;
            world migrate-first {
                import usher:service/migrations@0.2.0;
                import wasi:cli/stderr@0.2.12;
                import wasi:http/incoming-handler@0.2.12;
                export wasi:http/incoming-handler@0.2.12;
            }
        ",
        world: "usher:adapters/migrate-first",
        generate_all,
    });
    use super::MigrateFirst;
    export!(MigrateFirst);
}

mod schema;

use bindings::exports::wasi::http::incoming_handler::Guest;
use bindings::wasi::cli::stderr;
use bindings::wasi::http::incoming_handler;
use bindings::wasi::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct MigrateFirst;

impl Guest for MigrateFirst {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        if let Err(why) = schema::migrate_once() {
            log(&why);
            return unavailable(out);
        }
        incoming_handler::handle(request, out);
    }
}

/// Writes a line. If nobody reads standard error there is nowhere else to report it.
fn log(line: &str) {
    drop(stderr::get_stderr().blocking_write_and_flush(format!("{line}\n").as_bytes()));
}

fn unavailable(out: ResponseOutparam) {
    const BODY: &[u8] = br#"{"detail":"Service Unavailable"}"#;
    let fields = [
        ("content-type".to_owned(), b"application/json".to_vec()),
        ("content-length".to_owned(), BODY.len().to_string().into()),
        ("retry-after".to_owned(), b"1".to_vec()),
    ];
    let response =
        OutgoingResponse::new(Fields::from_list(&fields).unwrap_or_else(|_| Fields::new()));
    // Fails only for a number that is no status code.
    let _ = response.set_status_code(503);
    let body = response.body();
    ResponseOutparam::set(out, Ok(response));
    if let Ok(body) = body {
        // The client has disconnected, so the response is not needed.
        if let Ok(stream) = body.write() {
            drop(stream.blocking_write_and_flush(BODY));
        }
        drop(OutgoingBody::finish(body, None));
    }
}
