//! The exports of a component, as Rust.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    reason = "generated code, documented in wit/"
)]

// The one export that a component must have. Others are looked up where they are used.
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

/// `usher:service/migrations`, which a component may export.
pub mod migrating {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "package usher:host; world migrating { export usher:service/migrations@0.2.0; }",
        world: "usher:host/migrating",
        exports: { default: async },
        require_store_data_send: true,
    });
}

/// `usher:service/migration-plan`, which a component may export.
pub mod planning {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "package usher:host; world planning { export usher:service/migration-plan@0.2.0; }",
        world: "usher:host/planning",
        exports: { default: async },
        require_store_data_send: true,
    });
}

/// `usher:users/users`, the service as typed calls.
pub mod typed {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "package usher:host; world typed { export usher:users/users@0.2.0; }",
        world: "usher:host/typed",
        exports: { default: async },
        require_store_data_send: true,
    });
}
