//! SQLite in a file as such services are written: a pool of connections that read, one connection
//! that writes, and `spawn_blocking` around each statement. Each write is a transaction of its own.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::failure::Failure;
use super::request::{NewUser, Page};
use super::store::{Store, User};
use super::{CONNECTIONS, sqlite};
use crate::Error;

/// The connections to a file.
#[derive(Clone)]
pub(super) struct FilePool(Arc<Connections>);

struct Connections {
    writer: Arc<tokio::sync::Mutex<Connection>>,
    readers: Mutex<Vec<Connection>>,
    free: Arc<Semaphore>,
}

impl FilePool {
    /// Opens the file with as many readers as a pool for PostgreSQL has.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let writer = sqlite::open(path)?;
        let readers: Vec<_> = (0..CONNECTIONS)
            .map(|_| sqlite::connect(path))
            .collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Connections {
            writer: Arc::new(tokio::sync::Mutex::new(writer)),
            free: Arc::new(Semaphore::new(readers.len())),
            readers: Mutex::new(readers),
        })))
    }

    /// Runs work on a connection of the pool, on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let connections = Arc::clone(&self.0);
        let permit = Arc::clone(&connections.free).acquire_owned().await;
        let done = spawn_blocking(move || {
            let readers = || {
                connections
                    .readers
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
            };
            let connection = readers().pop().ok_or(Failure::Unavailable)?;
            let done = work(&connection);
            readers().push(connection);
            drop(permit);
            done
        });
        done.await.unwrap_or(Err(Failure::Unavailable))
    }
}

impl Store for FilePool {
    async fn create(&self, user: &NewUser) -> Result<User, Failure> {
        let writer = Arc::clone(&self.0.writer).lock_owned().await;
        let user = user.clone();
        let done = spawn_blocking(move || sqlite::create(&writer, &user));
        Ok(done.await.map_err(|_| Failure::Unavailable)??)
    }

    async fn get(&self, id: i64) -> Result<User, Failure> {
        self.read(move |connection| sqlite::get(connection, id))
            .await
    }

    async fn list(&self, page: &Page) -> Result<Vec<User>, Failure> {
        let page = page.clone();
        self.read(move |connection| Ok(sqlite::list(connection, &page)?))
            .await
    }
}
