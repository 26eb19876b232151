//! The policy: which statements a guest may run, and which of them write.
//!
//! A guest's statements run with the host's role on connections that other requests use later. So a
//! statement is denied if it would change the session, begin or end a transaction, run another
//! session's prepared statement, or reach out of the database: files, other servers, roles, or the
//! server's administration. The first tokens of a statement are checked with an allow-list. The
//! rest is checked on PostgreSQL by the statement's tree (`postgres`), with allow-lists of nodes,
//! functions and catalogue relations, and on SQLite by its tokens and by SQLite's own authorizer.
//! The decision on a text is cached. The check does not see the functions of the database's owner
//! behind operators, casts, views and triggers. A guest can create only triggers that set columns;
//! the owner answers for the others.
//!
//! | module | contents |
//! |---|---|
//! | `lexer` | the tokens of a statement |
//! | `beginning` | one statement, which begins with an allowed verb |
//! | `postgres`, `sqlite` | the rest, for each dialect |
//! | [`check`] | the policies |

mod beginning;
pub mod check;
mod lexer;
mod postgres;
mod sqlite;
#[cfg(test)]
mod tests;

pub use check::{POSTGRES, Policy, SQLITE};
