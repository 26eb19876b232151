//! The modules have the names under which the host's files, which are compiled here too, find them.
//!
//! | module | contents |
//! |---|---|
//! | `types` | the generated types of `usher:database` |
//! | `failure` | the constructors of its errors |
//! | `policy` | which statements may run on PostgreSQL (the host's) |

pub mod failure;
pub mod policy;

pub use crate::bindings::usher::database::types;
