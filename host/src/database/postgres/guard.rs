//! The guard: no message from the server that is larger than the limit gets into memory.
//!
//! The client library buffers each message completely, and one row may have a gigabyte. The stream
//! below the library skips a message over the limit and replaces it by an error of its statement.
//! The connection stays usable for other statements. TCP, TLS and Unix sockets are guarded alike.

use std::convert::Infallible;
use std::future::{Ready, ready as at_once};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::error::DbError;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::messages::FollowedStream;
use super::traffic::Traffic;

/// The length of a header: the message's type, and the length of the rest with these four bytes.
const HEADER: usize = 5;

/// The start of the error that replaces a message; the limit follows.
const TOO_LARGE: &str = "the message of the database is over the host's limit of ";

/// The limit, if this error replaces a message that exceeds it.
pub(super) fn exceeded_limit(error: &DbError) -> Option<u64> {
    error.message().strip_prefix(TOO_LARGE)?.parse().ok()
}

/// A stream to a server, without the messages that are too large.
pub(super) struct GuardedStream {
    transport: Transport,
    guard: Guard,
    traffic: Arc<Traffic>,
}

impl GuardedStream {
    /// The limit is the size of the largest message in bytes.
    pub(super) fn new(transport: Transport, limit: u64, traffic: Arc<Traffic>) -> Self {
        Self {
            transport,
            guard: Guard::new(limit),
            traffic,
        }
    }
}

pub(super) enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsOverTcp>),
}

pub(super) type TlsOverTcp = <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::Stream;

impl Transport {
    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        }
    }
}

/// Returns the stream as it is: TLS is established, if requested, before the library starts.
pub(super) struct TlsDone;

impl TlsConnect<FollowedStream<GuardedStream>> for TlsDone {
    type Stream = FollowedStream<GuardedStream>;
    type Error = Infallible;
    type Future = Ready<Result<FollowedStream<GuardedStream>, Infallible>>;

