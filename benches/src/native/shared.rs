//! PostgreSQL over connections that many requests share: a statement is sent without waiting for
//! the results of earlier ones, so that one write and one read serve a batch.
//!
//! One connection is best for reads. For writes it is not: each commit waits for the disk before
//! the next statement on its connection begins, and PostgreSQL flushes commits of different
//! connections together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Statement};
use usher_guest::users::sql;

use super::failure::Failure;
use super::lines::{Lines, lines};
use super::request::{Change, NewUser, Page};
use super::store::{POSTGRES_SCHEMA, Store, User};
use crate::Error;

/// The connections of a core and what was prepared on them.
#[derive(Clone)]
pub(super) struct Shared(Arc<Connections>);

struct Connections {
    reader: Reader,
    writers: Vec<Writer>,
}

struct Reader {
    client: Client,
    get: Statement,
    list: Statement,
    list_by_email: Statement,
}

struct Writer {
    client: Client,
    create: Statement,
    update: Statement,
    version: Statement,
    delete: Statement,
    list: Statement,
    /// How many statements are in flight on it.
    busy: AtomicUsize,
}

/// A statement in flight.
struct Busy<'a>(&'a AtomicUsize);

impl<'a> Busy<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Shared {
    /// Opens so many connections, one of them for reads, and drives them on the current runtime.
    pub(super) async fn open(config: &Config, connections: usize) -> Result<Self, Error> {
        let client = connect(config).await?;
        let reader = Reader {
            get: client.prepare(sql::GET).await?,
            list: client.prepare(sql::LIST).await?,
            list_by_email: client.prepare(sql::LIST_BY_EMAIL).await?,
            client,
        };
        let mut writers = Vec::new();
        for _ in 1..connections.max(2) {
            let client = connect(config).await?;
            writers.push(Writer {
                create: client.prepare(sql::CREATE).await?,
                update: client.prepare(sql::UPDATE).await?,
                version: client.prepare(sql::VERSION).await?,
                delete: client.prepare(sql::DELETE).await?,
                list: client.prepare(sql::LIST).await?,
                client,
                busy: AtomicUsize::new(0),
            });
        }
        Ok(Self(Arc::new(Connections { reader, writers })))
    }
}

impl Shared {
    /// The writer with the shortest queue.
    fn writer(&self) -> Result<&Writer, Failure> {
        let writers = self.0.writers.iter();
        writers
            .min_by_key(|writer| writer.busy.load(Relaxed))
            .ok_or(Failure::Unavailable)
    }
}

/// Creates the table if it does not exist.
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
        let writer = self.writer()?;
        let _busy = Busy::begin(&writer.busy);
        Ok(writer
            .client
            .query_one(&writer.create, &[&user.name, &user.email])
            .await?
            .try_into()?)
    }

    async fn update(&self, id: i64, change: &Change) -> Result<User, Failure> {
        let writer = self.writer()?;
        let _busy = Busy::begin(&writer.busy);
        let params = change.params(&id);
        match writer.client.query_opt(&writer.update, &params).await? {
            Some(row) => Ok(row.try_into()?),
            None if change.version.is_none() => Err(Failure::NotFound),
            None => {
                let current = writer.client.query_opt(&writer.version, &[&id]).await?;
                Err(current.map_or(Failure::NotFound, |_| Failure::Stale))
            }
        }
    }

    async fn delete(&self, id: i64) -> Result<(), Failure> {
        let writer = self.writer()?;
        let _busy = Busy::begin(&writer.busy);
        let params: [&(dyn ToSql + Sync); 2] = [&id, &None::<i64>];
        let deleted = writer.client.query_opt(&writer.delete, &params).await?;
        deleted.map(|_| ()).ok_or(Failure::NotFound)
    }

    async fn get(&self, id: i64) -> Result<User, Failure> {
        let Reader { client, get, .. } = &self.0.reader;
        let row = client.query_opt(get, &[&id]).await?;
        Ok((id, row.ok_or(Failure::NotFound)?).try_into()?)
    }

    async fn list(&self, page: &Page) -> Result<Vec<User>, Failure> {
        let Reader {
            client,
            list,
            list_by_email,
            ..
        } = &self.0.reader;
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

    async fn all(&self) -> Result<Lines, Failure> {
        // On a connection that no other read is queued on.
        let writer = self.writer()?;
        let rows = writer.client.query_raw(&writer.list, [0, sql::ALL]).await?;
        Ok(lines(rows, ()))
    }
}
