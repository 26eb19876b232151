//! The database capability of a guest: one database, without its address or credentials.
//!
//! Every call of a guest passes the [`gate`], which checks policy and sizes and sets the deadline
//! before a back end receives it. Modules stand in the order of their imports:
//!
//! | module | contents |
//! |---|---|
//! | [`types`], [`failure`] | values, results and errors; the constructors of errors |
//! | [`error`] | why a database cannot be used |
//! | `libpq`, [`url`] | libpq's connection parameters; the URL of the database |
//! | [`config`] | the options of the database |
//! | `value_ref` | values where the database has put them |
//! | `packed`, `collector` | rows in one value; the rows of a result while they are read |
//! | [`statement`], [`budget`] | a checked statement; the limits of one call |
//! | [`manifest`] | the statements that a component declares, read from its binary |
//! | `metrics`, `last_failure` | counters; the last failure of a request |
//! | `migration` | the state of running migrations |
//! | [`policy`] | the rules for statements, and which statements write |
//! | [`backend`] | the contract of a back end |
//! | `postgres` | statements pipelined over shared connections, transactions on dedicated ones |
//! | `sqlite` | a file or memory: one writer, many readers |
//! | `declared`, `pool` | checked statements: the declared ones; those cached by a core |
//! | [`tape`] | what a request asks of its database and gets, for a recording |
//! | [`gate`] | the checks that every call of a guest passes |
//! | [`wit`] | the imports of `usher:database` |
//! | [`open`] | opening a database, and the pool of each core; backup and restore |
//!
//! Another database is a folder beside `postgres` that implements [`backend`], and a line in
//! [`open`]; its dialect is a [`policy::Policy`].

pub mod backend;
pub mod budget;
pub mod config;
pub mod error;
pub mod failure;
pub mod gate;
pub mod manifest;
pub(crate) mod metrics;
pub(crate) mod migration;
pub mod open;
pub mod policy;
pub mod statement;
pub mod tape;
pub mod types;
pub mod url;
pub mod wit;

mod collector;
mod declared;
mod last_failure;
mod libpq;
mod packed;
mod pool;
mod postgres;
mod sqlite;
mod value_ref;

pub use config::{Config, Statements};
pub use declared::{CheckedStatements, Unfit};
pub use error::{CopyError, OpenError, UrlError};
pub use gate::{Cursor, Gate, Transaction};
pub(crate) use last_failure::{LastFailure, masked};
pub use metrics::Connections;
pub use open::{Database, Pool, Restored, backup, restore};
pub use packed::row_count;
pub use types::{Error, Isolation, Refusal, RefusalKind, Row, Rows, SqlDialect, Value};
pub use url::Url;
pub use wit::{View, add_to_linker};
