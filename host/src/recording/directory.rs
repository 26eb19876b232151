//! The directory of recordings: for one user alone, and bounded.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::error::RecordingError;

/// How the names of recordings end.
pub(super) const EXTENSION: &str = "jsonl";

/// The longest name of a file without its end.
const NAME: usize = 100;

/// How many recordings may have the same id: a client may choose it.
const SAME_ID: u32 = 100;

/// A directory that recordings are written into.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// The bytes of all recordings, and their limit.
    used: u64,
    limit: u64,
}

/// Why a recording was not written.
#[derive(Debug)]
pub(super) enum NotWritten {
    /// The directory has reached its limit, which is given in bytes.
    Full(u64),
    /// The operating system refused.
    Failed(PathBuf, io::Error),
}

impl Directory {
    /// Opens the directory, or makes it.
    ///
    /// # Errors
    /// [`RecordingError::Directory`], and [`RecordingError::Open`] if others may enter it.
    pub(super) fn open(path: &Path, limit: u64) -> Result<Self, RecordingError> {
        let failed = |error| RecordingError::Directory(path.to_owned(), error);
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(error));
            }
            _ => {}
        }
        let mode = fs::metadata(path).map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(RecordingError::Open(path.to_owned(), mode));
        }
        let mut used = 0;
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.path().extension().is_some_and(|end| end == EXTENSION) {
                used += entry.metadata().map_or(0, |data| data.len());
            }
        }
        Ok(Self {
            path: path.to_owned(),
            used,
            limit,
        })
    }

    /// Writes a recording into a new file. No part of it stays if that fails.
    pub(super) fn write(&mut self, id: &str, text: &[u8]) -> Result<(), NotWritten> {
        let used = self.used + text.len() as u64;
        if used > self.limit {
            return Err(NotWritten::Full(self.limit));
        }
        let (path, mut file) = self.create(id)?;
        if let Err(error) = file.write_all(text) {
            drop(file);
            // What cannot be removed has no last line, so it is not taken for complete.
            fs::remove_file(&path).ok();
            return Err(NotWritten::Failed(path, error));
        }
        self.used = used;
        Ok(())
    }

    fn create(&self, id: &str) -> Result<(PathBuf, File), NotWritten> {
        let name = file_name(id);
        let mut number = 1;
        loop {
            let mut path = self.path.join(&name).into_os_string();
            if number > 1 {
                path.push(format!("-{number}"));
            }
            path.push(format!(".{EXTENSION}"));
            let path = PathBuf::from(path);
            let mut options = OpenOptions::new();
            match options.write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Ok((path, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < SAME_ID => {
                    number += 1;
                }
                Err(error) => return Err(NotWritten::Failed(path, error)),
            }
        }
    }
}

/// The name of a file for an id, which may hold slashes.
fn file_name(id: &str) -> String {
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') => c,
        _ => '_',
    };
    let name: String = id.chars().take(NAME).map(plain).collect();
    if name.starts_with('.') || name.is_empty() {
        format!("_{name}")
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_file_never_leaves_the_directory() {
        for (id, expected) in [
            ("6a-1", "6a-1"),
            ("../../etc/passwd", "_.._.._etc_passwd"),
            ("a/b:c=d~e+f", "a_b_c_d_e_f"),
            ("", "_"),
        ] {
            assert_eq!(file_name(id), expected);
        }
        assert_eq!(file_name(&"x".repeat(500)).len(), NAME);
    }
}
