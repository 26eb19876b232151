//! Files that are read again after SIGHUP and when they change.
//!
//! Each file is looked at every second. Tools replace files by renaming, in place, or by links to
//! another folder, and a look finds each of these. One that is written in place is empty or cut
//! meanwhile, so it is read once it stays the same. A file system that does not answer, as one of a
//! network, holds up this alone: files are looked at and read on threads for what blocks.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(1);

/// How long a file has to stay the same that has changed.
const SETTLE: Duration = Duration::from_millis(20);

/// How often that is looked at, for files that never stay the same.
const LOOKS: u32 = 50;

/// Files as they were just before they were read.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    paths: Arc<[PathBuf]>,
    known: Vec<Option<Stamp>>,
}

impl Files {
    /// Looks at files that are read next, so that a change while they are is found later.
    pub(crate) fn before_reading(paths: Vec<PathBuf>) -> Self {
        let known = stamps(&paths);
        let paths = paths.into();
        Self { paths, known }
    }
}

/// The wait for SIGHUP and for changes, which counts from when it was made.
#[derive(Debug)]
pub(crate) struct Watch {
    files: Files,
    hangup: Signal,
}

impl Watch {
    /// Begins the wait.
    ///
    /// # Errors
    /// If the operating system refuses to register a handler.
    pub(crate) fn new(files: Files) -> io::Result<Self> {
        let hangup = signal(SignalKind::hangup())?;
        Ok(Self { files, hangup })
    }

    /// Calls `read` after SIGHUP and when one of the files has changed, for as long as it is
    /// polled.
    pub(crate) async fn run(self, mut read: impl FnMut() + Send + 'static) {
        let Self {
            files: Files { paths, mut known },
            mut hangup,
        } = self;
        loop {
            let is_asked = tokio::select! {
                _ = hangup.recv() => true,
                () = tokio::time::sleep(POLL) => false,
            };
            // Before the files are read, so that a later change is found the next time.
            let mut now = look(&paths).await;
            if !is_asked {
                if now == known {
                    continue;
                }
                now = settled(&paths, now).await;
            }
            known = now;
            let reading = tokio::task::spawn_blocking(move || {
                read();
                read
            });
            match reading.await {
                Ok(again) => read = again,
                Err(panic) => return tracing::error!("files are not read again: {panic}"),
            }
        }
    }
}

/// The stamps of files at the moment.
async fn look(paths: &Arc<[PathBuf]>) -> Vec<Option<Stamp>> {
    if paths.is_empty() {
        return Vec::new();
    }
    let paths = Arc::clone(paths);
    // Looking does not panic.
    let looking = tokio::task::spawn_blocking(move || stamps(&paths));
    looking.await.unwrap_or_default()
}

/// The stamps of files that have changed, once they stay the same.
async fn settled(paths: &Arc<[PathBuf]>, mut now: Vec<Option<Stamp>>) -> Vec<Option<Stamp>> {
    for _ in 0..LOOKS {
        tokio::time::sleep(SETTLE).await;
        let before = std::mem::replace(&mut now, look(paths).await);
        if now == before {
            break;
        }
    }
    now
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |file: &PathBuf| std::fs::metadata(file).ok().map(Stamp::from);
    files.iter().map(stamp).collect()
}

/// What shows that a file has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn file_that_is_written_in_place_is_read_as_a_whole() {
        let folder = std::env::temp_dir().join(format!("usher-reload-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("file");
        fs::write(&file, "before").expect("a file");
        let mut now = stamps(std::slice::from_ref(&file));
        // Longer and longer, as a look finds it that comes too early.
        for length in 0..5 {
            fs::write(&file, "x".repeat(length)).expect("a file");
            let found = std::mem::replace(&mut now, stamps(std::slice::from_ref(&file)));
            assert_ne!(found, now, "{length}");
        }
        let writer = tokio::spawn({
            let file = file.clone();
            async move { fs::write(file, "the whole") }
        });
        let settled = settled(&[file.clone()].into(), now).await;
        writer.await.expect("no panic").expect("a file");
        assert_eq!(fs::read(&file).expect("a file"), b"the whole");
        assert_eq!(settled, stamps(std::slice::from_ref(&file)));
        fs::remove_dir_all(&folder).expect("the folder");
    }

    #[tokio::test]
    async fn change_between_the_first_reading_and_the_watch_is_found() {
        let folder = std::env::temp_dir().join(format!("usher-reloaded-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("file");
        fs::write(&file, "before").expect("a file");
        let files = Files::before_reading(vec![file.clone()]);
        fs::write(&file, "changed").expect("a file");
        let (read, has_read) = mpsc::channel();
        let watch = Watch::new(files).expect("a handler");
        let watching = watch.run(move || read.send(()).unwrap_or_default());
        let found =
            tokio::task::spawn_blocking(move || has_read.recv_timeout(Duration::from_mins(5)));
        tokio::select! {
            () = watching => unreachable!("it has no end"),
            found = found => found.expect("no panic").expect("the change is found"),
        }
        fs::remove_dir_all(&folder).expect("the folder");
    }
}
