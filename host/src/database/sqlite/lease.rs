//! Leases of connections: the writer, the readers of one core, and reader leases of a memory
//! database.
//!
//! A leased connection belongs to one task. Dropping the lease rolls back its open transaction
//! before the next task gets the connection. A task that waits longer than `--pool-wait` is
//! `overloaded`.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::{
    OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedSemaphorePermit, RwLock, RwLockReadGuard,
    Semaphore, TryLockError,
};

use super::connection::Conn;
use super::error;
use super::identity::DatabaseFile;
use super::opening::{Location, Role};
use super::workers;
use super::write_queue::WriteQueue;
use crate::database::budget::Budget;
use crate::database::config::Config;
use crate::database::failure;
use crate::database::metrics::Connections;
use crate::database::types::Error;

/// The one connection that writes; empty while it is leased.
type Slot = Mutex<Option<Conn>>;

/// The right to read a memory database, whose readers exclude the writer. It can move to another
/// thread.
pub(super) type ReaderLease = OwnedRwLockReadGuard<Slot>;

/// A reader lease of this thread. It has no reference count for which cores would contend.
pub(super) type LocalReaderLease<'a> = RwLockReadGuard<'a, Slot>;

/// The part of a database that all cores share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) location: Location,
    pub(super) config: Arc<Config>,
    /// Set if the database is a file.
    pub(super) file: Option<Arc<DatabaseFile>>,
    /// Stays open, because a memory database ends with its last connection. It also checks
    /// readiness, and saves what was written if the file is moved.
    pub(super) standby: Arc<Mutex<Conn>>,
    /// A write lock leases the writer, first come, first served. Readers of a memory database take
    /// read locks.
    writer: Arc<RwLock<Slot>>,
    /// The calls that wait for the writer, without the thread of the groups.
    awaited: AtomicUsize,
    /// The writes that wait for the next group.
    pub(super) queue: WriteQueue,
}

impl Shared {
    pub(super) fn new(
        location: Location,
        config: Arc<Config>,
        file: Option<Arc<DatabaseFile>>,
        writer: Conn,
        standby: Conn,
    ) -> Self {
        let standby = Arc::new(Mutex::new(standby));
        if let Some(file) = &file {
            let standby: Weak<Mutex<Conn>> = Arc::downgrade(&standby);
            file.set_standby(standby);
        }
        Self {
            location,
            config,
            file,
            standby,
            writer: Arc::new(RwLock::new(Mutex::new(Some(writer)))),
            awaited: AtomicUsize::new(0),
            queue: WriteQueue::default(),
        }
    }

    pub(super) fn open(&self, role: Role) -> Result<Conn, Error> {
        self.check_file()?;
        let conn = Conn::open(&self.location, role, &self.config)
            .map_err(|error| error::from_sqlite(&error, false, None))?;
        match &self.file {
            Some(file) => conn.bound_to(file).map_err(|_| error::moved()),
            None => Ok(conn),
        }
    }

    /// Checks that the database file is still in its place.
    pub(super) fn check_file(&self) -> Result<(), Error> {
        match &self.file {
            Some(file) => file.check().map_err(|_| error::moved()),
            None => Ok(()),
        }
    }

    /// Whether the last check found that the file was moved.
    pub(super) fn is_moved(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.is_moved())
    }

    /// Saves what was written to a file that was moved, without touching the file in its place.
    pub(super) fn save(&self) {
        if let Some(file) = &self.file {
            file.save_if_moved(&*self.standby);
        }
    }

    /// The budget of a wait for a connection.
    pub(super) fn wait_budget(&self, budget: &Budget) -> Budget {
        Budget {
            deadline: budget.deadline.min(Instant::now() + self.config.pool_wait),
            ..budget.clone()
        }
    }

    /// Waits for a connection or a lease, and reports how long.
    async fn wait<T>(&self, budget: &Budget, wait: impl Future<Output = T>) -> Result<T, Error> {
        let began = Instant::now();
        let acquired = self.wait_budget(budget).race(wait).await;
        budget.waited_since(began);
        acquired.ok_or(Error::Overloaded)
    }

    /// Leases the writer once it is free.
    pub(super) async fn writer(&self, budget: &Budget) -> Result<Lease, Error> {
        let guard = if let Ok(guard) = Arc::clone(&self.writer).try_write_owned() {
            guard
        } else {
            let _awaited = Awaited::new(&self.awaited);
            self.wait(budget, Arc::clone(&self.writer).write_owned())
                .await?
        };
        self.lease(guard)
    }

    /// Leases the writer once it is free, for a thread that runs no tasks.
    pub(super) fn writer_on_thread(&self, runtime: &Handle) -> Result<Lease, Error> {
        let guard = match Arc::clone(&self.writer).try_write_owned() {
            Ok(guard) => guard,
            Err(_) => runtime.block_on(Arc::clone(&self.writer).write_owned()),
        };
        self.lease(guard)
    }

    /// Whether a call waits for the writer.
    pub(super) fn is_writer_awaited(&self) -> bool {
        self.awaited.load(Relaxed) > 0
    }

    fn lease(&self, mut guard: OwnedRwLockWriteGuard<Slot>) -> Result<Lease, Error> {
        let conn = match guard
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            Some(conn) => conn,
            None => self.open(Role::Writer)?,
        };
        Ok(Lease {
            conn: Some(conn),
            owner: Owner::Writer(guard),
        })
    }

    /// A local reader lease, if the database needs one, unless a writer has the database.
    pub(super) fn try_local_reader(&self) -> Result<Option<LocalReaderLease<'_>>, TryLockError> {
        if !self.location.is_memory() {
            return Ok(None);
        }
        self.writer.try_read().map(Some)
    }

    /// A local reader lease, if the database needs one, once no writer has the database.
    pub(super) async fn local_reader(
        &self,
        budget: &Budget,
    ) -> Result<Option<LocalReaderLease<'_>>, Error> {
        if !self.location.is_memory() {
            return Ok(None);
        }
        self.wait(budget, self.writer.read()).await.map(Some)
    }

    /// A reader lease, if the database needs one, once no writer has the database.
    pub(super) async fn reader(&self, budget: &Budget) -> Result<Option<ReaderLease>, Error> {
        if !self.location.is_memory() {
            return Ok(None);
        }
        if let Ok(lease) = Arc::clone(&self.writer).try_read_owned() {
            return Ok(Some(lease));
        }
        let lease = self.wait(budget, Arc::clone(&self.writer).read_owned());
        lease.await.map(Some)
    }
}

