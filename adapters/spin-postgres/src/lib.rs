//! `usher:database` over `spin:postgres`, the PostgreSQL of Spin 4.
//!
//! Its address is the variable `database_url` of the component. Statements outside a transaction
//! run on one connection of the instance, and each transaction on a connection of its own. Spin
//! pools connections by their address and does not roll back what an instance leaves open, so
//! transactions have a pool apart: no other statement ever meets a transaction that a trap has
//! left open. The server ends such a transaction after ten seconds, or the next one that takes its
//! connection does.
//!
//! | module | contents |
//! |---|---|
//! | `exports` | the functions of `usher:database` |
//! | `transaction` | a transaction |
//! | `single` | statements outside a transaction |
//! | `outcome` | what a failure means for a statement |
//! | `debug_text` | an error of the database in the debugging output of Spin |
//! | `values` | values, to and from Spin's |
//! | `address` | where the database is |

mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit", "wit/spin-postgres.wit", "wit/spin-variables.wit"],
        inline: "
            package usher:adapters;
            world spin-postgres {
                import spin:postgres/postgres@4.2.0;
                import fermyon:spin/variables@2.0.0;
                export usher:database/database@0.2.0;
                export usher:database/streaming@0.2.0;
            }
        ",
        world: "usher:adapters/spin-postgres",
        with: { "usher:database/types@0.2.0": adapter_common::database::types },
        generate_all,
    });
    use crate::exports::Adapter;
    export!(Adapter);
}

mod address;
mod debug_text;
mod exports;
mod outcome;
mod single;
mod transaction;
mod values;
