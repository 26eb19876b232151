//! Standard output and standard error of a component, as lines of the log.
//!
//! A line is written when it is complete, or when its request has ended. Nothing but the beginning
//! of the current line is kept, and a component never waits for the log.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::Level;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::log_line::LogLine;
use crate::telemetry::RequestInfo;
use crate::telemetry::log::{LONGEST, excerpt};

/// What a component may write in one call, in bytes.
const PERMIT: usize = 4 << 10;

/// Where an output goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Name {
    Stdout,
    Stderr,
}

/// The outputs of one instance. Clones are the same outputs.
#[derive(Clone, Debug, Default)]
pub(super) struct Outputs(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// The streams that the component holds.
    open: AtomicUsize,
    lines: Mutex<Lines>,
}

/// The lines that are being written.
#[derive(Debug, Default)]
struct Lines {
    request: Option<Arc<RequestInfo>>,
    stdout: Line,
    stderr: Line,
}

/// The beginning of a line.
#[derive(Debug, Default)]
struct Line(Vec<u8>);

impl Line {
    /// Adds to the line. What is beyond the longest line that the log writes is left out.
    fn push(&mut self, bytes: &[u8]) {
        // One byte more than is shown, so that `excerpt` knows that something is left out.
        let room = (LONGEST + 1).saturating_sub(self.0.len());
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The line, unless it is empty.
    fn take(&mut self) -> Option<String> {
        let bytes = std::mem::take(&mut self.0);
        let text = excerpt(String::from_utf8_lossy(&bytes));
        (!text.trim().is_empty()).then_some(text)
    }
}

impl Lines {
    fn write(&mut self, name: Name, mut bytes: &[u8]) {
        loop {
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let (rest_of_line, others) = match end {
                Some(end) => (&bytes[..end], &bytes[end + 1..]),
                None => (bytes, [].as_slice()),
            };
            self.line(name).push(rest_of_line);
            if end.is_none() {
                return;
            }
            self.end_line(name);
            bytes = others;
        }
    }

    fn line(&mut self, name: Name) -> &mut Line {
        match name {
            Name::Stdout => &mut self.stdout,
            Name::Stderr => &mut self.stderr,
        }
    }

    fn end_line(&mut self, name: Name) {
        let Some(text) = self.line(name).take() else {
            return;
        };
        let (level, how) = match name {
            Name::Stdout => (Level::INFO, "printed"),
            Name::Stderr => (Level::WARN, "printed on standard error"),
        };
        let line = LogLine {
            level,
            how,
            context: None,
            text: &text,
        };
        line.write(self.request.as_deref());
    }

    fn end_request(&mut self) {
        self.end_line(Name::Stdout);
        self.end_line(Name::Stderr);
        self.request = None;
    }
}

impl Outputs {
    /// From now on, lines are of this request.
    pub(super) fn begin(&self, request: &Arc<RequestInfo>) {
        let mut lines = self.lines();
        lines.end_request();
        lines.request = Some(Arc::clone(request));
    }

    /// Writes what was printed without an end of line.
    pub(super) fn end(&self) {
        self.lines().end_request();
    }

    /// How many streams the component holds, standard input included. Language runtimes open them
    /// once and keep them.
    pub(super) fn open_streams(&self) -> usize {
        self.0.open.load(Relaxed)
    }

    /// One of the outputs, for wasmtime to make streams of.
    pub(super) fn output(&self, name: Name) -> Output {
        Output {
            outputs: self.clone(),
            name,
        }
    }

    /// Standard input, which is empty.
    pub(super) fn input(&self) -> Input {
        Input(self.clone())
    }

    fn open(&self) -> Open {
        self.0.open.fetch_add(1, Relaxed);
        Open(self.clone())
    }

    /// A panic cannot leave the lines inconsistent.
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that the component holds, which is counted.
#[derive(Debug)]
struct Open(Outputs);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Relaxed);
    }
}

/// Standard output or standard error.
#[derive(Debug)]
pub(super) struct Output {
    outputs: Outputs,
    name: Name,
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Stream {
            open: self.outputs.open(),
            name: self.name,
        })
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Stream {
            open: self.outputs.open(),
            name: self.name,
        })
    }
}

/// A stream to an output, which is always ready.
#[derive(Debug)]
struct Stream {
    open: Open,
    name: Name,
}

impl Stream {
    fn print(&self, bytes: &[u8]) {
        self.open.0.lines().write(self.name, bytes);
    }
}

#[async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > PERMIT {
            return Err(StreamError::trap("more was written than was permitted"));
        }
        self.print(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

/// What WASI 0.3 would use.
impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.print(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Standard input.
#[derive(Debug)]
pub(super) struct Input(Outputs);

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Input {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(tokio::io::empty())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(Empty {
            _open: self.0.open(),
        })
    }
}

/// A stream that is at its end.
#[derive(Debug)]
struct Empty {
    _open: Open,
}

#[async_trait]
impl Pollable for Empty {
    async fn ready(&mut self) {}
}

impl InputStream for Empty {
    fn read(&mut self, _: usize) -> StreamResult<Bytes> {
        Err(StreamError::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_beyond_the_longest_is_cut_and_takes_no_more_memory() {
        let mut line = Line::default();
        for _ in 0..1000 {
            line.push(&[b'x'; PERMIT]);
        }
        assert_eq!(line.0.len(), LONGEST + 1);
        let text = line.take().expect("a line");
        assert_eq!(text.len(), LONGEST + "…".len());
        assert_eq!(line.0.capacity(), 0);
    }

    #[test]
    fn dropped_stream_is_not_counted_any_more() {
        let outputs = Outputs::default();
        let (out, input) = (outputs.output(Name::Stdout), outputs.input());
        assert_eq!(outputs.open_streams(), 0);
        let streams = (out.p2_stream(), input.p2_stream());
        assert_eq!(outputs.open_streams(), 2);
        drop(streams);
        assert_eq!(outputs.open_streams(), 0);
    }

    #[test]
    fn line_in_pieces_is_complete_at_its_end() {
        let mut lines = Lines::default();
        lines.write(Name::Stderr, b"a ");
        lines.write(Name::Stdout, b"other");
        lines.write(Name::Stderr, b"b");
        assert_eq!(lines.stderr.0, b"a b");
        lines.write(Name::Stderr, b"\n\nc");
        assert_eq!(lines.stderr.0, b"c");
        assert_eq!(lines.stdout.0, b"other");
    }
}
