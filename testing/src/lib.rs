//! Test doubles and fixtures for Usher and for programs that embed it.
//!
//! The doubles run in the test's own process. The fixtures are real programs, started for a test
//! and ended with it; they need neither the host nor wasmtime, so without the feature `app` they
//! compile in seconds.
//!
//! | module | contents |
//! |---|---|
//! | [`app`], [`typed`] | the real component with its own database; its service as typed calls |
//! | [`request`], [`response`] | a request that is built step by step; what is expected of it |
//! | [`database`], [`seed`] | which database an application has; rows that a test begins with |
//! | [`calls`] | the log of a component's calls on its database |
//! | [`fault`], [`fault_walk`](mod@fault_walk) | how a call fails; every fault of every call |
//! | [`scripted`] | a database that returns scripted rows, faults and delays |
//! | [`error`] | why an application failed |
//! | `client`, `loaded`, `instrumented` | sending; components loaded once; a watching back end |
//! | [`postgres`] | a PostgreSQL database for each test, on a server that a process shares |
//! | [`cluster`] | a throw-away PostgreSQL cluster, which is that server by default |
//! | [`pgbouncer`], [`proxy`] | a connection pooler; a proxy that cuts, delays and throttles |
//! | [`process`] | the `usher` program: start, standard error, signals |
//! | [`programs`] | the programs that tests start: installed ones, or fetched |
//! | [`reserved_port`] | a port that stays with a program while it does not run |
//! | [`janitor`] | cleans up after a test process that was killed |

#[cfg(feature = "app")]
pub mod app;
#[cfg(feature = "app")]
pub mod calls;
#[cfg(feature = "app")]
mod client;
pub mod cluster;
#[cfg(feature = "app")]
pub mod database;
#[cfg(feature = "app")]
pub mod error;
#[cfg(feature = "app")]
pub mod fault;
#[cfg(feature = "app")]
pub mod fault_walk;
#[cfg(feature = "app")]
mod instrumented;
pub mod janitor;
#[cfg(feature = "app")]
mod loaded;
pub mod pgbouncer;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod proxy;
#[cfg(feature = "app")]
pub mod request;
pub mod reserved_port;
#[cfg(feature = "app")]
pub mod response;
#[cfg(feature = "app")]
pub mod scripted;
#[cfg(feature = "app")]
pub mod seed;
#[cfg(feature = "app")]
pub mod typed;

#[cfg(feature = "app")]
pub use app::{Builder, TestApp};
#[cfg(feature = "app")]
pub use database::TestDatabase;
#[cfg(feature = "app")]
pub use error::TestError;
#[cfg(feature = "app")]
pub use fault_walk::{FaultWalk, fault_walk};
pub use postgres::Postgres;
#[cfg(feature = "app")]
pub use response::TestResponse;
#[cfg(feature = "app")]
pub use scripted::Script;
#[cfg(feature = "app")]
pub use seed::{Seed, users};
#[cfg(feature = "app")]
pub use usher::recording::Recording;
#[cfg(feature = "app")]
pub use usher::sandbox::{Clock, Source};
