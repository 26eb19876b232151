//! Compiles a component that came from elsewhere, within a time and a memory limit.
//!
//! What passes [`crate::sandbox::bounds`] may still be expensive by design: compilation is not
//! linear in a function's size. The server therefore starts `usher-compiler`, which the kernel
//! ends beyond its limits, and has no compiler in itself. A program that embeds this crate can
//! compile in its own process instead (feature `compiler`), on a thread that cannot be stopped:
//! beyond a limit the caller gets an error and the thread runs to its end.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use wasmtime::Engine;
use wasmtime::component::Component;

use super::bounds::{self, Beyond};
use super::compile_cache::Entry;
use super::source::ComponentBytes;

/// How long compiling may take. The service's component takes seconds.
const TIME: Duration = Duration::from_mins(5);

/// What a compiled component may be long, in bytes. The service's has 6 MB.
const CODE: u64 = 1 << 30;

/// What is read of the compiler's own message, in bytes.
const MESSAGE: u64 = 4 << 10;

/// The name of the program that compiles, beside the server's.
const PROGRAM: &str = "usher-compiler";

/// What compiles components.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// The compiler in this process.
    #[cfg(feature = "compiler")]
    InProcess,
    /// This program, and the directory where its results are kept.
    Program(PathBuf, Option<PathBuf>),
}

impl Default for Compiler {
    /// The one in this process if there is one, or else the program near this one.
    fn default() -> Self {
        #[cfg(feature = "compiler")]
        return Self::InProcess;
        #[cfg(not(feature = "compiler"))]
        Self::Program(
            match std::env::current_exe() {
                Ok(server) => near(&server),
                Err(_) => PathBuf::from(PROGRAM),
            },
            None,
        )
    }
}

/// The program beside the server's, or else where Cargo puts it in a checkout: in the folder of the
/// profile `compiler`, beside that of the server's profile.
#[cfg(not(feature = "compiler"))]
fn near(server: &Path) -> PathBuf {
    let beside = server.with_file_name(PROGRAM);
    let profiles = server.parent().and_then(Path::parent);
    match profiles.map(|profiles| profiles.join("compiler").join(PROGRAM)) {
        Some(built) if !beside.exists() && built.exists() => built,
        _ => beside,
    }
}

impl Compiler {
    /// The same, keeping what it compiles in this directory.
    #[must_use]
    pub fn with_cache(self, directory: Option<PathBuf>) -> Self {
        match self {
            #[cfg(feature = "compiler")]
            Self::InProcess => Self::InProcess,
            Self::Program(program, _) => Self::Program(program, directory),
        }
    }
}

/// Why there is no component.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It is not compiled, because it is beyond a bound.
    Bounds(Beyond),
    /// It does not compile.
    Compiler(String),
    /// It takes too long.
    TooLong(Duration),
    /// It takes too much memory, in bytes.
    #[cfg(feature = "compiler")]
    TooMuch(u64),
    /// The program that compiles is not there.
    NoProgram(PathBuf),
    /// The program ended by a signal, which for most components means beyond a limit.
    Ended(ExitStatus),
    /// The operating system refuses a thread or a process.
    System(std::io::Error),
    /// The compiler panicked.
    #[cfg(feature = "compiler")]
    Panicked,
    /// The engine refuses what was compiled.
    Engine(wasmtime::Error),
}

impl Failure {
    /// Whether the component is at fault, not what compiles it.
    pub(super) fn is_of_the_component(&self) -> bool {
        match self {
            Self::Bounds(_) | Self::Compiler(_) | Self::TooLong(_) | Self::Ended(_) => true,
            #[cfg(feature = "compiler")]
            Self::TooMuch(_) | Self::Panicked => true,
            Self::NoProgram(_) | Self::System(_) | Self::Engine(_) => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bounds(beyond) => beyond.fmt(f),
            Self::Compiler(error) => {
                f.write_str(&crate::telemetry::log::excerpt(format_args!("{error}")))
            }
            Self::TooLong(time) => write!(f, "compiling it takes longer than {time:?}"),
            #[cfg(feature = "compiler")]
            Self::TooMuch(bytes) => {
                write!(f, "compiling it takes more than {bytes} bytes of memory")
            }
            Self::NoProgram(program) => write!(
                f,
                "this program has no compiler in it, and {} is not there: build it (cargo build \
                 --profile compiler --package {PROGRAM}) and name it with --compiler or \
                 USHER_COMPILER, or put it beside this program",
                program.display()
            ),
            Self::Ended(status) => write!(
                f,
                "its compiler ended beyond its limits of memory or processor time ({status})"
            ),
            Self::System(error) => {
                write!(f, "the operating system refuses to compile it: {error}")
            }
            #[cfg(feature = "compiler")]
            Self::Panicked => f.write_str("the compiler panicked over it"),
            Self::Engine(error) => write!(
                f,
                "this program cannot load what was compiled; is the compiler of the same version? \
                 {error:#}"
            ),
        }
    }
}

