//! Applying the migrations, and planning what that would do.
//!
//! Each migration is applied in a transaction of its own, under a lock that one host at a time
//! holds, and recorded with a checksum of its text. Every run first lets the service's
//! [`Adoption`] inspect what is there: it is adapted, or nothing is changed.

mod apply;
mod error;
mod plan;
mod record;
pub mod sql;
mod steps;

pub use apply::{apply, plan};
pub use error::{Error, Migration};
pub use plan::{Adoption, Finding, FindingKind, NoAdoption, Plan, Progress};
pub use steps::{Migrations, Step, statements};
