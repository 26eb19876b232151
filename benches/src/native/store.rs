//! What the service asks of a database. The statements are Usher's own.

use std::future::Future;

use serde::Serialize;

use super::failure::Failure;
use super::request::{NewUser, Page};

/// The table, as Usher makes it on PostgreSQL; changes nothing where it is there already.
pub(crate) const POSTGRES_SCHEMA: &str =
    include_str!("../../../guest/migrations/postgres/0001_users.sql");

/// The table, as Usher makes it on SQLite.
pub(super) const SQLITE_SCHEMA: &str =
    include_str!("../../../guest/migrations/sqlite/0001_users.sql");

/// A stored user.
#[derive(Debug, Serialize)]
pub(super) struct User {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) email: String,
    /// Goes up by one with every change.
    #[serde(skip)]
    pub(super) version: i64,
}

impl TryFrom<tokio_postgres::Row> for User {
    type Error = tokio_postgres::Error;

    fn try_from(row: tokio_postgres::Row) -> Result<Self, Self::Error> {
        Ok(Self {
            id: row.try_get(0)?,
            name: row.try_get(1)?,
            email: row.try_get(2)?,
            version: row.try_get(3)?,
        })
    }
}

/// A row of who has this id, which is not in it.
impl TryFrom<(i64, tokio_postgres::Row)> for User {
    type Error = tokio_postgres::Error;

    fn try_from((id, row): (i64, tokio_postgres::Row)) -> Result<Self, Self::Error> {
        Ok(Self {
            id,
            name: row.try_get(0)?,
            email: row.try_get(1)?,
            version: row.try_get(2)?,
        })
    }
}

/// The same.
impl TryFrom<(i64, &rusqlite::Row<'_>)> for User {
    type Error = rusqlite::Error;

    fn try_from((id, row): (i64, &rusqlite::Row<'_>)) -> Result<Self, Self::Error> {
        Ok(Self {
            id,
            name: row.get(0)?,
            email: row.get(1)?,
            version: row.get(2)?,
        })
    }
}

impl TryFrom<&rusqlite::Row<'_>> for User {
    type Error = rusqlite::Error;

    fn try_from(row: &rusqlite::Row<'_>) -> Result<Self, Self::Error> {
        Ok(Self {
            id: row.get(0)?,
            name: row.get(1)?,
            email: row.get(2)?,
            version: row.get(3)?,
        })
    }
}

/// A place that keeps users.
pub(super) trait Store: Clone + Send + Sync + 'static {
    /// Stores a new user.
    fn create(&self, user: &NewUser) -> impl Future<Output = Result<User, Failure>> + Send;

    /// Gives one user.
    fn get(&self, id: i64) -> impl Future<Output = Result<User, Failure>> + Send;

    /// Gives the users of a page and, where there is one, the user after it.
    fn list(&self, page: &Page) -> impl Future<Output = Result<Vec<User>, Failure>> + Send;
}
