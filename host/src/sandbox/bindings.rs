//! What a component exports, as Rust.

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
            export wasi:http/incoming-handler@0.2.12;
        }
    ",
    world: "usher:host/serving",
    exports: { default: async },
    require_store_data_send: true,
    with: {
        "wasi:http/types": crate::wasi_http::bindings::wasi::http::types,
        "wasi:io": wasmtime_wasi::p2::bindings::io,
        "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
    },
});

/// The component's own schema.
pub mod migrating {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "package usher:host; world migrating { export usher:service/migrations@0.2.0; }",
        world: "usher:host/migrating",
        exports: { default: async },
        require_store_data_send: true,
    });
}

/// What bringing the schema up to date would do, of components that can say so.
pub mod planning {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "package usher:host; world planning { export usher:service/migration-plan@0.2.0; }",
        world: "usher:host/planning",
        exports: { default: async },
        require_store_data_send: true,
    });
}

/// The service as typed calls.
pub mod typed {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "package usher:host; world typed { export usher:users/users@0.2.0; }",
        world: "usher:host/typed",
        exports: { default: async },
        require_store_data_send: true,
    });
}
