//! The host runtime of Usher: serves a WASI component over HTTP and hands it one capability, a database.
//!
//! The host owns the world (sockets, connections, limits, time) and knows nothing of users; the component owns the service
//! and knows nothing of PostgreSQL. Between them stand `wasi:http` and `usher:database`, and nothing else.
//!
//! Folders stand in the order of their imports: each knows those below it, and none above it. Read from the top to follow a
//! request, from the bottom to build:
//!
//! | module | what lives there |
//! |---|---|
//! | [`cli`] | the command line: what can be asked, and what comes of it |
//! | [`server`] | HTTP over TCP: the process's life, one core, one client connection |
//! | [`sandbox`] | a component made ready, and its instances: admission, deadline, limits |
//! | [`wasi_http`] | `wasi:http`: the request and the response as the guest sees them |
//! | [`database`] | the capability: one gate before PostgreSQL, SQLite, or a back end of an embedder's own |
//! | `memory` | what the host holds for requests, charged by the three above |
//! | `options` | how settings are written; each module declares its own |
//! | [`telemetry`] | log lines, their limits, and counters |
//!
//! Tests are made with the crate `usher-testing`, which embeds the component by this crate's public items.

pub mod cli;
pub mod database;
pub mod sandbox;
pub mod server;
pub mod telemetry;
pub mod wasi_http;

mod memory;
mod options;

pub use server::Config;
