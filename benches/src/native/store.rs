//! What the service needs of a database. The statements are Usher's.

use std::future::Future;

use serde::Serialize;

use super::failure::Failure;
use super::lines::Lines;
use super::request::{Change, NewUser, Page};

/// The table, as Usher creates it on PostgreSQL, if it does not exist.
pub(crate) const POSTGRES_SCHEMA: &str =
    include_str!("../../../guest/migrations/postgres/0001_users.sql");

/// The table, as Usher creates it on SQLite.
pub(crate) const SQLITE_SCHEMA: &str =
    include_str!("../../../guest/migrations/sqlite/0001_users.sql");

/// A stored user.
#[derive(Debug, Serialize)]
pub(super) struct User {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) email: String,
    /// Incremented by every change.
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

/// A row of the user with this id, which the row does not contain.
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

/// A database that keeps users.
pub(super) trait Store: Clone + Send + Sync + 'static {
    /// Stores a new user.
    fn create(&self, user: &NewUser) -> impl Future<Output = Result<User, Failure>> + Send;

    /// Returns one user.
    fn get(&self, id: i64) -> impl Future<Output = Result<User, Failure>> + Send;

    /// Changes a user.
    fn update(
        &self,
        _id: i64,
        _change: &Change,
    ) -> impl Future<Output = Result<User, Failure>> + Send {
        async { Err(Failure::MethodNotAllowed) }
    }

    /// Deletes a user.
    fn delete(&self, _id: i64) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Err(Failure::MethodNotAllowed) }
    }

    /// Returns the users of a page and, if there is one, the user after it.
    fn list(&self, page: &Page) -> impl Future<Output = Result<Vec<User>, Failure>> + Send;

    /// Reads all users.
    fn all(&self) -> impl Future<Output = Result<Lines, Failure>> + Send {
        async { Err(Failure::MethodNotAllowed) }
    }
}
