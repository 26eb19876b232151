//! `usher:database` over `wasmcloud:postgres`, the PostgreSQL of wasmCloud 2.
//!
//! Each statement is one call, on any connection of the host. The interface has no transactions, so
//! `begin` is `denied`, and the service's migrations must have run before. An error of the database
//! is recognised by the SQLSTATE in its text. After any other failure of a statement that may
//! write, the outcome is `in-doubt`.
//!
//! | module | contents |
//! |---|---|
//! | `exports` | the functions of `usher:database` |
//! | `values` | values, to and from wasmCloud's |
//! | `calls` | one statement, and what its failure means |

mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit", "wit"],
        inline: "
            package usher:adapters;
            world wasmcloud-postgres {
                import wasmcloud:postgres/query@0.1.1-draft;
                import wasmcloud:postgres/prepared@0.1.1-draft;
                export usher:database/database@0.2.0;
                export usher:database/streaming@0.2.0;
            }
        ",
        world: "usher:adapters/wasmcloud-postgres",
        with: { "usher:database/types@0.2.0": adapter_common::database::types },
        generate_all,
    });
    use crate::exports::Adapter;
    export!(Adapter);
}

mod calls;
mod exports;
mod values;