/// Counts a call that waits for the writer.
struct Awaited<'a>(&'a AtomicUsize);

impl<'a> Awaited<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.save();
    }
}

/// The connections of one core that read on separate threads.
#[derive(Debug)]
pub(super) struct Readers {
    idle: Mutex<Vec<Conn>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    const MAX_CONNECTIONS: usize = 16;

    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::new(Vec::new()),
            permits: Arc::new(Semaphore::new(Self::MAX_CONNECTIONS)),
        })
    }

    /// The connections at the moment.
    pub(super) fn connections(&self) -> Connections {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let in_use = Self::MAX_CONNECTIONS.saturating_sub(self.permits.available_permits());
        Connections {
            max: Self::MAX_CONNECTIONS as u64,
            in_use: in_use as u64,
            idle: idle.len() as u64,
            ..Connections::default()
        }
    }

    pub(super) async fn lease(
        self: &Arc<Self>,
        shared: &Shared,
        reader: Option<ReaderLease>,
        budget: &Budget,
    ) -> Result<Lease, Error> {
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let wait = Arc::clone(&self.permits).acquire_owned();
                let permit = shared.wait(budget, wait).await?;
                permit.map_err(|_| failure::unavailable("the database is closed"))?
            }
        };
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let conn = match idle {
            Some(conn) => {
                shared.check_file()?;
                conn
            }
            None => shared.open(Role::Reader)?,
        };
        Ok(Lease {
            conn: Some(conn),
            owner: Owner::Readers {
                readers: Arc::clone(self),
                _permit: permit,
                _lease: reader,
            },
        })
    }
}

/// Where a leased connection is returned to.
#[derive(Debug)]
enum Owner {
    Writer(OwnedRwLockWriteGuard<Slot>),
    Readers {
        readers: Arc<Readers>,
        _permit: OwnedSemaphorePermit,
        _lease: Option<ReaderLease>,
    },
    /// The lease owns the connection and closes it.
    Lease,
}

/// A leased connection. Dropping the lease rolls back its open transaction, then returns it.
#[derive(Debug)]
pub(super) struct Lease {
    conn: Option<Conn>,
    owner: Owner,
}

impl Lease {
    /// A lease that owns its connection.
    pub(super) fn owning(conn: Conn) -> Self {
        Self {
            conn: Some(conn),
            owner: Owner::Lease,
        }
    }

    pub(super) fn conn(&self) -> Result<&Conn, Error> {
        self.conn
            .as_ref()
            .ok_or_else(|| failure::unavailable("the connection is closed"))
    }

    pub(super) fn conn_mut(&mut self) -> Result<&mut Conn, Error> {
        self.conn
            .as_mut()
            .ok_or_else(|| failure::unavailable("the connection is closed"))
    }

    /// Returns the connection on a separate thread, because a rollback may wait for the disk.
    pub(super) fn return_on_separate_thread(self) {
        drop(workers::run(move || drop(self)));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A connection that cannot roll back is closed, which rolls back.
        let Some(conn) = self.conn.take().filter(Conn::clean) else {
            return;
        };
        match &mut self.owner {
            Owner::Writer(slot) => {
                *slot.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(conn);
            }
            Owner::Readers { readers, .. } => readers
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(conn),
            Owner::Lease => {}
        }
    }
}
