//! The `usher` program as users start it: arguments, environment, standard error, signals, exit
//! code.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::janitor::KillGuard;

/// How long a test waits for any event before it fails: far longer than the event takes, even on a
/// busy machine.
pub const WAIT_LIMIT: Duration = Duration::from_mins(1);

/// How the line begins that each program prints when it accepts connections.
const READY: &str = "listening on http://";

/// How the line begins that names the address for operators.
const OPERATORS: &str = "operators: http://";

/// The arguments and environment of a start of the program.
#[derive(Debug)]
pub struct Usher(Command);

impl Usher {
    /// The program at `path`, without any of its environment variables. It logs text, which is what
    /// tests read, and drains at once, although its standard error is no terminal.
    pub fn new(path: impl AsRef<Path>) -> Self {
        let mut command = Command::new(path.as_ref());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("USHER_")
                || text.starts_with("RUST_LOG")
                || text.starts_with("PG")
                || text.starts_with("DATABASE_URL")
            {
                command.env_remove(&name);
            }
        }
        command
            .env("USHER_LOG_FORMAT", "text")
            .env("USHER_DRAIN_DELAY", "0s")
            .env("USHER_COMPILE_CACHE", "none")
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

    /// Components of tests build their statements at run time; the embedded one declares its own.
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
    /// If it cannot be started.
    #[track_caller]
    pub fn spawn(mut self) -> Running {
        self.prepare();
        let mut child = self.0.spawn().unwrap_or_else(|error| {
            panic!("cannot start {}: {error}", self.0.get_program().display())
        });
        let kill_guard = KillGuard::process(child.id());
        let stderr = child.stderr.take().expect("it is piped");
        let mut stdout = child.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        let stderr = std::thread::spawn(move || read_lines(stderr, |line| drop(sender.send(line))));
        let stdout = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stdout.read_to_end(&mut text);
            text
        });
        Running {
            child,
            lines,
            heard: Vec::new(),
            stderr: Some(stderr),
            stdout: Some(stdout),
            _kill_guard: kill_guard,
        }
    }

    /// Starts it and waits for its end.
    ///
    /// # Panics
    /// If it cannot be started or does not end.
    #[track_caller]
    pub fn run(self) -> Ended {
        self.spawn().wait()
    }
}

/// A running program, killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    heard: Vec<String>,
    stderr: Option<JoinHandle<()>>,
    stdout: Option<JoinHandle<Vec<u8>>>,
    _kill_guard: KillGuard,
}

impl Running {
    /// Waits until it accepts connections, and returns its address, such as `127.0.0.1:8000`.
    ///
    /// # Panics
    /// If it ends before, or prints no such line within [`WAIT_LIMIT`].
    #[track_caller]
    pub fn address(&mut self) -> String {
        self.address_after(READY)
    }

    /// Waits for the address for operators, which it prints before [`Self::address`].
    ///
    /// # Panics
    /// If it ends before, or prints no such line within [`WAIT_LIMIT`].
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

    /// Waits for the next line on standard error that contains `text`.
    ///
    /// # Panics
    /// If it ends before, or prints no such line within [`WAIT_LIMIT`].
    #[track_caller]
    pub fn line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + WAIT_LIMIT;
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    self.heard.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!(
                    "usher did not print {text:?}, only:\n{}",
                    self.heard.join("\n")
                ),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("usher ended without {text:?}:\n{}", self.heard.join("\n"))
                }
            }
        }
    }

    /// The processor time it has used so far, on all cores together, in hundredths of a second.
    ///
    /// # Panics
    /// If it has ended.
    #[track_caller]
    pub fn processor_time(&self) -> Duration {
        let stat = self.proc("stat");
        // proc_pid_stat(5): the name, which may hold any character, is in parentheses. After it
        // user and system time are the 12th and 13th field, in hundredths of a second on every
        // Linux.
        let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Its resident memory in bytes.
    ///
    /// # Panics
    /// If it has ended.
    #[track_caller]
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most resident memory it has had so far, in bytes.
    ///
    /// # Panics
    /// If it has ended.
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

    /// How many descriptors it has open.
    ///
    /// # Panics
    /// If it has ended.
    #[track_caller]
    pub fn descriptors(&self) -> usize {
        self.open_files().count()
    }

    /// How many sockets it has open.
    ///
    /// # Panics
    /// If it has ended.
    #[track_caller]
    pub fn sockets(&self) -> usize {
        let sockets = self
            .open_files()
            .filter(|target| target.to_string_lossy().starts_with("socket:"));
        sockets.count()
    }

    /// What its descriptors refer to.
    #[track_caller]
    fn open_files(&self) -> impl Iterator<Item = PathBuf> + use<> {
        let path = format!("/proc/{}/fd", self.child.id());
        let open = std::fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        open.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM, as a service manager does.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    fn signal(&self, signal: Signal) {
        // Nobody has waited for this child process, so no other process can have its id.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it does not end within [`WAIT_LIMIT`].
    #[track_caller]
    pub fn wait(mut self) -> Ended {
        let deadline = Instant::now() + WAIT_LIMIT;
        // Its end closes its standard error.
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => self.heard.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("usher did not end, and printed:\n{}", self.heard.join("\n"))
                }
            }
        }
        let status = self.child.wait().expect("it has not been waited for");
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
            self.heard.extend(self.lines.try_iter());
            eprintln!("the program printed:\n{}", self.heard.join("\n"));
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
    /// Its exit code, or `None` if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The only line that it printed.
    ///
    /// # Panics
    /// If it printed no line, or several.
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
