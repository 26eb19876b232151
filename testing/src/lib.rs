//! Test doubles and fixtures for Usher and for programs that embed it.
//!
//! The doubles run in the test's own process. The fixtures are real programs, started for a test
//! and ended with it; they need neither the host nor wasmtime, so without the feature `app` they
//! compile in seconds.
//!
//! | module | contents |
//! |---|---|
//! | [`app`], [`typed`] | the real component with its own database; its service as typed calls |
//! | [`scripted`] | a database that returns scripted rows, faults and delays |
//! | [`postgres`] | a PostgreSQL database for each test, on a server that a process shares |
//! | [`cluster`] | a throw-away PostgreSQL cluster, which is that server by default |
//! | [`pgbouncer`], [`proxy`] | a connection pooler; a proxy that cuts, delays and throttles |
//! | [`process`] | the `usher` program: start, standard error, signals |
//! | [`programs`] | the programs that tests start: installed ones, or fetched |
//! | [`janitor`] | cleans up after a test process that was killed |

#[cfg(feature = "app")]
pub mod app;
pub mod cluster;
pub mod janitor;
pub mod pgbouncer;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod proxy;
#[cfg(feature = "app")]
pub mod scripted;
#[cfg(feature = "app")]
pub mod typed;

#[cfg(feature = "app")]
pub use app::{Builder, TestApp, TestError};
#[cfg(feature = "app")]
pub use scripted::Script;
