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
            import usher:database/database@0.2.0;
            import usher:database/streaming@0.2.0;
            export wasi:http/incoming-handler@0.2.12;
        }
    ",
    world: "usher:host/serving",
    imports: { default: async | trappable },
    exports: { default: async },
    require_store_data_send: true,
    with: {
        "usher:database/types": crate::bindings::database,
        "wasi:http/types": crate::bindings::http::wasi::http::types,
        "wasi:io": wasmtime_wasi::p2::bindings::io,
        "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
        "usher:database/database.transaction": crate::database::Transaction,
        "usher:database/streaming.cursor": crate::database::Cursor,
    },
});

/// Values, results and errors.
pub mod database {
    use std::sync::Arc;

    use wasmtime::component::{ComponentType, Lower};

    mod generated {
        wasmtime::component::bindgen!({
            path: "../wit",
            inline: "package usher:host; world database { import usher:database/types@0.2.0; }",
            world: "usher:host/database",
            imports: { default: async | trappable },
            require_store_data_send: true,
        });
    }

    pub use generated::usher::database::types::{
        Error, Host, HostWithStore, Isolation, Refusal, RefusalKind, Row, SqlDialect, Value,
        add_to_linker,
    };

    /// A whole result. The columns' names are the same whenever a statement runs, so they are shared rather than copied, which is why
    /// this one is not generated.
    #[derive(ComponentType, Lower, Clone, Debug)]
    #[component(record)]
    pub struct Rows {
        /// The columns' names, in order.
        #[component(name = "columns")]
        pub columns: Arc<[String]>,
        /// The rows, in the order in which the database gave them.
        #[component(name = "rows")]
        pub rows: Vec<Row>,
    }
}

/// Requests and responses. None of these calls waits: bodies are written to streams, which do.
pub mod http {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "package usher:host; world http { import wasi:http/types@0.2.12; }",
        world: "usher:host/http",
        imports: { default: trappable },
        require_store_data_send: true,
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:http/types.fields": crate::exchange::fields::Fields,
            "wasi:http/types.incoming-request": crate::exchange::request::IncomingRequest,
            "wasi:http/types.incoming-body": crate::exchange::request::IncomingBody,
            "wasi:http/types.future-trailers": crate::exchange::request::FutureTrailers,
            "wasi:http/types.outgoing-response": crate::exchange::response::OutgoingResponse,
            "wasi:http/types.response-outparam": crate::exchange::response::ResponseOutparam,
            "wasi:http/types.outgoing-body": crate::exchange::body::OutgoingBody,
            "wasi:http/types.outgoing-request": crate::exchange::outgoing::OutgoingRequest,
            "wasi:http/types.request-options": crate::exchange::outgoing::RequestOptions,
            "wasi:http/types.incoming-response": crate::exchange::outgoing::IncomingResponse,
            "wasi:http/types.future-incoming-response": crate::exchange::outgoing::FutureIncomingResponse,
        },
    });
}

/// HTTP in one call, of components that offer it.
pub mod whole {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "package usher:host; world whole { export usher:service/buffered-handler@0.2.0; }",
        world: "usher:host/whole",
        exports: { default: async },
        require_store_data_send: true,
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

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
