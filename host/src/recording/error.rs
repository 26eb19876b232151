//! Why a recording cannot be read or written.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a recording cannot be read or written. Every text is one line for the operator.
#[derive(Debug)]
pub enum RecordingError {
    /// The file cannot be read.
    Read(PathBuf, io::Error),
    /// The file is no recording, or a damaged one. The text says where and why.
    Malformed(PathBuf, String),
    /// Another version of the format than the one that is read, which comes second.
    Version(PathBuf, u32, u32),
    /// The directory cannot be used.
    Directory(PathBuf, io::Error),
    /// Others may read the directory.
    Open(PathBuf, u32),
    /// The recorder cannot be started. The text says why.
    Start(String),
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => {
                write!(f, "cannot read the recording {}: {error}", path.display())
            }
            Self::Malformed(path, why) => {
                write!(f, "{} is not a complete recording: {why}", path.display())
            }
            Self::Version(path, version, read) => write!(
                f,
                "{} has version {version} of the format, and this program reads version {read}: \
                 replay it with the program that recorded it",
                path.display()
            ),
            Self::Directory(path, error) => {
                write!(f, "cannot record in {} (--record): {error}", path.display())
            }
            Self::Open(path, mode) => write!(
                f,
                "others may enter the directory {} (--record), whose mode is {mode:o}: run chmod \
                 700 on it, or name another",
                path.display()
            ),
            Self::Start(why) => write!(f, "the recorder does not start (--record): {why}"),
        }
    }
}

impl std::error::Error for RecordingError {}
