//! The values, results and errors that back ends return and components receive.
//!
//! All but [`Rows`] are generated from `wit/`, so that nothing is converted for a component.

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

/// A buffered result. Not generated, because its column names are shared between the runs of a
/// statement and not copied.
#[derive(ComponentType, Lower, Clone, Debug)]
#[component(record)]
pub struct Rows {
    /// The columns' names, in order.
    #[component(name = "columns")]
    pub columns: Arc<[String]>,
    /// The rows, in the database's order; one row of one value if the statement asks for packed
    /// rows and has several columns.
    #[component(name = "rows")]
    pub rows: Vec<Row>,
}
