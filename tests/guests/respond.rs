//! A complete response. Each component here has bindings of its own, so they share a file and no
//! crate.

use crate::bindings::wasi::http::types::{
    Fields, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

/// Sends a response with this status and this text.
pub(crate) fn respond(out: ResponseOutparam, status: u16, text: &str) {
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(status).expect("a status code");
    let body = response.body().expect("the first body");
    ResponseOutparam::set(out, Ok(response));
    if !text.is_empty() {
        let stream = body.write().expect("the first stream");
        // As much as the host takes in one call.
        for part in text.as_bytes().chunks(4096) {
            stream
                .blocking_write_and_flush(part)
                .expect("a client that reads");
        }
    }
    OutgoingBody::finish(body, None).expect("a complete body");
}
