//! A component without routes or database that sends the service's response for one user: what
//! calling a component costs by itself.

mod bindings {
    wit_bindgen::generate!({
        path: "../../../../wit",
        inline: "
            package usher:peers;
            world hello {
                export wasi:http/incoming-handler@0.2.12;
                export usher:service/buffered-handler@0.2.0;
            }
        ",
        world: "usher:peers/hello",
        generate_all,
    });
    use super::Hello;
    export!(Hello);
}

use bindings::exports::usher::service::buffered_handler;
use bindings::exports::wasi::http::incoming_handler;
use bindings::wasi::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

const TYPE: &str = "application/json";
const BODY: &str = r#"{"id":1,"name":"User 1","email":"user.1@example.com"}"#;

struct Hello;

impl buffered_handler::Guest for Hello {
    fn header_fields() -> Vec<buffered_handler::HeaderField> {
        Vec::new()
    }

    fn handle(_: buffered_handler::Request) -> Option<buffered_handler::Response> {
        Some(buffered_handler::Response {
            status: 200,
            content_type: Some(buffered_handler::Content::Json),
            etag: Some("\"1\"".into()),
            fields: Vec::new(),
            body: BODY.into(),
        })
    }
}

impl incoming_handler::Guest for Hello {
    fn handle(_: IncomingRequest, out: ResponseOutparam) {
        let fields = Fields::from_list(&[("content-type".into(), TYPE.into())]);
        let response = OutgoingResponse::new(fields.unwrap_or_else(|_| Fields::new()));
        let body = response.body();
        ResponseOutparam::set(out, Ok(response));
        if let Ok(body) = body {
            // The client has disconnected, so the response is not needed.
            if let Ok(stream) = body.write() {
                drop(stream.blocking_write_and_flush(BODY.as_bytes()));
            }
            drop(OutgoingBody::finish(body, None));
        }
    }
}
