//! Why a file cannot be opened, in more detail than SQLite's own messages.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::database::config::Config;
use crate::database::error::OpenError;

/// Checks a path for which SQLite would only report "unable to open database file".
pub(super) fn check_path(path: &Path, config: &Config) -> Result<(), OpenError> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            return Err(unusable(config, "it is a directory".to_owned()));
        }
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !config.read_only => {}
        Err(error) => return Err(unusable(config, error.to_string())),
    }
    match path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .map(std::fs::metadata)
    {
        Some(Err(error)) => Err(unusable(
            config,
            format!("its directory cannot be entered: {error}"),
        )),
        Some(Ok(found)) if !found.is_dir() => Err(unusable(
            config,
            "what should be its directory is a file".to_owned(),
        )),
        _ => Ok(()),
    }
}

pub(super) fn unusable(config: &Config, reason: String) -> OpenError {
    OpenError::Configuration {
        url: config.url.to_string(),
        reason,
    }
}

/// Why a file could not be opened. A lock is transient: each of several hosts that start at once
/// holds the file exclusively for a while.
pub(super) fn open_error(config: &Config, error: &rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy) => OpenError::Unreachable {
            url: config.url.to_string(),
            reason: reason(error),
        },
        _ => unusable(config, reason(error)),
    }
}

pub(super) fn reason(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => "it is not an SQLite database".to_owned(),
        Some(ErrorCode::DatabaseBusy) => "it is locked by another process".to_owned(),
        _ => error.to_string().replace('\n', " "),
    }
}
