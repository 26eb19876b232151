//! Whether the database file is still the one that was opened.
//!
//! SQLite opens a file by its path and then writes to the open file, even if the path names another
//! file or none. Such writes are lost, and a connection opened later combines the write-ahead log
//! of the old file with the pages of the new one, which destroys both
//! (<https://sqlite.org/howtocorrupt.html>, 1.3 and 2.4). So the device and inode of the database,
//! its log and the log's index are compared with those that were opened: before and after each
//! commit, when a connection is opened, when readiness is checked, and four times a second during
//! reads. So is whether another program wrote into the file ([`super::overwrite`]).
//!
//! The invariant: a write is acknowledged only if all three were still in place after its COMMIT.
//!
//! If one is not, every call fails, one line is logged, and the log is written into the database it
//! belongs to, which is copied to a new name if it has none left. So nothing is lost, and the file
//! at the path is not touched. Of a file that was overwritten, only the log can be kept. Calls
//! succeed again once the same file, unchanged, is back; another file is served after a restart.

use std::fmt;
use std::fs::{Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::overwrite::OverwriteCheck;

/// How long reads continue without checking the file.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// How long a checkpoint is retried while a reader still uses the log.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(15);

/// The smallest database, in bytes: one page of the smallest size.
const SMALLEST_DATABASE: u64 = 512;

/// The identity of a file.
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

/// An open file and its path.
#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    inode: Inode,
}

impl OpenFile {
    fn at(path: PathBuf) -> io::Result<Self> {
        let inode = Inode::of(&std::fs::metadata(&path)?);
        Ok(Self { path, inode })
    }

    /// Checks that the path still names this file.
    fn check(&self) -> Result<Metadata, FileChange> {
        match std::fs::metadata(&self.path) {
            Ok(found) if Inode::of(&found) == self.inode => Ok(found),
            Ok(_) => Err(FileChange::Replaced(self.path.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(FileChange::Removed(self.path.clone()))
            }
            Err(error) => Err(FileChange::Unreachable(self.path.clone(), error)),
        }
    }
}

/// What happened to an open file.
#[derive(Debug)]
enum FileChange {
    Replaced(PathBuf),
    Removed(PathBuf),
    Unreachable(PathBuf, io::Error),
    /// Overwritten in place: another program wrote into it, or has begun to.
    Overwritten(PathBuf),
}

impl fmt::Display for FileChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replaced(path) => write!(
                f,
                "{} is not the file that was opened: it was replaced while in use",
                path.display()
            ),
            Self::Removed(path) => {
                write!(f, "{} was removed or renamed while in use", path.display())
            }
            Self::Unreachable(path, error) => {
                write!(f, "{} cannot be reached any more: {error}", path.display())
            }
            Self::Overwritten(path) => {
                write!(f, "{} was overwritten while in use", path.display())
            }
        }
    }
}

#[derive(Debug)]
enum FileState {
    InPlace,
    Moved {
        since: Instant,
        why: String,
        /// The content was overwritten, so that nothing can be saved or served again.
        is_overwritten: bool,
        /// Saving has begun. If it fails, it is retried only when the database is closed.
        is_saving: bool,
        saved: Option<SavedFile>,
    },
}

/// The size and time of the database file after its log was written into it.
#[derive(Debug, PartialEq, Eq)]
struct SavedFile {
    bytes: u64,
    modified: (i64, i64),
}

impl SavedFile {
    fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// Why the file is not in its place.
#[derive(Debug)]
pub(super) struct FileMoved(String);

impl Default for FileMoved {
    fn default() -> Self {
        Self("the file was moved while it was opened".to_owned())
    }
}

impl fmt::Display for FileMoved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A connection that stays open as long as the database, and saves what was written if the file is
/// moved.
pub(super) trait StandbyConnection: fmt::Debug + Send {
    /// Writes the log into the database and empties it. Returns false if a reader still uses it.
    fn checkpoint(&self) -> rusqlite::Result<bool>;

    /// Copies the database to a file, without a deadline.
    fn copy_to(&self, path: &Path) -> rusqlite::Result<()>;
}

/// An open database file, with its write-ahead log and the log's index.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    database: OpenFile,
    log: Option<[OpenFile; 2]>,
    overwrites: Option<OverwriteCheck>,
    /// Whether the last check failed. Calls read it without a lock.
    is_moved: AtomicBool,
    state: Mutex<FileState>,
    /// Held while the file is saved.
    saving: Mutex<()>,
    standby: OnceLock<Weak<Mutex<dyn StandbyConnection>>>,
}

