//! The host runtime of Usher: serves a WASI component over HTTP and hands it one capability, a database.
//!
//! The host owns the world (sockets, connections, limits, time) and knows nothing of users; the component owns the service
//! and knows nothing of PostgreSQL. Between them stand `wasi:http` and `usher:database`, and nothing else.
//!
//! Read in this order:
//!
//! | module | what lives there |
//! |---|---|
//! | [`cli`], [`config`] | what can be asked of the program, with defaults and units |
//! | [`server`], `shutdown` | the process's life: start, accept, drain |
//! | `worker`, [`connection`], `wire`, `alarm` | one core; one client connection, its bytes and its timer, and the answers that are the host's own |
//! | `transport`, `stall`, `closing`, `descriptors` | what a connection is made of, a client that takes nothing, how it ends, and how many there may be |
//! | [`forwarded`] | what a trusted proxy says of its clients |
//! | `watch` | whether the cores turn |
//! | [`runtime`], `engine`, `bounds`, `compile` | the sandbox: engine, component, what a guest may import |
//! | [`manifest`], `info` | the statements that a component declares, and how an operator reads them |
//! | [`instances`] | a request meets an instance: reuse, deadline, what happens when either fails |
//! | `memory`, `processor` | what the host holds for requests, and the processor time they take |
//! | [`exchange`] | `wasi:http`: the request and the response as the guest sees them |
//! | [`database`] | the capability: one choke point before PostgreSQL, SQLite and scripted answers |
//! | [`migrate`] | the component brings its own schema up to date |
//! | [`telemetry`], `log`, `admin` | logs, their limits, counters, readiness |
//! | [`testing`] | the real component in a test, with a database of its own |

pub mod bindings;
pub mod cli;
pub mod config;
pub mod connection;
pub mod database;
pub mod exchange;
pub mod forwarded;
pub mod instances;
pub mod manifest;
pub mod migrate;
pub mod runtime;
pub mod server;
pub mod telemetry;
pub mod testing;

mod admin;
mod alarm;
mod bounds;
mod closing;
mod compile;
mod descriptors;
mod engine;
mod info;
mod log;
mod memory;
mod processor;
mod shutdown;
mod stall;
mod transport;
mod watch;
mod wire;
mod worker;

pub use config::Config;
