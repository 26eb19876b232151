//! What tests of Usher, and of what is served with it, are made with.
//!
//! Of two kinds: doubles that run in the test's own process, and real programs that are started for it and gone with it. The
//! latter need neither the host nor wasmtime: without the feature `app` they compile in seconds.
//!
//! | module | what lives there |
//! |---|---|
//! | [`app`], [`typed`] | the real component in a test, with a database of its own; its service as typed calls |
//! | [`scripted`] | a test's own answers, faults and delays in place of a database |
//! | [`postgres`] | a PostgreSQL database for each test, on a server that all tests of a process share |
//! | [`cluster`] | that server where none is given: a throw-away cluster, also to be had alone |
//! | [`pgbouncer`], [`proxy`] | a connection pooler before a server, and what cuts, delays and throttles |
//! | [`process`] | the `usher` program, started, heard, asked to stop |
//! | [`janitor`] | what cleans up after a test process that was killed |

#[cfg(feature = "app")]
pub mod app;
pub mod cluster;
pub mod janitor;
pub mod pgbouncer;
pub mod postgres;
pub mod process;
pub mod proxy;
#[cfg(feature = "app")]
pub mod scripted;
#[cfg(feature = "app")]
pub mod typed;

#[cfg(feature = "app")]
pub use app::{Builder, TestApp, TestError};
#[cfg(feature = "app")]
pub use scripted::Script;
