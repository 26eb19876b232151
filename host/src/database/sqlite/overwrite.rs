//! Whether another program has written into the database file.
//!
//! With write-ahead logging only a checkpoint writes the database file, and it first records that
//! in the log's index (<https://sqlite.org/walformat.html>, 2.3). So if the size or time of the
//! file changed and the index did not, the file was overwritten in place, as
//! `cp backup.db usher.db` does. An index that cannot be read explains every change.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A device, an inode, and the file that has them.
type OpenIndex = ((u64, u64), Weak<File>);

/// The open indices of this process, by device and inode. Closing a descriptor of a file releases
/// all of this process's locks on it, so a file is opened once, and closed after its connections.
static OPEN: Mutex<Vec<OpenIndex>> = Mutex::new(Vec::new());

/// The state of a database file at the last look.
#[derive(Debug)]
pub(super) struct OverwriteCheck {
    index: Arc<File>,
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug)]
struct Seen {
    bytes: u64,
    modified: (i64, i64),
    progress: Progress,
}

/// The progress of checkpoints, as the index of a log holds it.
#[derive(Debug, PartialEq, Eq)]
struct Progress {
    /// Two random numbers of the log, which change when it starts again from the beginning.
    salt: [u8; 8],
    /// The frames that are in the database, and those that may be.
    frames: [u8; 4],
    attempted: [u8; 4],
}

impl Progress {
    /// The header of the index is 136 bytes.
    const HEADER: usize = 136;

    fn read(index: &File) -> io::Result<Self> {
        let mut header = [0; Self::HEADER];
        index.read_exact_at(&mut header, 0)?;
        let mut this = Self {
            salt: [0; 8],
            frames: [0; 4],
            attempted: [0; 4],
        };
        this.salt.copy_from_slice(&header[32..40]);
        this.frames.copy_from_slice(&header[96..100]);
        this.attempted.copy_from_slice(&header[128..132]);
        Ok(this)
    }

    /// Whether a checkpoint is running, or was given up.
    fn is_running(&self) -> bool {
        self.frames != self.attempted
    }
}

/// A look at the file. Looks are one after another, so that none compares an old state of the file.
pub(super) struct Look<'c> {
    index: &'c File,
    seen: MutexGuard<'c, Option<Seen>>,
}

impl OverwriteCheck {
    /// Opens the index of a log.
    pub(super) fn open(index: &Path) -> io::Result<Self> {
        let found = std::fs::metadata(index)?;
        let inode = (found.dev(), found.ino());
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(_, file)| file.strong_count() > 0);
        let known = open.iter().find(|(number, _)| *number == inode);
        let index = match known.and_then(|(_, file)| file.upgrade()) {
            Some(file) => file,
            None => {
                let file = Arc::new(File::open(index)?);
                open.push((inode, Arc::downgrade(&file)));
                file
            }
        };
        Ok(Self {
            index,
            seen: Mutex::new(None),
        })
    }

    /// Begins a look, before the file's metadata is read.
    pub(super) fn look(&self) -> Look<'_> {
        Look {
            index: &self.index,
            seen: self.seen.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl Look<'_> {
    /// Whether the file was overwritten since the last look.
    pub(super) fn finds_overwritten(mut self, found: &Metadata) -> bool {
        let Ok(progress) = Progress::read(self.index) else {
            return false;
        };
        let now = Seen {
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            progress,
        };
        let is_overwritten = self.seen.as_ref().is_some_and(|seen| {
            let is_changed = (seen.bytes, seen.modified) != (now.bytes, now.modified);
            is_changed && seen.progress == now.progress && !now.progress.is_running()
        });
        if !is_overwritten {
            *self.seen = Some(now);
        }
        is_overwritten
    }
}
