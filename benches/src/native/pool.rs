//! PostgreSQL over a pool; each request has a connection to itself.

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use tokio_postgres::{Config, NoTls};
use usher_guest::users::sql;

use super::CONNECTIONS;
use super::failure::Failure;
use super::lines::{Lines, lines};
use super::request::{Change, NewUser, Page};
use super::store::{POSTGRES_SCHEMA, Store, User};
use crate::Error;

impl Store for Pool {
    async fn create(&self, user: &NewUser) -> Result<User, Failure> {
        let client = self.get().await?;
        let statement = client.prepare_cached(sql::CREATE).await?;
        let row = client
            .query_one(&statement, &[&user.name, &user.email])
            .await?;
        Ok(row.try_into()?)
    }

    async fn get(&self, id: i64) -> Result<User, Failure> {
        let client = self.get().await?;
        let statement = client.prepare_cached(sql::GET).await?;
        let row = client.query_opt(&statement, &[&id]).await?;
        Ok((id, row.ok_or(Failure::NotFound)?).try_into()?)
    }

    async fn update(&self, id: i64, change: &Change) -> Result<User, Failure> {
        let client = self.get().await?;
        let statement = client.prepare_cached(sql::UPDATE).await?;
        let row = client.query_opt(&statement, &change.params(&id)).await?;
        match row {
            Some(row) => Ok(row.try_into()?),
            None if change.version.is_none() => Err(Failure::NotFound),
            None => {
                let statement = client.prepare_cached(sql::VERSION).await?;
                let current = client.query_opt(&statement, &[&id]).await?;
                Err(current.map_or(Failure::NotFound, |_| Failure::Stale))
            }
        }
    }

    async fn delete(&self, id: i64) -> Result<(), Failure> {
        let client = self.get().await?;
        let statement = client.prepare_cached(sql::DELETE).await?;
        let deleted = client.query_opt(&statement, &[&id, &None::<i64>]).await?;
        deleted.map(|_| ()).ok_or(Failure::NotFound)
    }

    async fn list(&self, page: &Page) -> Result<Vec<User>, Failure> {
        let client = self.get().await?;
        let limit = page.limit + 1;
        let rows = if let Some(email) = &page.email {
            let statement = client.prepare_cached(sql::LIST_BY_EMAIL).await?;
            client
                .query(&statement, &[&page.after, &limit, email])
                .await?
        } else {
            let statement = client.prepare_cached(sql::LIST).await?;
            client.query(&statement, &[&page.after, &limit]).await?
        };
        Ok(rows
            .into_iter()
            .map(User::try_from)
            .collect::<Result<_, _>>()?)
    }

    async fn all(&self) -> Result<Lines, Failure> {
        let client = self.get().await?;
        let statement = client.prepare_cached(sql::LIST).await?;
        let rows = client.query_raw(&statement, [0, sql::ALL]).await?;
        Ok(lines(rows, client))
    }
}

/// A pool on a database that has the table.
pub(super) async fn open(config: Config) -> Result<Pool, Error> {
    let recycling = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let manager = Manager::from_config(config, NoTls, recycling);
    let pool = Pool::builder(manager).max_size(CONNECTIONS).build()?;
    pool.get().await?.batch_execute(POSTGRES_SCHEMA).await?;
    Ok(pool)
}