/// Compiles a component, if it is within bounds and was not compiled before.
///
/// # Errors
/// See [`Failure`].
pub(crate) fn compile(
    engine: &Engine,
    compiler: &Compiler,
    bytes: &ComponentBytes<'_>,
) -> Result<Component, Failure> {
    let entry = if let Compiler::Program(program, Some(cache)) = compiler {
        Some(Entry::new(cache, program, bytes.digest()))
    } else {
        None
    };
    // What is kept was within bounds when it was compiled.
    if let Some(component) = entry.as_ref().and_then(|entry| cached(engine, entry)) {
        return Ok(component);
    }
    bounds::check(bytes).map_err(Failure::Bounds)?;
    match compiler {
        #[cfg(feature = "compiler")]
        Compiler::InProcess => in_process::compile(engine, bytes.to_vec()),
        Compiler::Program(program, _) => {
            let code = by_program(program, bytes.to_vec(), TIME)?;
            let component = load(engine, &code).map_err(Failure::Engine)?;
            if let Some(Err(error)) = entry.map(|entry| entry.write(&code)) {
                tracing::warn!("the compiled component is not kept for the next start: {error}");
            }
            Ok(component)
        }
    }
}

/// A component that was compiled before.
fn cached(engine: &Engine, entry: &Entry) -> Option<Component> {
    match entry.open(CODE) {
        // The engine refuses what another version left, and the component is compiled again.
        Ok(file) => load_file(engine, &file?).ok(),
        Err(error) => {
            tracing::warn!(
                "what was compiled before is not trusted (--compile-cache), and the component is \
                 compiled again: {error}"
            );
            None
        }
    }
}

