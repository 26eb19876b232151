//! The domain: users, and the database schema that holds them. HTTP and the typed interface both
//! call these functions; neither is known here.
//!
//! An operation is one statement wherever one suffices, so that it is atomic without a
//! transaction. Its failures are [`Error`]; `refusal` maps what the database reports to them.

pub mod adoption;
mod error;
mod key;
mod listing;
mod model;
mod name;
pub mod operations;
mod refusal;
mod row;
pub mod sql;
pub mod steps;

pub use error::Error;
pub use listing::{BATCH_LIMIT, Batch, Listed, PAGE_BYTES, Reader, list, read};
pub use model::{Changes, Expected, NewUser, PAGE_LIMIT, Page, Selection, User, UserPage, UserRef};
pub use name::{Name, NulInName};
pub use operations::{change, create, delete, get, replace};
