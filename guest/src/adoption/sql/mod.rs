//! The statements that look at a table of users and bring it in line. Each finds the table by [`search_path`], as every other statement
//! does, so that none has a name put into it.
//!
//! [`search_path`]: https://www.postgresql.org/docs/current/ddl-schemas.html#DDL-SCHEMAS-PATH

pub mod postgres;
pub mod sqlite;
