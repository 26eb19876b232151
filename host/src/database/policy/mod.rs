//! What no guest may say, and which statements write.
//!
//! A guest's statements run on connections that other requests use after it, with the host's role. So a statement is refused if
//! it would change the session, end or begin a transaction, run another session's prepared statement, or reach out of the
//! database: into files, other servers, roles, or the server's own administration.
//!
//! What may begin a statement is an allow-list, decided by its first tokens. The rest is decided by the statement's tree on
//! PostgreSQL (`postgres`), where every node, function and catalogue relation is an allow-list, and by tokens and SQLite's own
//! authorizer on SQLite. A decision is made once for each text and remembered.
//!
//! What this cannot see is what functions of the database's owner do behind operators, casts, views and triggers. A guest can
//! create none but triggers that set columns, and those that are there are their owner's to answer for.
//!
//! | module | what lives there |
//! |---|---|
//! | `lexer` | where comments, quotes and words begin and end |
//! | `beginning` | one statement, which begins with a verb that may begin one |
//! | `postgres`, `sqlite` | the rest, for each dialect |
//! | [`check`] | the policies there are |

mod beginning;
pub mod check;
mod lexer;
mod postgres;
mod sqlite;
#[cfg(test)]
mod tests;

pub use check::{POSTGRES, Policy, SQLITE};