/// A component from what a compiler made of it.
#[expect(
    unsafe_code,
    reason = "loading machine code is unsafe; see the safety argument inside"
)]
pub(super) fn load(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` runs the bytes as machine code, so they must come from the compiler
    // unchanged. They are part of this executable's read-only data, written by this crate's own
    // build script, or come through a pipe from the compiler program, which the operator installed
    // as they installed this one. No byte of a component gets here uncompiled.
    unsafe { Component::deserialize(engine, code) }
}

/// A component from a file that holds what a compiler made of it. Its pages are mapped, not copied.
#[expect(
    unsafe_code,
    reason = "loading machine code is unsafe; see the safety argument inside"
)]
fn load_file(engine: &Engine, file: &File) -> wasmtime::Result<Component> {
    // The very file that was checked, whatever is at its path by now.
    let path = format!("/dev/fd/{}", file.as_raw_fd());
    // SAFETY: as in `load`, and nobody may change the file while it is mapped. `compile_cache`
    // checks that this process's user alone can write to it, and itself never writes to a file
    // again that it has given its name.
    unsafe { Component::deserialize_file(engine, path) }
}

/// Has a program compile.
fn by_program(program: &Path, bytes: Vec<u8>, time: Duration) -> Result<Vec<u8>, Failure> {
    // It does not run in this directory.
    let program = std::path::absolute(program).map_err(Failure::System)?;
    let mut child = Command::new(&program)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::NoProgram(program.clone()),
            _ => Failure::System(error),
        })?;
    let result = converse(&mut child, bytes, time);
    if result.is_err() {
        // It may have ended already.
        child.kill().ok();
    }
    let status = child.wait().map_err(Failure::System)?;
    let (code, message) = result?;
    match status.code() {
        Some(0) => Ok(code),
        Some(_) => Err(Failure::Compiler(
            String::from_utf8_lossy(&message).trim().to_owned(),
        )),
        None => Err(Failure::Ended(status)),
    }
}

/// Writes the component to a child process, and reads all that it writes until it ends.
fn converse(
    child: &mut Child,
    bytes: Vec<u8>,
    time: Duration,
) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(Failure::System(std::io::ErrorKind::BrokenPipe.into()));
    };
    let deadline = Instant::now() + time;
    let code = in_thread(move || read(stdout, CODE)).map_err(Failure::System)?;
    let message = in_thread(move || read(stderr, MESSAGE)).map_err(Failure::System)?;
    // A child that ends early closes the pipe, and its exit code says why.
    in_thread(move || stdin.write_all(&bytes)).map_err(Failure::System)?;
    let wait = |output: Receiver<std::io::Result<Vec<u8>>>| {
        let left = deadline.saturating_duration_since(Instant::now());
        let output = output.recv_timeout(left);
        output
            .map_err(|_| Failure::TooLong(time))?
            .map_err(Failure::System)
    };
    Ok((wait(code)?, wait(message)?))
}

fn read(from: impl Read, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Does some work on a thread of its own, and returns where its result arrives.
fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<Receiver<T>> {
    let (done, result) = channel();
    std::thread::Builder::new()
        .name("usher-compile".into())
        // Where nothing waits for the result any more, it is dropped.
        .spawn(move || drop(done.send(work())))?;
    Ok(result)
}

#[cfg(feature = "compiler")]
mod in_process {
    //! The compiler in this process.

    use std::sync::mpsc::RecvTimeoutError;

    use super::{Component, Duration, Engine, Failure, Instant, TIME, in_thread};

    /// What compiling may take of memory, in bytes. The service's component takes some hundred MB.
    const MEMORY: u64 = 2 << 30;

    /// How often the process's memory is looked at meanwhile.
    const LOOK: Duration = Duration::from_millis(20);

    pub(super) fn compile(engine: &Engine, bytes: Vec<u8>) -> Result<Component, Failure> {
        let engine = engine.clone();
        limited(TIME, MEMORY, move || {
            Component::new(&engine, bytes).map_err(|error| Failure::Compiler(format!("{error:#}")))
        })?
    }

    /// Does some work on a thread of its own, and waits for it no longer than it may take.
    pub(super) fn limited<T: Send + 'static>(
        time: Duration,
        memory: u64,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let result = in_thread(work).map_err(Failure::System)?;
        let began = Instant::now();
        let before = resident().unwrap_or_default();
        loop {
            match result.recv_timeout(LOOK) {
                Ok(result) => return Ok(result),
                Err(RecvTimeoutError::Disconnected) => return Err(Failure::Panicked),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if began.elapsed() > time {
                return Err(Failure::TooLong(time));
            }
            if resident().is_some_and(|now| now.saturating_sub(before) > memory) {
                return Err(Failure::TooMuch(memory));
            }
        }
    }

    /// The process's resident memory, in bytes, where the operating system tells.
    fn resident() -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kibibytes << 10)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    /// What comes of a compiler that is this shell script.
    fn by_script(name: &str, script: &str, time: Duration) -> Result<Vec<u8>, Failure> {
        let file = std::env::temp_dir().join(format!("usher-{name}-{}", std::process::id()));
        std::fs::write(&file, format!("#!/bin/sh\n{script}")).expect("a file");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o700)).expect("its mode");
        let outcome = by_program(&file, vec![7; 1 << 20], time);
        std::fs::remove_file(&file).expect("the file is there");
        outcome
    }

    #[cfg(not(feature = "compiler"))]
    #[test]
    fn compiler_program_is_beside_the_server_or_in_the_folder_of_its_profile() {
        let folder = std::env::temp_dir().join(format!("usher-near-{}", std::process::id()));
        for profile in ["release", "compiler"] {
            std::fs::create_dir_all(folder.join(profile)).expect("a folder");
        }
        let server = folder.join("release/usher");
        let beside = folder.join("release").join(PROGRAM);
        let built = folder.join("compiler").join(PROGRAM);
        assert_eq!(near(&server), beside);
        std::fs::write(&built, "").expect("a file");
        assert_eq!(near(&server), built);
        std::fs::write(&beside, "").expect("a file");
        assert_eq!(near(&server), beside);
        std::fs::remove_dir_all(&folder).expect("the folder is there");
    }

    #[test]
    fn compiler_program_that_succeeds_returns_what_it_wrote() {
        let code = by_script("succeeds", "cat", LONG).expect("it succeeds");
        assert_eq!(code, vec![7; 1 << 20]);
    }

    #[test]
    fn compiler_program_that_fails_without_reading_returns_its_message() {
        let outcome = by_script("fails", "echo no component >&2; exit 1", LONG);
        assert!(matches!(outcome, Err(Failure::Compiler(text)) if text == "no component"));
    }

    #[test]
    fn compiler_program_that_is_killed_returns_how_it_ended() {
        let outcome = by_script("killed", "kill -9 $$", LONG);
        assert!(matches!(outcome, Err(Failure::Ended(_))));
    }

    #[test]
    fn compiler_program_that_takes_too_long_is_killed() {
        let outcome = by_script("long", "exec sleep 600", Duration::from_millis(50));
        assert!(matches!(outcome, Err(Failure::TooLong(_))));
    }

    #[test]
    fn compiler_program_that_is_missing_returns_what_to_build() {
        let outcome = by_program(Path::new("/nonexistent/usher-compiler"), Vec::new(), LONG);
        let error = outcome.expect_err("there is none").to_string();
        assert!(error.contains("/nonexistent/usher-compiler is not there"));
        assert!(error.contains("--package usher-compiler"));
    }

    #[cfg(feature = "compiler")]
    #[test]
    fn work_that_takes_too_long_is_given_up() {
        let (_held, never) = channel::<()>();
        let outcome = in_process::limited(Duration::from_millis(30), u64::MAX, move || {
            never.recv().is_ok()
        });
        assert!(matches!(outcome, Err(Failure::TooLong(_))));
    }

    #[cfg(feature = "compiler")]
    #[test]
    fn work_that_takes_too_much_memory_is_given_up() {
        let (_held, never) = channel::<()>();
        let outcome = in_process::limited(LONG, 64 << 20, move || {
            let taken = vec![1_u8; 256 << 20];
            never.recv().is_ok() && taken.len() > 1
        });
        assert!(matches!(outcome, Err(Failure::TooMuch(_))));
    }

    #[cfg(feature = "compiler")]
    #[test]
    fn work_within_its_limits_returns_its_result() {
        assert!(matches!(in_process::limited(LONG, u64::MAX, || 7), Ok(7)));
        let panics = in_process::limited(LONG, u64::MAX, || assert_eq!(1, 2, "as it must"));
        assert!(matches!(panics, Err(Failure::Panicked)));
    }
}
