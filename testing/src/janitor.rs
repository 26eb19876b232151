//! Cleans up after a test process, however it ends.
//!
//! Destructors do not run when a process is killed. A shell that reads a pipe from the test process
//! sees the end of the pipe in every case. It then kills the processes and removes the directory
//! that the test process registered and did not clean up itself.

use std::fs::DirBuilder;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Reads `kill PID` and `spare PID`, one per line; `$1` is the directory to remove. Ignores signals
/// that are meant for the test process, such as Ctrl-C in its terminal.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
doomed=" "
while read -r verb pid; do
    case $verb in
        kill) doomed="$doomed$pid " ;;
        spare) doomed="${doomed%%" $pid "*} ${doomed#*" $pid "}" ;;
    esac
done
for pid in $doomed; do kill -KILL "$pid"; done
rm -rf "$1"
"#;

static JANITOR: LazyLock<Janitor> = LazyLock::new(Janitor::start);
static NEXT: AtomicU32 = AtomicU32::new(0);

struct Janitor {
    orders: Mutex<ChildStdin>,
    /// Removed when this process ends.
    directory: PathBuf,
}

impl Janitor {
    #[expect(
        clippy::zombie_processes,
        reason = "it outlives this process, which is what it is for"
    )]
    fn start() -> Self {
        let directory = new_directory();
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "usher-testing-janitor"])
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a POSIX shell is needed to clean up after the tests");
        let orders = Mutex::new(shell.stdin.take().expect("its standard input is piped"));
        Self { orders, directory }
    }

    fn order(&self, order: &str, process: u32) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        // A missing janitor may leave files behind, but is no reason to fail a test.
        let _ = writeln!(orders, "{order} {process}");
    }
}

/// A process that must not outlive this one. It is killed when this process ends, unless its guard
/// was dropped before.
#[derive(Debug)]
pub struct KillGuard(u32);

impl KillGuard {
    /// Registers a process to be killed when this one ends.
    pub fn process(id: u32) -> Self {
        JANITOR.order("kill", id);
        Self(id)
    }
}

impl Drop for KillGuard {
    fn drop(&mut self) {
        JANITOR.order("spare", self.0);
    }
}

/// A directory for one test, removed when dropped or when the test process ends.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Creates an empty directory.
    ///
    /// # Panics
    /// If the directory for temporary files is not writable.
    pub fn new() -> Self {
        let path = JANITOR
            .directory
            .join(NEXT.fetch_add(1, Relaxed).to_string());
        std::fs::create_dir(&path)
            .unwrap_or_else(|error| panic!("cannot create {}: {error}", path.display()));
        Self(path)
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path in the directory, as text for a URL or a command line.
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Creates a directory with a name that no other process uses, on this machine or in other
/// containers of one image.
fn new_directory() -> PathBuf {
    let process = std::process::id();
    (0u32..)
        .map(|attempt| std::env::temp_dir().join(format!("usher-testing.{process}.{attempt}")))
        .find_map(|path| match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => Some(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => None,
            Err(error) => panic!("cannot create {}: {error}", path.display()),
        })
        .expect("there are more names than directories")
}
