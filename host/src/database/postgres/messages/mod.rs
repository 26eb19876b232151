//! Follows the messages between the client library and the server, in both directions.
//!
//! The library believes that it talks to the server directly. In fact a [stream](FollowedStream)
//! changes three things:
//!
//! - **Statement names.** The library numbers its prepared statements from `s0` in every process,
//!   so two processes behind a pooler that shares sessions would run each other's. Every name gets
//!   a [prefix](frontend) that is random in each process.
//! - **Transaction pooling.** Each transaction may run in another session, in which the statement
//!   is not prepared. The statement is sent again, [unnamed](unnamed), before each use.
//! - **Settings.** The server reports some settings when they change. No setting should change once
//!   the session is set up, so a report marks the session as [changed](Watch::is_changed).
//!
//! A message that is none of these passes unchanged. The formats are those of PostgreSQL's manual,
//! chapter "Frontend/Backend Protocol".

mod backend;
mod format;
mod frontend;
mod stream;
#[cfg(test)]
mod tests;
mod unnamed;
mod watch;

pub(super) use format::is_changed_result;
pub(super) use stream::{FollowedStream, Naming};
pub(super) use watch::Watch;
