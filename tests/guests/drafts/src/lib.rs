//! A component that imports interfaces of WASI that are still drafts, `wasi:logging` and
//! `wasi:config` in each of its versions, and does as its request's path says.

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package usher:drafts;
            world drafts {
                import wasi:logging/logging@0.1.0-draft;
                export wasi:http/incoming-handler@0.2.12;
            }
        ",
        world: "usher:drafts/drafts",
        generate_all,
    });
    use super::Drafts;
    export!(Drafts);
}

use bindings::exports::wasi::http::incoming_handler::Guest;
use bindings::wasi::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use bindings::wasi::logging::logging::{Level, log};

struct Drafts;

impl Guest for Drafts {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        drop(request);
        let text = run(&path);
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("its first body");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("its first stream");
        stream
            .blocking_write_and_flush(text.as_bytes())
            .expect("a reader");
        drop(stream);
        OutgoingBody::finish(body, None).expect("the body is complete");
    }
}

fn run(path: &str) -> String {
    match path {
        "/levels" => {
            log(Level::Trace, "steps", "a step");
            log(Level::Debug, "steps", "a detail");
            log(Level::Info, "orders", "an order of\ntwo lines");
            log(Level::Warn, "", "a line without a context");
            log(Level::Error, "orders", "a failure");
            log(Level::Critical, "orders", "the end");
        }
        "/long" => log(Level::Info, &"c".repeat(1 << 20), &"m".repeat(1 << 20)),
        "/flood" => {
            for number in 0..10_000 {
                log(Level::Info, "flood", &format!("line {number}"));
            }
        }
        "/quiet-flood" => {
            for number in 0..10_000 {
                log(Level::Debug, "flood", &format!("line {number}"));
            }
            log(Level::Info, "flood", "the end");
        }
        path => return format!("{path} is unknown"),
    }
    String::new()
}
