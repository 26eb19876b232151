//! SQLite: a file or memory, one writer, many readers.
//!
//! A quick read runs on the core's own thread, on a connection that only this core uses: it takes microseconds, and another thread
//! would cost more than the statement. What turns out not to be quick is stopped and run again on a thread that may wait, and so
//! is all that waits for a disk. One connection writes, for all cores, first come, first served.
//!
//! | module | what lives there |
//! |---|---|
//! | `identity`, `unusable` | whether the file is still the one that was opened, and why it cannot be |
//! | `connection` | one connection: how it is opened, and runs one statement within its time |
//! | `control` | what it is held to meanwhile: its time, and what it may do |
//! | `functions` | SQLite's slow functions, written anew |
//! | `lease` | who has which connection, and work on other threads |
//! | `values` | values on their way in and out |
//! | `error` | what SQLite says, in the words of `usher:database` |
//! | `inline` | what runs on a core's own thread |
//! | `transaction`, `cursor` | those two |
//! | `database` | a database that was opened, and the connections of one core |
//! | `backend` | the contract, kept |
//!
//! How it differs from PostgreSQL is the last table of `docs/database.md`.

mod backend;
mod connection;
mod control;
mod cursor;
mod database;
mod error;
mod functions;
mod identity;
mod inline;
mod lease;
#[cfg(test)]
mod tests;
mod transaction;
mod unusable;
mod values;

pub(crate) use database::Database;
