//! What stands between a connection and its server: no message larger than the limit gets into
//! memory.
//!
//! The client library reads each message whole before anybody sees it, and one row may have a
//! gigabyte. So the stream below it is watched, message by message: one that is too large is read
//! past, and an error of the statement takes its place. The connection, and whoever else uses it,
//! notices nothing.
//!
//! The library takes any stream, so that TCP, TLS and Unix sockets are all guarded alike.

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

use super::messages::Followed;
use super::traffic::Traffic;

/// What every message begins with: its kind, and the length of the rest, these four bytes included.
const HEADER: usize = 5;

/// What the error begins with that takes the place of a message; the limit follows.
const TOO_LARGE: &str = "the message of the database is over the host's limit of ";

/// The limit, where this error was put in place of a message.
pub(super) fn exceeded(error: &DbError) -> Option<u64> {
    error.message().strip_prefix(TOO_LARGE)?.parse().ok()
}

/// A guarded stream.
pub(super) struct Stream {
    way: Way,
    guard: Guard,
    traffic: Arc<Traffic>,
}

impl Stream {
    /// A stream whose largest message has so many bytes.
    pub(super) fn new(way: Way, limit: u64, traffic: Arc<Traffic>) -> Self {
        Self {
            way,
            guard: Guard::new(limit),
            traffic,
        }
    }
}

/// What the bytes travel over.
pub(super) enum Way {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<Tls>),
}

/// TLS over TCP.
pub(super) type Tls = <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::Stream;

impl Way {
    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        }
    }
}

/// TLS as the library is to see it: it has been made, or is not to be made.
pub(super) struct Made;

impl TlsConnect<Followed<Stream>> for Made {
    type Stream = Followed<Stream>;
    type Error = Infallible;
    type Future = Ready<Result<Followed<Stream>, Infallible>>;

    fn connect(self, stream: Followed<Stream>) -> Self::Future {
        at_once(Ok(stream))
    }
}

impl AsyncRead for Stream {
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
            if this.guard.hand_over(buffer) {
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            ready!(this.way.read(cx, buffer))?;
            if buffer.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
            this.traffic.heard();
            let kept = this.guard.watch(&mut buffer.filled_mut()[before..]);
            buffer.set_filled(before + kept);
            if kept > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.traffic.sent();
        match &mut self.way {
            Way::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Way::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Way::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Way::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Way::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Way::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Way::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

impl TlsStream for Followed<Stream> {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.inner().way {
            Way::Tcp(_) | Way::Unix(_) => ChannelBinding::none(),
            Way::Tls(stream) => stream.channel_binding(),
        }
    }
}

/// Follows the messages of a stream, in whatever pieces they come.
#[derive(Debug)]
struct Guard {
    limit: u64,
    /// What is left of the message at hand, and whether it passes.
    left: u64,
    passes: bool,
    /// The beginning of a header whose rest has not come. It is held back, since what it begins may
    /// not be let through.
    header: Vec<u8>,
    /// What comes next, before anything more is read.
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

    /// Hands over what was held back, if anything was.
    fn hand_over(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        if self.pending.is_empty() {
            return false;
        }
        let count = self.pending.len().min(buffer.remaining());
        buffer.put_slice(&self.pending[..count]);
        self.pending.drain(..count);
        true
    }

    /// Looks through bytes that were read, and gives how many of them, from the first, are let
    /// through. What else is to follow is pending then.
    fn watch(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        // As long as nothing is taken out the bytes stay where they are, which is nearly always.
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
                self.rest(&bytes[at..]);
                return start;
            }
        }
        let kept = at;
        self.rest(&bytes[at..]);
        kept
    }

    /// As [`watch`](Self::watch), for what cannot stay where it is: a header in two pieces, and
    /// whatever is taken out or comes after.
    fn rest(&mut self, mut bytes: &[u8]) {
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

    /// Begins a message: whether it passes. In place of one that does not, an error is pending.
    fn begin(&mut self, header: &[u8]) -> bool {
        let [kind, length @ ..] = header else {
            return true;
        };
        let length = length
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        self.left = length.saturating_sub(4);
        self.passes = self.left <= self.limit;
        // A notice is nobody's answer.
        if !self.passes && *kind != b'N' {
            self.pending.extend(error(self.limit));
        }
        self.passes
    }
}

/// An error of the statement at hand (PostgreSQL, 55.7, ErrorResponse): severity, SQLSTATE
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

    /// What comes through of a stream that is read in pieces of this size.
    fn through(stream: &[u8], piece: usize, limit: u64) -> Vec<u8> {
        let (mut guard, mut out) = (Guard::new(limit), Vec::new());
        let mut space = vec![0; 7];
        for bytes in stream.chunks(piece) {
            let mut bytes = bytes.to_vec();
            let kept = guard.watch(&mut bytes);
            out.extend_from_slice(&bytes[..kept]);
            loop {
                let mut buffer = ReadBuf::new(&mut space);
                if !guard.hand_over(&mut buffer) {
                    break;
                }
                out.extend_from_slice(buffer.filled());
            }
        }
        out
    }

    #[test]
    fn a_message_over_the_limit_is_replaced_however_it_comes() {
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
        let wanted = [
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
            assert_eq!(through(&stream, piece, 20), wanted, "in pieces of {piece}");
            assert_eq!(through(&stream, piece, 30), stream, "in pieces of {piece}");
        }
    }

    #[test]
    fn an_error_in_place_of_a_message_is_one_that_postgresql_could_send() {
        use tokio_postgres::error::SqlState;
        assert_eq!(SqlState::PROGRAM_LIMIT_EXCEEDED.code(), "54000");
        let error = error(16);
        let length = u32::from_be_bytes([error[1], error[2], error[3], error[4]]);
        assert_eq!(length as usize + 1, error.len());
        assert!(error.ends_with(b"of 16\0\0"));
    }
}
