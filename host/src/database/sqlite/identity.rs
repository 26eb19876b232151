//! Whether the database file is still the one that was opened.
//!
//! SQLite opens a file by its path and from then on writes to what it has opened. Once the path names another file, or none,
//! what it writes ends where nobody finds it, and a connection opened later pairs the write-ahead log of the old file with the
//! pages of the new one, which destroys both (<https://sqlite.org/howtocorrupt.html>, 1.3 and 2.4). So the device and inode of the
//! database, of its log and of the log's index are compared with those that were opened: before and after each commit, when a
//! connection is opened, when readiness is asked for, and four times a second under reads.
//!
//! The invariant: a write is acknowledged only if, after its COMMIT, each of the three was still in its place.
//!
//! When one is not, every call fails, one line says what happened, and the log is written into the database it belongs to, which
//! is copied to a new name if it has none left. So nothing is lost, and the file at the path stays as its owner put it there.
//! Service goes on by itself once the same file, unchanged, is back; another file is served after a restart.

use std::fmt;
use std::fs::{Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long reads go on without a look at the file.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How long the log is tried to be written into its database while somebody still reads from it.
const CHECKPOINT_TIME: Duration = Duration::from_secs(15);

/// The smallest file that holds a database: one page of the smallest size.
const SMALLEST: u64 = 512;

/// What the file system knows a file by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Inode {
    device: u64,
    number: u64,
}

impl Inode {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            number: metadata.ino(),
        }
    }
}

/// A file that was opened, and the path it was found at.
#[derive(Debug)]
struct Opened {
    path: PathBuf,
    inode: Inode,
}

impl Opened {
    fn at(path: PathBuf) -> io::Result<Self> {
        let inode = Inode::of(&std::fs::metadata(&path)?);
        Ok(Self { path, inode })
    }

    /// What is wrong with it, if anything is.
    fn look(&self) -> Result<Metadata, Change> {
        match std::fs::metadata(&self.path) {
            Ok(found) if Inode::of(&found) == self.inode => Ok(found),
            Ok(_) => Err(Change::Replaced(self.path.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Change::Gone(self.path.clone()))
            }
            Err(error) => Err(Change::OutOfReach(self.path.clone(), error)),
        }
    }
}

/// What happened to a file.
#[derive(Debug)]
enum Change {
    Replaced(PathBuf),
    Gone(PathBuf),
    OutOfReach(PathBuf, io::Error),
    /// Overwritten in place: the file is the same, its content is not.
    Truncated(PathBuf),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replaced(path) => write!(
                f,
                "{} is not the file that was opened: it was replaced while in use",
                path.display()
            ),
            Self::Gone(path) => write!(f, "{} was removed or renamed while in use", path.display()),
            Self::OutOfReach(path, error) => {
                write!(f, "{} cannot be reached any more: {error}", path.display())
            }
            Self::Truncated(path) => {
                write!(f, "{} was truncated while in use", path.display())
            }
        }
    }
}

/// Whether it is in its place.
#[derive(Debug)]
enum State {
    InPlace,
    Moved {
        since: Instant,
        why: String,
        /// The content was overwritten, so that there is nothing to save, nor to go on with.
        truncated: bool,
        /// Whether saving has begun. What fails is tried again only at the end.
        begun: bool,
        saved: Option<Saved>,
    },
}

/// The database file as it was once its log was written into it.
#[derive(Debug, PartialEq, Eq)]
struct Saved {
    bytes: u64,
    modified: (i64, i64),
}

