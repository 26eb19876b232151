//! The host's check of how a statement begins. The modules have the names under which the host's
//! files find them.

#[allow(dead_code, reason = "the database in memory uses all of it")]
#[path = "../../../memory-database/src/database/failure.rs"]
pub(crate) mod failure;
pub(crate) mod policy;

pub(crate) mod types {
    pub(crate) use crate::bindings::usher::database::types::{Error, Refusal, RefusalKind};
}
