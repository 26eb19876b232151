//! PostgreSQL through one connection that many requests share: a statement is sent without waiting for the answers to those
//! before it, so that one write and one read serve a batch.

use std::sync::Arc;

use tokio_postgres::{Client, Config, NoTls, Statement};
use usher_guest::sql;

use super::failure::Failure;
use super::request::{NewUser, Page};
use super::store::{POSTGRES_SCHEMA, Store, User};
use crate::Error;

/// A connection and what was prepared on it.
#[derive(Clone)]
pub(super) struct Shared(Arc<Parts>);

struct Parts {
    client: Client,
    create: Statement,
    get: Statement,
    list: Statement,
    list_by_email: Statement,
}

impl Shared {
    /// Connects, and serves the connection on the runtime this is called on.
    pub(super) async fn open(config: &Config) -> Result<Self, Error> {
        let client = connect(config).await?;
        Ok(Self(Arc::new(Parts {
            create: client.prepare(sql::CREATE).await?,
            get: client.prepare(sql::GET).await?,
            list: client.prepare(sql::LIST).await?,
            list_by_email: client.prepare(sql::LIST_BY_EMAIL).await?,
            client,
        })))
    }
}

/// Makes the table where there is none.
pub(super) async fn make_table(config: &Config) -> Result<(), Error> {
    Ok(connect(config)
        .await?
        .batch_execute(POSTGRES_SCHEMA)
        .await?)
}

async fn connect(config: &Config) -> Result<Client, Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            eprintln!("a database connection was lost: {error}");
        }
    });
    Ok(client)
}

impl Store for Shared {
    async fn create(&self, user: &NewUser) -> Result<User, Failure> {
        let Parts { client, create, .. } = &*self.0;
        Ok(client
            .query_one(create, &[&user.name, &user.email])
            .await?
            .try_into()?)
    }

    async fn get(&self, id: i64) -> Result<User, Failure> {
        let Parts { client, get, .. } = &*self.0;
        let row = client.query_opt(get, &[&id]).await?;
        Ok(row.ok_or(Failure::NotFound)?.try_into()?)
    }

    async fn list(&self, page: &Page) -> Result<Vec<User>, Failure> {
        let Parts {
            client,
            list,
            list_by_email,
            ..
        } = &*self.0;
        let limit = page.limit + 1;
        let rows = match &page.email {
            Some(email) => {
                client
                    .query(list_by_email, &[&page.after, &limit, email])
                    .await?
            }
            None => client.query(list, &[&page.after, &limit]).await?,
        };
        Ok(rows
            .into_iter()
            .map(User::try_from)
            .collect::<Result<_, _>>()?)
    }
}
