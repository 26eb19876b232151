//! Writes log lines to standard error, on a thread of its own.
//!
//! Whoever reads standard error may be slow or may have stopped. A core must not wait for it, so a
//! line goes to a buffer of bounded size, which the thread writes. Lines that do not fit are
//! dropped and counted, and the next batch ends with their number.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The most bytes that wait to be written.
const CAPACITY: usize = 4 << 20;

/// The bytes of memory that the thread keeps for the next batch.
const KEPT: usize = 64 << 10;

/// How long the thread collects lines that are not urgent. Waking it for each line would cost the
/// cores more than the line.
const COLLECT: Duration = Duration::from_millis(5);

/// How long the end of the program waits for the last lines.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// Writes lines to standard error.
#[derive(Clone, Debug)]
pub(super) struct LogWriter(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// The thread waits for lines.
    lines: Condvar,
    /// Callers of `flush` wait for the thread.
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    buffer: Vec<u8>,
    /// Lines that did not fit since the last batch.
    dropped: u64,
    /// Whether the buffer has to be written at once.
    is_urgent: bool,
    /// Whether the thread waits for a line, with everything written.
    is_idle: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogWriter {
    /// Starts the thread, which ends with the process. `dropped` makes the line that says how many
    /// were dropped.
    ///
    /// # Errors
    /// If the operating system refuses a thread.
    pub(super) fn start(
        mut output: impl io::Write + Send + 'static,
        dropped: impl Fn(u64) -> String + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let written = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("usher-log".into())
            .spawn(move || write(&written, &mut output, &dropped))?;
        Ok(Self(shared))
    }

    /// Adds a line, which ends with a newline. An urgent one is written at once.
    pub(super) fn push(&self, line: &[u8], is_urgent: bool) {
        let mut state = self.0.state();
        if state.buffer.len() + line.len() > CAPACITY {
            state.dropped += 1;
            return;
        }
        state.buffer.extend_from_slice(line);
        let wakes = state.is_idle || (is_urgent && !state.is_urgent);
        state.is_idle = false;
        state.is_urgent |= is_urgent;
        drop(state);
        if wakes {
            self.0.lines.notify_one();
        }
    }

    /// Waits until all lines are written, but no longer than [`FLUSH_LIMIT`].
    pub(super) fn flush(&self) {
        let mut state = self.0.state();
        state.is_urgent = true;
        self.0.lines.notify_one();
        let waits = |state: &mut State| !(state.is_idle && state.buffer.is_empty());
        // Nothing is left to report a failure to.
        drop(self.0.written.wait_timeout_while(state, FLUSH_LIMIT, waits));
    }
}

/// Writes batches of lines for as long as the process lives.
fn write(shared: &Shared, output: &mut impl io::Write, line: &impl Fn(u64) -> String) {
    let mut batch = Vec::new();
    loop {
        let dropped = {
            let mut state = shared.state();
            while state.buffer.is_empty() {
                state.is_idle = true;
                shared.written.notify_all();
                state = shared
                    .lines
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            state.is_idle = false;
            let collects =
                |state: &mut State| !state.is_urgent && state.buffer.len() < CAPACITY / 2;
            let (mut state, _) = shared
                .lines
                .wait_timeout_while(state, COLLECT, collects)
                .unwrap_or_else(PoisonError::into_inner);
            state.is_urgent = false;
            std::mem::swap(&mut state.buffer, &mut batch);
            std::mem::take(&mut state.dropped)
        };
        if dropped > 0 {
            batch.extend_from_slice(line(dropped).as_bytes());
        }
        // A closed standard error takes no lines, and there is no other place for them.
        let _ = output.write_all(&batch).and_then(|()| output.flush());
        batch.clear();
        batch.shrink_to(KEPT);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Passes on what is written, once the test allows it.
    struct Gated(Receiver<()>, Sender<Vec<u8>>);

    impl io::Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_beyond_the_capacity_are_dropped_and_counted() {
        let (allow, gate) = channel();
        let (sender, written) = channel();
        let dropped = |count| format!("{count} dropped\n");
        let writer = LogWriter::start(Gated(gate, sender), dropped).expect("a thread");
        writer.push(b"first\n", true);
        // The thread waits with the first line, so that the others have to fit into the buffer.
        while !writer.0.state().buffer.is_empty() {
            std::thread::yield_now();
        }
        let line = vec![b'x'; CAPACITY / 4];
        (0..7).for_each(|_| writer.push(&line, false));
        (0..2).for_each(|_| allow.send(()).expect("the thread runs"));
        assert_eq!(written.recv().expect("a batch"), b"first\n");
        let second = written.recv().expect("a batch");
        assert!(second.ends_with(b"x3 dropped\n"), "{} bytes", second.len());
        assert_eq!(second.len(), CAPACITY + b"3 dropped\n".len());
        writer.flush();
    }

    #[test]
    fn flush_returns_after_the_last_line_is_written() {
        let (allow, gate) = channel();
        let (sender, written) = channel();
        let writer = LogWriter::start(Gated(gate, sender), |_| String::new()).expect("a thread");
        allow.send(()).expect("the thread runs");
        writer.push(b"a\n", false);
        writer.push(b"b\n", false);
        allow.send(()).expect("the thread runs");
        writer.flush();
        let lines: Vec<u8> = written.try_iter().flatten().collect();
        assert_eq!(lines, b"a\nb\n");
    }
}
