//! The host runtime of Usher: serves a WASI component over HTTP and gives it access to a database.
//!
//! The host has the sockets, connections, limits and clocks, and no code for users. The component
//! is the service, and has no code for PostgreSQL. They share only the interfaces `wasi:http`,
//! `usher:service` and `usher:database`.
//!
//! The modules are in the order of their imports: each imports only modules below it. Read from the
//! top to follow a request, from the bottom to build:
//!
//! | module | contents |
//! |---|---|
//! | [`cli`] | the command line |
//! | [`server`] | HTTP over TCP: the process, its cores, and the client connections |
//! | [`recording`] | records requests with their database calls, and replays them |
//! | [`access`] | who may send which requests: tokens, and pages of other sites |
//! | [`sandbox`] | components and their instances: admission, deadlines, limits |
//! | [`wasi_http`] | `wasi:http`: requests and responses as the guest sees them |
//! | `wasi` | the rest of WASI, which reaches nothing, for components that import it |
//! | [`database`] | the gate before PostgreSQL, SQLite, or an embedder's back end |
//! | `memory` | limits on what the host holds for requests |
//! | `reload` | files that are read again when they change |
//! | `pem` | certificates and keys from PEM files |
//! | `hexadecimal` | bytes as digits |
//! | `options` | parsers and defaults of settings, which each module declares |
//! | [`telemetry`] | log lines, their limits, and counters |
//!
//! For tests, the crate `usher-testing` embeds the component through this crate's public items.

#![cfg_attr(
    not(feature = "cli"),
    allow(
        dead_code,
        unused_imports,
        reason = "what the command line alone shows"
    )
)]

pub mod access;
#[cfg(feature = "cli")]
pub mod cli;
pub mod database;
pub mod recording;
pub mod sandbox;
pub mod server;
pub mod telemetry;
pub mod wasi_http;

mod hexadecimal;
mod memory;
mod options;
mod pem;
mod reload;
mod wasi;

pub use server::Config;