impl Saved {
    fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// The file is not in its place, and why.
#[derive(Debug)]
pub(super) struct Moved(String);

impl Default for Moved {
    fn default() -> Self {
        Self("the file was moved while it was opened".to_owned())
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A connection that stays open for as long as the database does, and saves what was written if the file is moved.
pub(super) trait Keeper: fmt::Debug + Send {
    /// Writes all of the log into the database and empties it. False where somebody is still reading from it.
    fn checkpoint(&self) -> rusqlite::Result<bool>;

    /// Copies the whole database to a file, which takes as long as it takes.
    fn copy_to(&self, path: &Path) -> rusqlite::Result<()>;
}

/// The database file that was opened, with its write-ahead log and the log's index.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    database: Opened,
    log: Option<[Opened; 2]>,
    /// Whether a look has failed. Read without a lock by each call.
    moved: AtomicBool,
    state: Mutex<State>,
    /// Held by whoever saves what was written.
    saving: Mutex<()>,
    keeper: OnceLock<Weak<Mutex<dyn Keeper>>>,
}

impl DatabaseFile {
    /// Remembers what is at this path, which has just been opened, its log too unless it is only read.
    pub(super) fn opened(path: &Path, has_log: bool) -> io::Result<Arc<Self>> {
        let database = Opened::at(path.to_owned())?;
        let log = if has_log {
            // SQLite keeps them beside the file itself, wherever a symbolic link to it is.
            let beside = |suffix: &str| {
                let mut name = std::fs::canonicalize(path)?.into_os_string();
                name.push(suffix);
                Opened::at(name.into())
            };
            Some([beside("-wal")?, beside("-shm")?])
        } else {
            None
        };
        Ok(Arc::new(Self {
            database,
            log,
            moved: AtomicBool::new(false),
            state: Mutex::new(State::InPlace),
            saving: Mutex::default(),
            keeper: OnceLock::new(),
        }))
    }

    /// Tells which connection saves what was written if the file is moved.
    pub(super) fn kept_by(&self, keeper: Weak<Mutex<dyn Keeper>>) {
        // Set once, where the database is opened.
        let _already = self.keeper.set(keeper);
    }