impl DatabaseFile {
    /// Notes the identity of a database that was just opened, and of its log if it has one.
    pub(super) fn opened(path: &Path, has_log: bool) -> io::Result<Arc<Self>> {
        let database = OpenFile::at(path.to_owned())?;
        let mut overwrites = None;
        let log = if has_log {
            // They are beside the file itself, and not beside a symbolic link to it.
            let beside = |suffix: &str| {
                let mut name = std::fs::canonicalize(path)?.into_os_string();
                name.push(suffix);
                OpenFile::at(name.into())
            };
            let log = [beside("-wal")?, beside("-shm")?];
            overwrites = Some(OverwriteCheck::open(&log[1].path)?);
            Some(log)
        } else {
            None
        };
        Ok(Arc::new(Self {
            database,
            log,
            overwrites,
            is_moved: AtomicBool::new(false),
            state: Mutex::new(FileState::InPlace),
            saving: Mutex::default(),
            standby: OnceLock::new(),
        }))
    }

    /// Sets the connection that saves what was written if the file is moved.
    pub(super) fn set_standby(&self, standby: Weak<Mutex<dyn StandbyConnection>>) {
        // Set once, when the database is opened.
        let _already = self.standby.set(standby);
    }

    /// The number of the file's names. SQLite keeps a log for each.
    pub(super) fn links(&self) -> u64 {
        std::fs::metadata(&self.database.path).map_or(1, |found| found.nlink())
    }

    fn state(&self) -> MutexGuard<'_, FileState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a check failed, and no later one found the file in its place.
    pub(super) fn is_moved(&self) -> bool {
        self.is_moved.load(Relaxed)
    }

    /// Checks that the file is in its place, and saves it if it is not.
    pub(super) fn check(self: &Arc<Self>) -> Result<(), FileMoved> {
        match self.compare() {
            Ok(_) if !self.is_moved() => Ok(()),
            Ok(found) => self.accept_back(&found),
            Err(change) => {
                let why = self.set_moved(&change);
                self.save_in_background();
                Err(FileMoved(why))
            }
        }
    }

    fn compare(&self) -> Result<Metadata, FileChange> {
        let look = self.overwrites.as_ref().map(OverwriteCheck::look);
        let found = self.database.check()?;
        for part in self.log.iter().flatten() {
            part.check()?;
        }
        if found.len() < SMALLEST_DATABASE && self.log.is_some() {
            return Err(FileChange::Overwritten(self.database.path.clone()));
        }
        if look.is_some_and(|look| look.finds_overwritten(&found)) {
            return Err(FileChange::Overwritten(self.database.path.clone()));
        }
        Ok(found)
    }

    /// Sets the state to moved, and logs the first change.
    fn set_moved(&self, change: &FileChange) -> String {
        let mut state = self.state();
        if let FileState::Moved { why, .. } = &*state {
            return why.clone();
        }
        let is_overwritten = matches!(change, FileChange::Overwritten(_));
        let why = change.to_string();
        *state = FileState::Moved {
            since: Instant::now(),
            why: why.clone(),
            is_overwritten,
            is_saving: false,
            saved: None,
        };
        self.is_moved.store(true, Relaxed);
        drop(state);
        if is_overwritten {
            let log = self.save_log();
            tracing::error!(
                "{why}; requests are answered with 503: restart Usher to serve the file that is \
                 there now; {log}"
            );
        } else {
            tracing::error!(
                "{why}; requests are answered with 503: put it back, or restart Usher to serve \
                 the file that is there now"
            );
        }
        why
    }

    /// Renames the log of an overwritten database, because SQLite would write it into the file that
    /// is there now. Returns what became of it.
    fn save_log(&self) -> String {
        let Some([log, _]) = &self.log else {
            return "it had no log".to_owned();
        };
        if log.check().is_err() {
            return "its log is not in its place".to_owned();
        }
        let saved = with_suffix(&log.path, &format!(".saved-{}", seconds_since_epoch()));
        match std::fs::rename(&log.path, &saved) {
            Ok(()) => format!("what the old file's log held is in {}", saved.display()),
            Err(error) => format!(
                "first remove {}, the log of the old file, which cannot be renamed: {error}",
                log.path.display()
            ),
        }
    }

