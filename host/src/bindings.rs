//! What `wit/` says, as Rust: generated types and traits for both sides of the boundary.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    reason = "generated code, documented in wit/"
)]

// The host asks of a component only what serving takes; the exports beyond that are looked for where they are needed.
wasmtime::component::bindgen!({
    path: "../wit",
    inline: "
        package usher:host;
        world serving {
            import usher:database/database@0.1.0;
            import usher:database/streaming@0.1.0;
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
        "usher:database/streaming.cursor": crate::database::Cursor,
    },
});

/// The component's own schema.
pub mod migrating {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "package usher:host; world migrating { export usher:users/migrations@0.1.0; }",
        world: "usher:host/migrating",
        exports: { default: async },
        require_store_data_send: true,
    });
}

/// The service as typed calls.
pub mod typed {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "package usher:host; world typed { export usher:users/users@0.1.0; }",
        world: "usher:host/typed",
        exports: { default: async },
        require_store_data_send: true,
    });
}
