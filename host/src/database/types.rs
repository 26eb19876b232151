//! Values, results and errors: what crosses the boundary, and what a back end gives.
//!
//! All but [`Rows`] is generated from `wit/`, so that nothing is converted on its way to a component.

use std::sync::Arc;

use wasmtime::component::{ComponentType, Lower};

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    reason = "generated code, documented in wit/"
)]
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

/// A whole result. The columns' names are the same whenever a statement runs, so they are shared rather than copied, which is
/// why this one is not generated.
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
