//! `wasi:http` and `usher:service/buffered-handler` as Rust: generated types and traits.
//!
//! This file is part of the crate's one circle of imports: bindgen's `with:` names the types of
//! the interface's resources, and the files of these types implement the generated traits.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    reason = "generated code, documented in wit/"
)]

// No call of this interface waits; only the streams of bodies do.
wasmtime::component::bindgen!({
    path: "../wit",
    inline: "
        package usher:host;
        world http {
            import wasi:http/types@0.2.12;
            import wasi:http/outgoing-handler@0.2.12;
        }
    ",
    world: "usher:host/http",
    imports: { default: trappable },
    require_store_data_send: true,
    with: {
        "wasi:io": wasmtime_wasi::p2::bindings::io,
        "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
        "wasi:http/types.fields": crate::wasi_http::fields::Fields,
        "wasi:http/types.incoming-request": crate::wasi_http::request::IncomingRequest,
        "wasi:http/types.incoming-body": crate::wasi_http::request::IncomingBody,
        "wasi:http/types.future-trailers": crate::wasi_http::request::FutureTrailers,
        "wasi:http/types.outgoing-response": crate::wasi_http::response::OutgoingResponse,
        "wasi:http/types.response-outparam": crate::wasi_http::response::ResponseOutparam,
        "wasi:http/types.outgoing-body": crate::wasi_http::body::OutgoingBody,
        "wasi:http/types.outgoing-request": crate::wasi_http::outgoing::OutgoingRequest,
        "wasi:http/types.request-options": crate::wasi_http::outgoing::RequestOptions,
        "wasi:http/types.incoming-response": crate::wasi_http::outgoing::IncomingResponse,
        "wasi:http/types.future-incoming-response":
            crate::wasi_http::outgoing::FutureIncomingResponse,
    },
});

/// `usher:service/buffered-handler`, which a component may export.
pub mod buffered {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "
            package usher:host;
            world buffered {
                export usher:service/buffered-handler@0.2.0;
            }
        ",
        world: "usher:host/buffered",
        exports: { default: async },
        require_store_data_send: true,
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}
