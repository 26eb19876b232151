//! SQLite in a file at its best: a statement that reads runs on the thread of its request, and one
//! thread writes. It takes what waits, commits once, and then answers all of it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::failure::Failure;
use super::request::{NewUser, Page};
use super::sqlite;
use super::store::{Store, User};
use crate::Error;

/// The most writes in one transaction.
const MAX_GROUP_SIZE: usize = 128;

thread_local! {
    static READER: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

/// A file, and the queue of the thread that writes to it.
#[derive(Clone)]
pub(super) struct FileGroups {
    path: Arc<Path>,
    queue: Sender<Write>,
}

struct Write {
    user: NewUser,
    reply: oneshot::Sender<Result<User, Failure>>,
}

impl FileGroups {
    /// Opens the file and starts the thread.
    pub(super) fn open(path: PathBuf) -> Result<Self, Error> {
        let writer = sqlite::open(&path)?;
        let (queue, queued) = channel();
        std::thread::spawn(move || write(&writer, &queued));
        Ok(Self {
            path: path.into(),
            queue,
        })
    }

    /// Runs work on the thread's connection.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        READER.with_borrow_mut(|slot| {
            let connection = match slot {
                Some(connection) => connection,
                None => slot.insert(sqlite::connect(&self.path)?),
            };
            work(connection)
        })
    }
}

/// Writes until the queue is closed.
fn write(connection: &Connection, writes: &Receiver<Write>) {
    while let Ok(first) = writes.recv() {
        let group: Vec<_> = std::iter::once(first)
            .chain(writes.try_iter())
            .take(MAX_GROUP_SIZE)
            .collect();
        let committed = commit(connection, &group);
        if committed.is_err()
            && !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            eprintln!("a transaction stays open: {error}");
        }
        match committed {
            Ok(results) => {
                for (write, result) in group.into_iter().zip(results) {
                    // The client may be gone.
                    drop(write.reply.send(result.map_err(Failure::from)));
                }
            }
            Err(error) => {
                for write in group {
                    drop(write.reply.send(Err(Failure::Internal(error.to_string()))));
                }
            }
        }
    }
}

/// One transaction. A statement that fails is undone by SQLite, without its neighbours.
fn commit(
    connection: &Connection,
    group: &[Write],
) -> rusqlite::Result<Vec<rusqlite::Result<User>>> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let results = group
        .iter()
        .map(|write| sqlite::create(connection, &write.user))
        .collect();
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(results)
}

impl Store for FileGroups {
    async fn create(&self, user: &NewUser) -> Result<User, Failure> {
        let (reply, receiver) = oneshot::channel();
        let write = Write {
            user: user.clone(),
            reply,
        };
        self.queue.send(write).map_err(|_| Failure::Unavailable)?;
        receiver.await.unwrap_or(Err(Failure::Unavailable))
    }

    async fn get(&self, id: i64) -> Result<User, Failure> {
        self.read(|connection| sqlite::get(connection, id))
    }

    async fn list(&self, page: &Page) -> Result<Vec<User>, Failure> {
        self.read(|connection| Ok(sqlite::list(connection, page)?))
    }
}
