//! Files that are read again after SIGHUP and when they change.
//!
//! Each file is looked at every second. Tools replace files by renaming, in place, or by links to
//! another folder, and a look finds each of these.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(1);

/// Calls `read` after SIGHUP and when one of the files has changed, for as long as it is polled.
///
/// # Errors
/// If the operating system refuses to register a handler.
pub(crate) fn watch(
    files: Vec<PathBuf>,
    mut read: impl FnMut() + Send + 'static,
) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut known = stamps(&files);
    Ok(async move {
        loop {
            let is_asked = tokio::select! {
                _ = hangup.recv() => true,
                () = tokio::time::sleep(POLL) => false,
            };
            // Before the files are read, so that a later change is found the next time.
            let now = stamps(&files);
            if is_asked || now != known {
                known = now;
                read();
            }
        }
    })
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |file: &PathBuf| std::fs::metadata(file).ok().map(Stamp::from);
    files.iter().map(stamp).collect()
}

/// What shows that a file has changed.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl From<Metadata> for Stamp {
    fn from(file: Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}
