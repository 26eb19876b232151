//! SQLite in memory. The modules have the names under which the host's files, which are compiled
//! here too, find them.
//!
//! | module | contents |
//! |---|---|
//! | `types` | the generated types of `usher:database` |
//! | `failure` | the constructors of its errors |
//! | `config` | the limits |
//! | `statement`, `policy` | which statements may run (the host's) |
//! | `budget` | the size of a result |
//! | `value_ref`, `collector` | values as they are read (the host's), and rows of them |
//! | `sqlite` | connections, and the mapping of values and errors (the host's) |

pub(crate) mod budget;
pub(crate) mod collector;
pub(crate) mod config;
pub(crate) mod policy;
pub(crate) mod sqlite;
pub(crate) mod statement;
#[path = "../../../../host/src/database/value_ref.rs"]
pub(crate) mod value_ref;

pub(crate) use adapter_common::database::{failure, types};
