//! `usher:database` over SQLite in the component's own memory.
//!
//! Composed with a service it gives a component that any host of `wasi:http` can serve. The
//! database lives as long as the instance, and is empty at its start. A call never waits: where the
//! host's SQLite would wait for a lock, the call is `overloaded`.
//!
//! What decides about statements, values and errors is compiled from the host's own files (see
//! `database`), so that both answer alike. There are no deadlines: the component has no clock that
//! could interrupt it, and its host limits the time of a request.
//!
//! | module | contents |
//! |---|---|
//! | `exports` | the functions of `usher:database` |
//! | `database` | SQLite behind them |
//! | `platform` | the clock and the random numbers of WASI, for SQLite |

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package usher:adapters;
            world memory-database {
                import wasi:clocks/wall-clock@0.2.12;
                import wasi:random/random@0.2.12;
                export usher:database/database@0.2.0;
                export usher:database/streaming@0.2.0;
            }
        ",
        world: "usher:adapters/memory-database",
        with: { "usher:database/types@0.2.0": adapter_common::database::types },
        generate_all,
    });
    use crate::exports::Memory;
    export!(Memory);
}

mod database;
mod exports;
mod platform;
