//! The `usher` program as its users start it: arguments, environment, standard error, signals, exit code.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::janitor::Doomed;

/// How long anything that a test waits for may take before it counts as not happening. Far more than it takes, also on a
/// machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// What every program under test begins its report of being ready with.
const READY: &str = "listening on http://";

/// What it says of where operators find it.
const OPERATORS: &str = "operators: http://";

/// A start of the program that is being put together.
#[derive(Debug)]
pub struct Usher(Command);

impl Usher {
    /// The program at `path`, with none of its environment variables set.
    pub fn new(path: impl AsRef<Path>) -> Self {
        let mut command = Command::new(path.as_ref());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("USHER_")
                || text.starts_with("RUST_LOG")
                || text.starts_with("PG")
                || text == "DATABASE_URL"
            {
                command.env_remove(&name);
            }
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self(command)
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.args(args);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn current_dir(mut self, directory: &Path) -> Self {
        self.0.current_dir(directory);
        self
    }

    /// Components of tests make up their statements; the embedded one declares its own.
    fn prepare(&mut self) {
        let arguments: Vec<_> = self.0.get_args().collect();
        let has = |name: &str| arguments.iter().any(|argument| *argument == name);
        if has("--component") && !has("--database-statements") {
            self.0.env("USHER_DATABASE_STATEMENTS", "any");
        }
    }

    /// Starts it.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[track_caller]
    pub fn spawn(mut self) -> Running {
        self.prepare();
        let mut child = self.0.spawn().unwrap_or_else(|error| {
            panic!("cannot start {}: {error}", self.0.get_program().display())
        });
        let doomed = Doomed::process(child.id());
        let stderr = child.stderr.take().expect("it was asked for");
        let mut stdout = child.stdout.take().expect("it was asked for");
        let (lines, said) = channel();
        let stderr = std::thread::spawn(move || read_lines(stderr, |line| drop(lines.send(line))));
        let stdout = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stdout.read_to_end(&mut text);
            text
        });
        Running {
            child,
            said,
            heard: Vec::new(),
            stderr: Some(stderr),
            stdout: Some(stdout),
            _doomed: doomed,
        }
    }

    /// Starts it and waits for its end.
    ///
    /// # Panics
    /// Where it cannot be started or does not end.
    #[track_caller]
    pub fn run(self) -> Ended {
        self.spawn().wait()
    }
}

/// A program that was started; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    said: Receiver<String>,
    heard: Vec<String>,
    stderr: Option<JoinHandle<()>>,
    stdout: Option<JoinHandle<Vec<u8>>>,
    _doomed: Doomed,
}

impl Running {
    /// Waits until it says that it accepts connections, and gives the address, as `127.0.0.1:8000`.
    ///
    /// # Panics
    /// Where it ends before, or does not say so within [`PATIENCE`].
    #[track_caller]
    pub fn address(&mut self) -> String {
        self.address_after(READY)
    }

    /// The same for where it tells operators to go, which it says before [`Self::address`].
    ///
    /// # Panics
    /// Where it ends before, or does not say so within [`PATIENCE`].
    #[track_caller]
    pub fn operators(&mut self) -> String {
        self.address_after(OPERATORS)
    }

    #[track_caller]
    fn address_after(&mut self, text: &str) -> String {
        let line = self.line(text);
        let address = line.split(text).nth(1).unwrap_or_default();
        let end = address.find(|found: char| found == '/' || found.is_whitespace());
        address[..end.unwrap_or(address.len())].to_owned()
    }

    /// Waits for the first line on standard error that contains `text` and was not waited for before.
    ///
    /// # Panics
    /// Where it ends before, or does not say so within [`PATIENCE`].
    #[track_caller]
    pub fn line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self
                .said
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    self.heard.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!(
                    "usher did not say {text:?}, only:\n{}",
                    self.heard.join("\n")
                ),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("usher ended without {text:?}:\n{}", self.heard.join("\n"))
                }
            }
        }
    }

    /// The processor time it has taken so far, on all cores together, to the hundredth of a second.
    ///
    /// # Panics
    /// Where it has ended.
    #[track_caller]
    pub fn processor_time(&self) -> Duration {
        let stat = self.proc("stat");
        // Its name, which may hold anything, is in parentheses; then come the state, and user and system time as the 12th and
        // 13th (proc_pid_stat(5)), in ticks of a hundredth on every Linux there is.
        let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// The memory it has in use, in bytes: its resident set.
    ///
    /// # Panics
    /// Where it has ended.
    #[track_caller]
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most memory it has had in use so far, in bytes.
    ///
    /// # Panics
    /// Where it has ended.
    #[track_caller]
    pub fn most_resident_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    #[track_caller]
    fn memory(&self, name: &str) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kibibytes.expect("a process that runs has memory") * 1024
    }

    #[track_caller]
    fn proc(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.child.id());
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// How many sockets it has open.
    ///
    /// # Panics
    /// Where it has ended.
    #[track_caller]
    pub fn sockets(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.id());
        let open = std::fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let targets = open.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        let sockets = targets.filter(|target| target.to_string_lossy().starts_with("socket:"));
        sockets.count()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, as a service manager does.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks it to stop, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    fn signal(&self, signal: Signal) {
        // The process is ours and has not been waited for, so that no other can have its id.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// Where it does not end within [`PATIENCE`].
    #[track_caller]
    pub fn wait(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        // Its standard error is closed by its end.
        loop {
            match self
                .said
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => self.heard.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("usher did not end, and said:\n{}", self.heard.join("\n"))
                }
            }
        }
        let status = self.child.wait().expect("its end was not asked for before");
        self.join();
        let stdout = self
            .stdout
            .take()
            .map(|reading| reading.join().unwrap_or_default())
            .unwrap_or_default();
        Ended {
            status,
            stderr: std::mem::take(&mut self.heard),
            stdout,
        }
    }

    fn join(&mut self) {
        if let Some(reading) = self.stderr.take() {
            let _ = reading.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.join();
        if std::thread::panicking() {
            self.heard.extend(self.said.try_iter());
            eprintln!("the program said:\n{}", self.heard.join("\n"));
        }
    }
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    status: ExitStatus,
    /// The lines of its standard error.
    pub stderr: Vec<String>,
    /// Its standard output.
    pub stdout: Vec<u8>,
}

impl Ended {
    /// Its exit code, or none where a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The one line that it said.
    ///
    /// # Panics
    /// Where it said nothing, or more.
    #[track_caller]
    pub fn only_line(&self) -> &str {
        match &self.stderr[..] {
            [line] => line,
            lines => panic!(
                "not one line but {} (exit {:?}):\n{}",
                lines.len(),
                self.code(),
                lines.join("\n")
            ),
        }
    }
}

fn read_lines(stream: ChildStderr, mut hear: impl FnMut(String)) {
    for line in BufReader::new(stream).split(b'\n') {
        let Ok(line) = line else { return };
        hear(String::from_utf8_lossy(&line).into_owned());
    }
}
