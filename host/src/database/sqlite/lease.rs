//! Who has which connection, and how work is done on it away from a core's own thread.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::{
    OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedSemaphorePermit, RwLock, RwLockReadGuard,
    Semaphore, TryLockError,
};
use tokio::task::JoinHandle;

use super::connection::{Conn, Place, Role};
use super::control::Control;
use super::error;
use super::identity::DatabaseFile;
use crate::database::budget::Budget;
use crate::database::config::Config;
use crate::database::failure;
use crate::database::types::Error;

/// The one connection that writes, in its place while nobody has it.
type Slot = Mutex<Option<Conn>>;

/// A share in the right to read a memory database, in which nobody can read while somebody writes; to be taken to another thread.
pub(super) type Reading = OwnedRwLockReadGuard<Slot>;

/// The same for a moment. It counts no reference, for which the cores would contend.
pub(super) type ReadingHere<'a> = RwLockReadGuard<'a, Slot>;

/// What all cores share of one database.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) place: Place,
    pub(super) config: Arc<Config>,
    /// The file that was opened, where it is one.
    pub(super) file: Option<Arc<DatabaseFile>>,
    /// A connection that stays open as long as this does: a database in memory lives no longer than the last one. It also asks
    /// whether the database answers, and saves what was written when the file is moved.
    pub(super) keeper: Arc<Mutex<Conn>>,
    /// Whoever holds it for writing has the writer, first come, first served. In memory readers hold it for reading.
    writer: Arc<RwLock<Slot>>,
}

impl Shared {
    pub(super) fn new(
        place: Place,
        config: Arc<Config>,
        file: Option<Arc<DatabaseFile>>,
        writer: Conn,
        keeper: Conn,
    ) -> Self {
        let keeper = Arc::new(Mutex::new(keeper));
        if let Some(file) = &file {
            let keeper: Weak<Mutex<Conn>> = Arc::downgrade(&keeper);
            file.kept_by(keeper);
        }
        Self {
            place,
            config,
            file,
            keeper,
            writer: Arc::new(RwLock::new(Mutex::new(Some(writer)))),
        }
    }

    pub(super) fn open(&self, role: Role) -> Result<Conn, Error> {
        self.look()?;
        let conn = Conn::open(&self.place, role, &self.config)
            .map_err(|error| error::told(&error, false, None))?;
        match &self.file {
            Some(file) => conn.guarded_by(file).map_err(|_| error::moved()),
            None => Ok(conn),
        }
    }

    /// Looks whether the file is in its place.
    pub(super) fn look(&self) -> Result<(), Error> {
        match &self.file {
            Some(file) => file.look().map_err(|_| error::moved()),
            None => Ok(()),
        }
    }

    /// Whether the file was not in its place when it was last looked at.
    pub(super) fn is_moved(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.is_moved())
    }

    /// Leaves the file so that nothing that was written is lost, nor anything that is now in its place.
    pub(super) fn leave(&self) {
        if let Some(file) = &self.file {
            file.leave(&*self.keeper);
        }
    }

    /// Until when a wait for a connection may last.
    pub(super) fn patience(&self, budget: &Budget) -> Budget {
        Budget {
            deadline: budget.deadline.min(Instant::now() + self.config.pool_wait),
            ..*budget
        }
    }

    /// The writer, once it is free.
    pub(super) async fn writer(&self, budget: &Budget) -> Result<Lease, Error> {
        let mut guard = if let Ok(guard) = Arc::clone(&self.writer).try_write_owned() {
            guard
        } else {
            let wait = Arc::clone(&self.writer).write_owned();
            self.patience(budget)
                .race(wait)
                .await
                .ok_or(Error::Overloaded)?
        };
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
            home: Home::Writer(guard),
        })
    }

    /// The right to read, where one is needed, unless somebody writes.
    pub(super) fn reading_at_once(&self) -> Result<Option<ReadingHere<'_>>, TryLockError> {
        if !self.place.is_memory() {
            return Ok(None);
        }
        self.writer.try_read().map(Some)
    }

    /// The same, once nobody writes.
    pub(super) async fn reading_here(
        &self,
        budget: &Budget,
    ) -> Result<Option<ReadingHere<'_>>, Error> {
        if !self.place.is_memory() {
            return Ok(None);
        }
        let wait = self.writer.read();
        let reading = self.patience(budget).race(wait).await;
        reading.map(Some).ok_or(Error::Overloaded)
    }

    /// The same, for another thread.
    pub(super) async fn reading(&self, budget: &Budget) -> Result<Option<Reading>, Error> {
        if !self.place.is_memory() {
            return Ok(None);
        }
        if let Ok(reading) = Arc::clone(&self.writer).try_read_owned() {
            return Ok(Some(reading));
        }
        let wait = Arc::clone(&self.writer).read_owned();
        Ok(Some(
            self.patience(budget)
                .race(wait)
                .await
                .ok_or(Error::Overloaded)?,
        ))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Connections of one core that read on other threads.
#[derive(Debug)]
pub(super) struct Readers {
    idle: Mutex<Vec<Conn>>,
    room: Arc<Semaphore>,
}

impl Readers {
    /// So many of them at the same time.
    const ROOM: usize = 16;

    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::new(Vec::new()),
            room: Arc::new(Semaphore::new(Self::ROOM)),
        })
    }

    pub(super) async fn lease(
        self: &Arc<Self>,
        shared: &Shared,
        reading: Option<Reading>,
        budget: &Budget,
    ) -> Result<Lease, Error> {
        let wait = Arc::clone(&self.room).acquire_owned();
        let permit = shared
            .patience(budget)
            .race(wait)
            .await
            .ok_or(Error::Overloaded)?;
        let permit = permit.map_err(|_| failure::unavailable("the database is closed"))?;
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let conn = match idle {
            Some(conn) => {
                shared.look()?;
                conn
            }
            None => shared.open(Role::Reader)?,
        };
        Ok(Lease {
            conn: Some(conn),
            home: Home::Reader {
                readers: Arc::clone(self),
                _permit: permit,
                _reading: reading,
            },
        })
    }
}