    fn connect(self, stream: FollowedStream<GuardedStream>) -> Self::Future {
        at_once(Ok(stream))
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if this.guard.take_pending(buffer) {
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            ready!(this.transport.read(cx, buffer))?;
            if buffer.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
            this.traffic.record_received();
            let kept = this.guard.filter(&mut buffer.filled_mut()[before..]);
            buffer.set_filled(before + kept);
            if kept > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.traffic.record_sent();
        match &mut self.transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

impl TlsStream for FollowedStream<GuardedStream> {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.inner().transport {
            Transport::Tcp(_) | Transport::Unix(_) => ChannelBinding::none(),
            Transport::Tls(stream) => stream.channel_binding(),
        }
    }
}

/// Follows the messages of a stream, in pieces of any size.
#[derive(Debug)]
struct Guard {
    limit: u64,
    /// How many bytes of the current message have not been read.
    left: u64,
    /// Whether the current message is passed on.
    passes: bool,
    /// The start of a header whose rest has not been read, held back until the message's length is
    /// known.
    header: Vec<u8>,
    /// Bytes to pass on before anything more is read.
    pending: Vec<u8>,
}

impl Guard {
    fn new(limit: u64) -> Self {
        Self {
            limit,
            left: 0,
            passes: true,
            header: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Passes on pending bytes. Returns whether there were any.
    fn take_pending(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        if self.pending.is_empty() {
            return false;
        }
        let count = self.pending.len().min(buffer.remaining());
        buffer.put_slice(&self.pending[..count]);
        self.pending.drain(..count);
        true
    }

    /// Returns how many of the bytes, from the first, pass where they are. Bytes that pass after
    /// them are pending.
    fn filter(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        // Bytes stay in place until a message is removed, which is rare.
        while self.pending.is_empty() && at < bytes.len() {
            if self.left > 0 {
                if !self.passes {
                    break;
                }
                at += self.advance(bytes.len() - at);
                continue;
            }
            let start = at;
            if !self.header.is_empty() || bytes.len() - at < HEADER {
                break;
            }
            at += HEADER;
            if !self.begin(&bytes[start..at]) {
                self.filter_rest(&bytes[at..]);
                return start;
            }
        }
        let kept = at;
        self.filter_rest(&bytes[at..]);
        kept
    }

    /// As [`filter`](Self::filter), for bytes that cannot stay in place: a header in two pieces,
    /// and everything from the first removed message on.
    fn filter_rest(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let count = self.advance(bytes.len());
                if self.passes {
                    self.pending.extend_from_slice(&bytes[..count]);
                }
                bytes = &bytes[count..];
                continue;
            }
            let count = (HEADER - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if self.header.len() == HEADER {
                let header = std::mem::take(&mut self.header);
                if self.begin(&header) {
                    self.pending.extend_from_slice(&header);
                }
            }
        }
    }

    fn advance(&mut self, available: usize) -> usize {
        let count = usize::try_from(self.left).map_or(available, |left| left.min(available));
        self.left -= count as u64;
        count
    }

    /// Starts a message and returns whether it passes. If not, an error is pending.
    fn begin(&mut self, header: &[u8]) -> bool {
        let [kind, length @ ..] = header else {
            return true;
        };
        let length = length
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        self.left = length.saturating_sub(4);
        self.passes = self.left <= self.limit;
        // A notice belongs to no statement.
        if !self.passes && *kind != b'N' {
            self.pending.extend(error(self.limit));
        }
        self.passes
    }
}

/// An error of the current statement (PostgreSQL, 55.7, ErrorResponse): severity, SQLSTATE
/// `program_limit_exceeded`, and the message.
fn error(limit: u64) -> Vec<u8> {
    let fields = format!("SERROR\0VERROR\0C54000\0M{TOO_LARGE}{limit}\0\0");
    let length = u32::try_from(fields.len() + 4).unwrap_or_default();
    let mut message = vec![b'E'];
    message.extend(length.to_be_bytes());
    message.extend(fields.into_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::{Guard, error};
    use tokio::io::ReadBuf;

    fn message(kind: u8, length: usize) -> Vec<u8> {
        let header = u32::try_from(length + 4)
            .expect("a small one")
            .to_be_bytes();
        let body = (0..length).map(|at| u8::try_from(at % 251).expect("a byte"));
        [kind].into_iter().chain(header).chain(body).collect()
    }

    /// What passes of a stream that is read in pieces of this size.
    fn filtered(stream: &[u8], piece: usize, limit: u64) -> Vec<u8> {
        let (mut guard, mut out) = (Guard::new(limit), Vec::new());
        let mut space = vec![0; 7];
        for bytes in stream.chunks(piece) {
            let mut bytes = bytes.to_vec();
            let kept = guard.filter(&mut bytes);
            out.extend_from_slice(&bytes[..kept]);
            loop {
                let mut buffer = ReadBuf::new(&mut space);
                if !guard.take_pending(&mut buffer) {
                    break;
                }
                out.extend_from_slice(buffer.filled());
            }
        }
        out
    }

    #[test]
    fn message_over_limit_in_pieces_of_any_size_is_replaced_by_error() {
        let (small, large) = (message(b'D', 20), message(b'D', 21));
        let end = message(b'Z', 1);
        let stream = [
            &small[..],
            &end,
            &large,
            &large,
            &end,
            &message(b'N', 30),
            &small,
            &large,
            &end,
        ]
        .concat();
        let expected = [
            &small[..],
            &end,
            &error(20),
            &error(20),
            &end,
            &small,
            &error(20),
            &end,
        ]
        .concat();
        for piece in 1..=stream.len() {
            assert_eq!(
                filtered(&stream, piece, 20),
                expected,
                "in pieces of {piece}"
            );
            assert_eq!(filtered(&stream, piece, 30), stream, "in pieces of {piece}");
        }
    }

    #[test]
    fn error_that_replaces_message_is_valid_error_response() {
        use tokio_postgres::error::SqlState;
        assert_eq!(SqlState::PROGRAM_LIMIT_EXCEEDED.code(), "54000");
        let error = error(16);
        let length = u32::from_be_bytes([error[1], error[2], error[3], error[4]]);
        assert_eq!(length as usize + 1, error.len());
        assert!(error.ends_with(b"of 16\0\0"));
    }
}