    /// Ends the moved state if the file that is back is the one that was saved.
    fn accept_back(&self, found: &Metadata) -> Result<(), FileMoved> {
        let mut state = self.state();
        let FileState::Moved {
            since, why, saved, ..
        } = &*state
        else {
            return Ok(());
        };
        match saved {
            Some(saved) if *saved == SavedFile::of(found) => {
                tracing::info!(
                    "{} is back as it was, after {:?}; requests are answered again",
                    self.database.path.display(),
                    since.elapsed()
                );
                *state = FileState::InPlace;
                self.is_moved.store(false, Relaxed);
                Ok(())
            }
            _ => Err(FileMoved(why.clone())),
        }
    }

    /// Saves the file once, on a separate thread.
    fn save_in_background(self: &Arc<Self>) {
        let Some(standby) = self.standby.get().and_then(Weak::upgrade) else {
            return;
        };
        match &mut *self.state() {
            FileState::Moved { is_saving, .. } if !*is_saving => *is_saving = true,
            _ => return,
        }
        let file = Arc::clone(self);
        std::thread::spawn(move || file.save(&standby));
    }

    fn needs_saving(&self) -> bool {
        matches!(
            &*self.state(),
            FileState::Moved {
                is_overwritten: false,
                saved: None,
                ..
            }
        )
    }

    /// Checks the file before the last connection is closed, and saves it unless that is done.
    pub(super) fn save_if_moved(self: &Arc<Self>, standby: &Mutex<dyn StandbyConnection>) {
        if self.check().is_err() {
            self.save(standby);
        }
    }

    /// Writes the log into the open database, and copies that to a new name if it has none.
    fn save(&self, standby: &Mutex<dyn StandbyConnection>) {
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.needs_saving() {
            return;
        }
        let standby = standby.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.database.path.display();
        let saved = self
            .checkpoint(&*standby)
            .and_then(|()| self.ensure_name(&*standby));
        match saved {
            Ok((saved_path, file)) => {
                if saved_path != self.database.path {
                    let saved_path = saved_path.display();
                    tracing::warn!("all that was written to {path} is in {saved_path}");
                }
                if let FileState::Moved { saved, .. } = &mut *self.state() {
                    *saved = Some(file);
                }
            }
            Err(error) => tracing::error!(
                "what was written to {path} before it was moved could not be saved: {error}; \
                 copy it while Usher still runs"
            ),
        }
    }

    /// Empties the log, so that it does no harm beside another file.
    fn checkpoint(&self, standby: &dyn StandbyConnection) -> Result<(), String> {
        if self.log.is_none() {
            return Ok(());
        }
        let deadline = Instant::now() + CHECKPOINT_TIMEOUT;
        loop {
            match standby.checkpoint() {
                Ok(true) => return Ok(()),
                Ok(false) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Ok(false) => return Err("its log is still read from".to_owned()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// The path of the database: its current one if it was renamed, otherwise that of a new copy.
    fn ensure_name(&self, standby: &dyn StandbyConnection) -> Result<(PathBuf, SavedFile), String> {
        let found = find_open_file(self.database.inode);
        if let Some((path, metadata)) = &found
            && (metadata.nlink() > 0 || self.log.is_none())
        {
            return Ok((path.clone(), SavedFile::of(metadata)));
        }
        let mode = found
            .as_ref()
            .map_or(0o600, |(_, metadata)| metadata.permissions().mode() & 0o777);
        let seconds = seconds_since_epoch();
        let (copy, partial) = (
            with_suffix(&self.database.path, &format!(".saved-{seconds}")),
            with_suffix(&self.database.path, &format!(".saved-{seconds}.partial")),
        );
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&partial)
            .map_err(|error| error.to_string())
            .and_then(|created| {
                drop(created);
                standby.copy_to(&partial).map_err(|error| error.to_string())
            })
            .and_then(|()| std::fs::rename(&partial, &copy).map_err(|error| error.to_string()));
        if let Err(error) = written {
            let _not_created = std::fs::remove_file(&partial);
            return Err(format!("{} cannot be written: {error}", copy.display()));
        }
        let saved = found.map_or(
            SavedFile {
                bytes: 0,
                modified: (0, 0),
            },
            |(_, metadata)| SavedFile::of(&metadata),
        );
        Ok((copy, saved))
    }
}

/// The time in file names.
pub(super) fn seconds_since_epoch() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// A path with something after its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(suffix);
    name.into()
}

/// The current path and metadata of a file that this process has open. It is not opened again,
/// because closing one descriptor of a file releases all of this process's locks on it.
fn find_open_file(inode: Inode) -> Option<(PathBuf, Metadata)> {
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
