//! The database is late, goes, refuses, and comes back.
//!
//! | module | what is shown |
//! |---|---|
//! | `restart` | a database that is away at the start, or goes and comes back |
//! | `crash` | PostgreSQL killed under load |
//! | `pooled` | PostgreSQL, or the pooler before it, killed under load |
//! | `cut` | connections cut in mid-statement and in mid-commit, stalled, slow |
//! | `refusal` | a database that is there and refuses: replica, rights, password, connections, disk |
//! | `demotion` | a server that is well and takes no more writes |
//! | `ledger` | who wrote what and was told what, held against what is there afterwards |
//! | `bench` | a server process, a database of its own, and clients that write all the time |
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