    /// Says where one file has more than one name: SQLite keeps a log for each.
    pub(super) fn names(&self) -> u64 {
        std::fs::metadata(&self.database.path).map_or(1, |found| found.nlink())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a look has failed, and no later one has found it back.
    pub(super) fn is_moved(&self) -> bool {
        self.moved.load(Relaxed)
    }

    /// Looks whether it is in its place.
    pub(super) fn look(self: &Arc<Self>) -> Result<(), Moved> {
        match self.compare() {
            Ok(_) if !self.is_moved() => Ok(()),
            Ok(found) => self.is_back(&found),
            Err(change) => {
                let why = self.note(&change);
                self.save_apart();
                Err(Moved(why))
            }
        }
    }

    fn compare(&self) -> Result<Metadata, Change> {
        let found = self.database.look()?;
        for part in self.log.iter().flatten() {
            part.look()?;
        }
        if found.len() < SMALLEST && self.log.is_some() {
            return Err(Change::Truncated(self.database.path.clone()));
        }
        Ok(found)
    }

    /// Remembers, and says once, that it is not in its place.
    fn note(&self, change: &Change) -> String {
        let mut state = self.state();
        if let State::Moved { why, .. } = &*state {
            return why.clone();
        }
        let truncated = matches!(change, Change::Truncated(_));
        let why = change.to_string();
        *state = State::Moved {
            since: Instant::now(),
            why: why.clone(),
            truncated,
            begun: false,
            saved: None,
        };
        self.moved.store(true, Relaxed);
        drop(state);
        let remedy = if truncated {
            "stop Usher, put a whole database in its place, remove the -wal and -shm files beside it, and start again"
        } else {
            "put it back, or restart Usher to serve the file that is there now"
        };
        tracing::error!("{why}; requests are answered with 503: {remedy}");
        why
    }

    /// Each file is where it was, after it was not.
    fn is_back(&self, found: &Metadata) -> Result<(), Moved> {
        let mut state = self.state();
        let State::Moved {
            since, why, saved, ..
        } = &*state
        else {
            return Ok(());
        };
        match saved {
            Some(saved) if *saved == Saved::of(found) => {
                tracing::info!(
                    "{} is back as it was, after {:?}; requests are answered again",
                    self.database.path.display(),
                    since.elapsed()
                );
                *state = State::InPlace;
                self.moved.store(false, Relaxed);
                Ok(())
            }
            _ => Err(Moved(why.clone())),
        }
    }

    /// Saves what was written on a thread of its own, once.
    fn save_apart(self: &Arc<Self>) {
        let Some(keeper) = self.keeper.get().and_then(Weak::upgrade) else {
            return;
        };
        match &mut *self.state() {
            State::Moved { begun, .. } if !*begun => *begun = true,
            _ => return,
        }
        let file = Arc::clone(self);
        std::thread::spawn(move || file.save(&keeper));
    }

    fn is_to_be_saved(&self) -> bool {
        matches!(
            &*self.state(),
            State::Moved {
                truncated: false,
                saved: None,
                ..
            }
        )
    }

    /// Before the last connection is closed: looks once more, and saves what was written where that is still to be done.
    pub(super) fn leave(self: &Arc<Self>, keeper: &Mutex<dyn Keeper>) {
        if self.look().is_err() {
            self.save(keeper);
        }
    }

    /// Writes the log into the database that it belongs to, through what is open, and gives that a name if it has none.
    fn save(&self, keeper: &Mutex<dyn Keeper>) {
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_to_be_saved() {
            return;
        }
        let keeper = keeper.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.database.path.display();
        let saved = self
            .checkpoint(&*keeper)
            .and_then(|()| self.give_name(&*keeper));
        match saved {
            Ok((at, saved)) => {
                if at != self.database.path {
                    tracing::warn!("all that was written to {path} is in {}", at.display());
                }
                if let State::Moved { saved: done, .. } = &mut *self.state() {
                    *done = Some(saved);
                }
            }
            Err(error) => tracing::error!(
                "what was written to {path} before it was moved could not be saved: {error}; copy it while Usher still runs"
            ),
        }
    }

    /// Afterwards the log is empty, and does no harm beside another file.
    fn checkpoint(&self, keeper: &dyn Keeper) -> Result<(), String> {
        if self.log.is_none() {
            return Ok(());
        }
        let until = Instant::now() + CHECKPOINT_TIME;
        loop {
            match keeper.checkpoint() {
                Ok(true) => return Ok(()),
                Ok(false) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Ok(false) => return Err("its log is still read from".to_owned()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Where the database is now: under the name it was given meanwhile, or else under a new one.
    fn give_name(&self, keeper: &dyn Keeper) -> Result<(PathBuf, Saved), String> {
        let found = open_file(self.database.inode);
        if let Some((name, metadata)) = &found
            && (metadata.nlink() > 0 || self.log.is_none())
        {
            return Ok((name.clone(), Saved::of(metadata)));
        }
        let mode = found
            .as_ref()
            .map_or(0o600, |(_, metadata)| metadata.permissions().mode() & 0o777);
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let name = |suffix: &str| {
            let mut name = self.database.path.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        let (copy, half) = (
            name(&format!(".saved-{seconds}")),
            name(&format!(".saved-{seconds}.partial")),
        );
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&half)
            .map_err(|error| error.to_string())
            .and_then(|made| {
                drop(made);
                keeper.copy_to(&half).map_err(|error| error.to_string())
            })
            .and_then(|()| std::fs::rename(&half, &copy).map_err(|error| error.to_string()));
        if let Err(error) = written {
            let _none = std::fs::remove_file(&half);
            return Err(format!("{} cannot be written: {error}", copy.display()));
        }
        let saved = found.map_or(
            Saved {
                bytes: 0,
                modified: (0, 0),
            },
            |(_, metadata)| Saved::of(&metadata),
        );
        Ok((copy, saved))
    }
}

/// A file that this process has open, by its inode: what its name is now, and how many it has. It is not opened again for that:
/// closing one descriptor of a file gives up this process's locks on it.
fn open_file(inode: Inode) -> Option<(PathBuf, Metadata)> {
    std::fs::read_dir("/proc/self/fd")
        .ok()?
        .flatten()
        .find_map(|entry| {
            let metadata = std::fs::metadata(entry.path()).ok()?;
            (Inode::of(&metadata) == inode)
                .then(|| Some((std::fs::read_link(entry.path()).ok()?, metadata)))
                .flatten()
        })
}
