//! Cleans up after a test process, however that ends.
//!
//! Destructors do not run when a process is killed. A shell that reads a pipe from the test process notices the end of it in
//! any case, and then kills and removes what the process registered and did not take care of itself.

use std::fs::DirBuilder;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Reads `kill PID` and `spare PID`, one per line; `$1` is the directory to remove. A signal that is meant for the test
/// process, as Ctrl-C in its terminal, must not keep the shell from cleaning up.
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
        let orders = Mutex::new(
            shell
                .stdin
                .take()
                .expect("its standard input was asked for"),
        );
        Self { orders, directory }
    }

    fn order(&self, order: &str, process: u32) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        // Without its janitor a process could leave something behind, which is no reason for a test to fail.
        let _ = writeln!(orders, "{order} {process}");
    }
}

/// A process that must not outlive this one: it is killed when this process ends, unless it was waited for and this guard
/// dropped.
#[derive(Debug)]
pub struct Doomed(u32);

impl Doomed {
    /// Has this process killed with this one.
    pub fn process(id: u32) -> Self {
        JANITOR.order("kill", id);
        Self(id)
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        JANITOR.order("spare", self.0);
    }
}

/// A directory of a test's own, removed when dropped or when the test process ends.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty directory.
    ///
    /// # Panics
    /// Where the directory for temporary files cannot be written to.
    pub fn new() -> Self {
        let path = JANITOR
            .directory
            .join(NEXT.fetch_add(1, Relaxed).to_string());
        std::fs::create_dir(&path)
            .unwrap_or_else(|error| panic!("cannot create {}: {error}", path.display()));
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path in it, as text for a URL or a command line.
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

/// Makes a directory that no other process has, many of which may run at once, on one machine or in one container's image.
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
