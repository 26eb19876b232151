//! Compiles a component that came from elsewhere, within a time and a memory limit.
//!
//! What the bounds ([`crate::sandbox::bounds`]) let through may still be built to be dear: the
//! compiler's work is not linear in a function's size. It runs on a thread of its own, which cannot
//! be stopped; who gives up on it ends the process, or leaves it to its end.

use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use wasmtime::Engine;
use wasmtime::component::Component;

/// How long compiling may take. The service's component takes seconds.
const TIME: Duration = Duration::from_mins(5);

/// What it may take of memory, in bytes. The service's component takes some hundred megabytes.
const MEMORY: u64 = 2 << 30;

/// How often the process's memory is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// Why there is no component.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It does not compile.
    Compiler(wasmtime::Error),
    /// It takes too long.
    TooLong(Duration),
    /// It takes too much memory, in bytes.
    TooMuch(u64),
    /// The operating system gives no thread.
    System(std::io::Error),
    /// The compiler panicked.
    Panicked,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compiler(error) => {
                f.write_str(&crate::telemetry::log::excerpt(format_args!("{error:#}")))
            }
            Self::TooLong(time) => write!(
                f,
                "compiling it takes longer than {time:?}, which is no service"
            ),
            Self::TooMuch(bytes) => write!(
                f,
                "compiling it takes more than {bytes} bytes of memory, which is no service"
            ),
            Self::System(error) => write!(
                f,
                "the operating system gives no thread to compile it: {error}"
            ),
            Self::Panicked => f.write_str("the compiler panicked over it"),
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

/// Compiles a component.
///
/// # Errors
/// See [`Failure`].
pub(crate) fn compile(engine: &Engine, bytes: Vec<u8>) -> Result<Component, Failure> {
    let engine = engine.clone();
    limited(TIME, MEMORY, move || {
        Component::new(&engine, bytes).map_err(Failure::Compiler)
    })?
}

/// Does some work on a thread of its own, and waits for it no longer than it may take.
fn limited<T: Send + 'static>(
    time: Duration,
    memory: u64,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let (done, result) = channel();
    std::thread::Builder::new()
        .name("usher-compile".into())
        // Where nobody waits any more, nobody wants the result.
        .spawn(move || drop(done.send(work())))
        .map_err(Failure::System)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn work_that_takes_too_long_is_given_up() {
        let (_held, never) = channel::<()>();
        let outcome = limited(Duration::from_millis(30), u64::MAX, move || {
            never.recv().is_ok()
        });
        assert!(matches!(outcome, Err(Failure::TooLong(_))));
    }

    #[test]
    fn work_that_takes_too_much_memory_is_given_up() {
        let (_held, never) = channel::<()>();
        let outcome = limited(LONG, 64 << 20, move || {
            let taken = vec![1_u8; 256 << 20];
            never.recv().is_ok() && taken.len() > 1
        });
        assert!(matches!(outcome, Err(Failure::TooMuch(_))));
    }

    #[test]
    fn work_within_its_limits_gives_its_result() {
        assert!(matches!(limited(LONG, u64::MAX, || 7), Ok(7)));
        let panics = limited(LONG, u64::MAX, || assert_eq!(1, 2, "as it must"));
        assert!(matches!(panics, Err(Failure::Panicked)));
    }
}
