//! SQLite: a file or memory, one writer, many readers.
//!
//! A short read runs on the core's own thread, on a connection that only this core uses: it takes
//! microseconds, and a separate thread would cost more than the statement. If it turns out not to
//! be short, it is stopped and run again on a separate thread, where everything runs that waits for
//! a disk. One connection writes for all cores, first come, first served; short writes to a file
//! that wait for it share a transaction.
//!
//! | module | contents |
//! |---|---|
//! | `overwrite` | whether another program has written into the file |
//! | `identity` | whether the file is still the one that was opened |
//! | `unusable` | why a file cannot be opened |
//! | `error` | SQLite's errors as those of `usher:database` |
//! | `control` | the deadline of a running statement, and what it may do |
//! | `values`, `column_cache` | conversion of values; the columns of results |
//! | `functions` | replacements for SQLite's slow functions |
//! | `connection` | one connection and its transactions |
//! | `opening`, `execution` | opening a connection; running one statement on it |
//! | `backup` | copying a database |
//! | `files`, `restore` | `usher backup` and `usher restore` |
//! | `workers` | the separate threads, and their priority |
//! | `write_queue` | the writes that wait for the next group |
//! | `lease`, `separate_thread` | leases of connections; work on separate threads |
//! | `group_transaction`, `group_commit` | several writes in one transaction |
//! | `inline` | short statements on a core's own thread |
//! | `transaction`, `cursor` | transactions; results that are read in batches |
//! | `database` | an open database, and the pool of each core |
//! | `snapshot` | copies of a database in memory |
//! | `backend` | the implementation of the contract |
//!
//! `docs/database.md` ends with the differences from PostgreSQL.

mod backend;
mod backup;
mod column_cache;
mod connection;
mod control;
mod cursor;
mod database;
mod error;
mod execution;
mod files;
mod functions;
mod group_commit;
mod group_transaction;
mod identity;
mod inline;
mod lease;
mod opening;
mod overwrite;
mod restore;
mod separate_thread;
mod snapshot;
#[cfg(test)]
mod tests;
mod transaction;
mod unusable;
mod values;
mod workers;
mod write_queue;

pub(crate) use database::Database;
pub(crate) use files::backup;
pub(crate) use restore::restore;