/// Where a connection goes back to.
#[derive(Debug)]
enum Home {
    Writer(OwnedRwLockWriteGuard<Slot>),
    Reader {
        readers: Arc<Readers>,
        _permit: OwnedSemaphorePermit,
        _reading: Option<Reading>,
    },
    /// Nowhere: it is closed.
    Nowhere,
}

/// A connection that somebody has to themselves. Dropping it rolls back what is open on it, and only then lets the next one in.
#[derive(Debug)]
pub(super) struct Lease {
    conn: Option<Conn>,
    home: Home,
}

impl Lease {
    /// Of a connection that is nobody else's.
    pub(super) fn alone(conn: Conn) -> Self {
        Self {
            conn: Some(conn),
            home: Home::Nowhere,
        }
    }

    pub(super) fn conn(&self) -> Result<&Conn, Error> {
        self.conn
            .as_ref()
            .ok_or_else(|| failure::unavailable("the connection is closed"))
    }

    /// Gives it back from a thread that may wait for a disk.
    pub(super) fn give_back_apart(self) {
        // Without a runtime this thread is as good as any.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(self));
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // One that cannot roll back is closed, which does.
        let Some(conn) = self.conn.take().filter(Conn::clean) else {
            return;
        };
        match &mut self.home {
            Home::Writer(slot) => {
                *slot.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(conn);
            }
            Home::Reader { readers, .. } => readers
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(conn),
            Home::Nowhere => {}
        }
    }
}

/// Work on another thread. Dropping it ends the work soon; the lease is given back by that thread.
struct Running<T> {
    control: Arc<Control>,
    run: u64,
    handle: JoinHandle<T>,
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.control.stop(self.run);
    }
}

/// Does work on another thread, within the budget's time. It is stopped at the deadline, or once nobody waits for it any more;
/// the answer is always awaited, so that it is known whether the work was done all the same.
pub(super) async fn apart<T: Send + 'static>(
    lease: Lease,
    budget: &Budget,
    work: impl FnOnce(&Conn) -> T + Send + 'static,
) -> Result<(Lease, T), Error> {
    let (control, interrupt) = {
        let conn = lease.conn()?;
        (Arc::clone(conn.control()), conn.interrupt_handle())
    };
    let run = control.arm(budget.deadline);
    let handle = tokio::task::spawn_blocking(move || {
        let done = work(lease.conn()?);
        Ok((lease, done))
    });
    let mut running = Running {
        control,
        run,
        handle,
    };
    let ended = if let Some(ended) = budget.race(&mut running.handle).await {
        ended
    } else {
        // The progress handler is not asked within one long instruction.
        interrupt.interrupt();
        (&mut running.handle).await
    };
    ended.unwrap_or_else(|error| {
        Err(failure::unavailable(format!(
            "the work on the database was given up: {error}"
        )))
    })
}

/// Does work on another thread to its end, however long that takes and whether or not anybody waits for it.
pub(super) async fn to_the_end<T: Send + 'static>(
    lease: Lease,
    budget: &Budget,
    work: impl FnOnce(&Conn) -> T + Send + 'static,
) -> Result<T, Error> {
    // The time is for waiting for locks alone: what the host says is not interrupted.
    lease.conn()?.control().arm(budget.deadline);
    let ended = tokio::task::spawn_blocking(move || Ok(work(lease.conn()?))).await;
    ended.unwrap_or(Err(Error::InDoubt))
}
