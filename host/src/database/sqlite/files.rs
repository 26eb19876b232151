//! `usher backup`: a verified copy of a database file, while a server writes to it or not.
//!
//! The copy is written under another name and gets its own only when it is complete, verified and
//! on disk. It has no log beside it, so that it can be copied and moved like any file.

use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::backup::back_up;
use super::identity::with_suffix;
use super::opening::as_path;
use super::unusable::reason;
use crate::database::error::CopyError;

/// How long a lock of another process is waited for.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Faults of a database that are named in an error.
const FAULTS: u32 = 3;

/// Copies `database` to `target`, and returns the copy's size.
pub(crate) fn backup(database: &Path, target: &Path, force: bool) -> Result<u64, CopyError> {
    let shown = target.display();
    if let Ok(found) = std::fs::metadata(target) {
        let is_same = std::fs::metadata(database)
            .is_ok_and(|source| (source.dev(), source.ino()) == (found.dev(), found.ino()));
        if is_same {
            return Err(CopyError::Usage(format!("{shown} is the database itself")));
        }
        if !found.is_file() {
            return Err(CopyError::Usage(format!("{shown} is not a file")));
        }
        if !force {
            return Err(CopyError::Usage(format!(
                "{shown} exists: choose another file, or replace it with --force"
            )));
        }
    }
    let log = with_suffix(target, "-wal");
    if log.exists() {
        return Err(CopyError::Usage(format!(
            "{} is the log of a database at {shown}, which would destroy a backup there: choose \
             another file",
            log.display()
        )));
    }
    let partial = Partial::copy(database, target)?;
    partial.rename_to(target)
}

/// A copy that is complete and verified, and has not got its name yet. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    file: File,
}

impl Partial {
    /// Copies `source` to a new file beside `target`.
    pub(super) fn copy(source: &Path, target: &Path) -> Result<Self, CopyError> {
        let shown = source.display();
        let found = std::fs::metadata(source)
            .map_err(|error| CopyError::Usage(format!("cannot read {shown}: {error}")))?;
        if !found.is_file() {
            return Err(CopyError::Usage(format!("{shown} is not a file")));
        }
        let path = with_suffix(target, &format!(".partial-{}", std::process::id()));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(found.permissions().mode() & 0o777)
            .open(&path)
            .map_err(|error| {
                CopyError::Failed(format!("cannot write {}: {error}", path.display()))
            })?;
        let this = Self { path, file };
        let copied = copy_pages(source, &this.path);
        copied.map_err(|error| {
            let why = reason(&error);
            CopyError::Failed(format!("cannot copy {shown}: {why}"))
        })?;
        let copy = this.path.clone();
        verify(&copy).map_err(|why| {
            CopyError::Failed(format!("{shown} is damaged, and was not copied: {why}"))
        })?;
        Ok(this)
    }

    /// Gives the copy the permissions and, if this process may, the owner of another file.
    pub(super) fn adopt(&self, other: &std::fs::Metadata) -> std::io::Result<()> {
        // Only a privileged process may give a file away, and only such a one has to.
        let _not_allowed =
            std::os::unix::fs::fchown(&self.file, Some(other.uid()), Some(other.gid()));
        let mode = other.permissions().mode() & 0o777;
        self.file.set_permissions(Permissions::from_mode(mode))
    }

    /// Gives the copy its name, and returns its size once both are on disk.
    pub(super) fn rename_to(self, target: &Path) -> Result<u64, CopyError> {
        let renamed = self
            .file
            .sync_all()
            .and_then(|()| self.file.metadata())
            .and_then(|found| {
                std::fs::rename(&self.path, target)?;
                sync_directory(target)?;
                Ok(found.len())
            });
        renamed.map_err(|error| {
            CopyError::Failed(format!("cannot write {}: {error}", target.display()))
        })
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Gone already if it was renamed.
        let _renamed = std::fs::remove_file(&self.path);
        for suffix in ["-journal", "-wal", "-shm"] {
            let _absent = std::fs::remove_file(with_suffix(&self.path, suffix));
        }
    }
}

fn copy_pages(source: &Path, target: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_WRITE;
    let source = Connection::open_with_flags(as_path(source), flags)?;
    source.busy_timeout(LOCK_WAIT)?;
    // One read transaction, so that a commit in another process does not start the copy again.
    source.execute_batch("BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1;")?;
    let mut target = Connection::open_with_flags(as_path(target), flags)?;
    back_up(&source, &mut target, || false)?;
    // Without a log, the file alone is the whole database.
    target.query_row("PRAGMA journal_mode = DELETE", [], |row| {
        row.get::<_, String>(0)
    })?;
    Ok(())
}

/// Checks the structure of a database. References between its rows that lead nowhere are only
/// logged, because they are in the original too.
fn verify(path: &Path) -> Result<(), String> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_ONLY;
    let checked = || -> rusqlite::Result<(String, bool)> {
        let sqlite = Connection::open_with_flags(as_path(path), flags)?;
        let mut statement = sqlite.prepare(&format!("PRAGMA integrity_check({FAULTS})"))?;
        let faults = statement.query_map([], |row| row.get::<_, String>(0))?;
        let faults = faults.collect::<rusqlite::Result<Vec<_>>>()?;
        let lost = sqlite.prepare("PRAGMA foreign_key_check")?.exists([])?;
        Ok((faults.join("; "), lost))
    };
    match checked() {
        Ok((faults, lost)) if faults == "ok" => {
            if lost {
                tracing::warn!("the database has references to rows that do not exist");
            }
            Ok(())
        }
        Ok((faults, _)) => Err(faults.replace('\n', " ")),
        Err(error) => Err(reason(&error)),
    }
}

/// Whether SQLite failed because another process uses the file.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(
        code,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// Makes a change of names in the directory of `path` survive a power failure.
pub(super) fn sync_directory(path: &Path) -> std::io::Result<()> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}
