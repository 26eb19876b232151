//! The database is late, lost, refuses, and returns.
//!
//! | module | what it tests |
//! |---|---|
//! | `restart` | a database that is away at the start, or lost and returns |
//! | `crash` | PostgreSQL killed under load |
//! | `pooled` | PostgreSQL, or the pooler in front of it, killed under load |
//! | `cut` | connections cut during a statement or a COMMIT, stalled, slow |
//! | `refusal` | a database that refuses: replica, privileges, password, connections, disk |
//! | `demotion` | a healthy server that accepts no more writes |
//! | `ledger` | the writes of all clients and their outcomes, compared with the database |
//! | `bench` | a server process, a database of its own, and clients that write continuously |
//!
//! The figures of every outage are printed by `cargo test --test suite outage:: -- --nocapture`.

mod bench;
mod crash;
mod cut;
mod demotion;
mod ledger;
mod pooled;
mod refusal;
mod restart;
