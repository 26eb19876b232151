//! The capability a guest is handed: one database, and nothing of how it is reached.
//!
//! Every call of a guest passes [`gate`], the one choke point, where policy, size and deadline are decided before a back end
//! sees it. Modules stand in the order of their imports, from the ground up:
//!
//! | module | what lives there |
//! |---|---|
//! | [`types`], [`failure`] | values, results and errors, and how the errors are made |
//! | [`error`] | why a database cannot be used |
//! | `libpq`, [`url`], [`config`] | connection parameters of PostgreSQL; which database, and what may be asked of it |
//! | [`statement`], [`budget`] | a statement, and what one call may cost |
//! | [`manifest`] | the statements that a component declares, as they are written in it |
//! | `metrics`, `last_failure`, `migration` | what is counted, what failed last, and what is otherwise while migrations run |
//! | [`policy`] | what no guest may run, and which statements write |
//! | [`backend`] | the contract of a back end |
//! | `postgres` | statements pipelined over shared connections, transactions on their own |
//! | `sqlite` | a file or memory: one writer, many readers |
//! | `declared`, `pool` | statements that were checked: those declared, and those of one core |
//! | [`gate`] | the choke point: what a guest's calls go through |
//! | [`wit`] | `usher:database`, its calls handed to the gate |
//! | [`open`] | which back end a URL names, and what the rest of the host holds of it |
//!
//! Another database is a folder beside `postgres` that implements [`backend`], and a line in [`open`]; its dialect is a
//! [`policy::Policy`].

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
pub mod types;
pub mod url;
pub mod wit;

mod declared;
mod last_failure;
mod libpq;
mod pool;
mod postgres;
mod sqlite;

pub use config::{Config, Statements};
pub use declared::Unfit;
pub use error::{OpenError, UrlError};
pub use gate::{Cursor, Session, Transaction};
pub(crate) use last_failure::LastFailure;
pub use open::{Database, Pool};
pub use types::{Error, Isolation, Refusal, RefusalKind, Row, Rows, SqlDialect, Value};
pub use url::Url;
pub use wit::{View, add_to_linker};
