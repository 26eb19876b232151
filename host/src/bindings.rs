//! What `wit/` says, as Rust: generated types and traits for both sides of the boundary.

#![allow(missing_docs, unreachable_pub, clippy::pedantic, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../wit",
    inline: "
        package usher:host;
        world serving {
            import usher:database/database@0.1.0;
            export wasi:http/incoming-handler@0.2.12;
        }
    ",
    world: "usher:host/serving",
    imports: { default: async | trappable },
    exports: { default: async },
    require_store_data_send: true,
    with: {
        "wasi:http": wasmtime_wasi_http::p2::bindings::http,
        "wasi:io": wasmtime_wasi::p2::bindings::io,
        "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
        "usher:database/database.transaction": crate::database::Transaction,
    },
});
