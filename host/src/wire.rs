//! The bytes of a client's connection on their way out: small answers in one piece, and the HTTP library's own refusals with a body.
//!
//! A head and its body come as two pieces. Where both together are small, copying them into one costs less than having the kernel
//! collect them.
//!
//! What hyper cannot parse (RFC 9112: 400, 414, 431) it answers by itself, with no body and before any service is asked. Clients of
//! this server are promised JSON with `detail` for every error, so the bytes of such an answer are replaced on their way out. They are
//! easily told: no other answer of this server has no body and closes the connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::closing::{Discard, Ending};
use crate::stall::Stall;
use crate::transport::Transport;

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Wire<I> {
    io: I,
    /// What stands in for the library's answer, as far as it is not written yet.
    replaced: Bytes,
    stall: Stall,
    ending: Arc<Ending>,
    /// Whether a close would be a reset.
    resets: bool,
    /// Whether nothing more is written.
    is_shut: bool,
    /// What is left of a request that was answered before it was read.
    discard: Option<Discard>,
}

impl<I> Wire<I> {
    /// A connection whose client may take nothing for so long while it is written to.
    pub(crate) fn new(io: I, write_timeout: Duration, ending: Arc<Ending>) -> Self {
        Self {
            io,
            replaced: Bytes::new(),
            stall: Stall::new(write_timeout),
            ending,
            resets: false,
            is_shut: false,
            discard: None,
        }
    }
}

/// Pieces that are together no longer than this, in bytes, are written as one.
const SMALL: usize = 1 << 10;

/// The end of every answer that has no body.
const END: &[u8] = b"\r\n\r\n";

/// The whole answer is shorter than this.
const LONGEST: usize = 160;

/// What hyper says, and what is said in its place.
const REFUSALS: [(&[u8], &str, &str); 3] = [
    (b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n", "400 Bad Request", "Malformed request"),
    (b"HTTP/1.1 414 URI Too Long\r\nconnection: close\r\ncontent-length: 0\r\n", "414 URI Too Long", "URI Too Long"),
    (
        b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n",
        "431 Request Header Fields Too Large",
        "Request Header Fields Too Large",
    ),
];

/// What to write in place of these bytes: all before the library's refusal as it is, then the refusal with a body.
fn replacement(bytes: &[u8]) -> Option<Bytes> {
    if !bytes.ends_with(END) {
        return None;
    }
    let tail = bytes.get(bytes.len().saturating_sub(LONGEST)..)?;
    // Earlier answers may lie in the same buffer, where a client sends requests without waiting.
    let (at, (_, status, detail)) = (0..tail.len()).find_map(|at| {
        let refusal = REFUSALS
            .iter()
            .find(|(head, ..)| tail.get(at..).is_some_and(|rest| rest.starts_with(head)))?;
        Some((at, refusal))
    })?;
    let (before, refusal) = bytes.split_at(bytes.len() - tail.len() + at);
    let head = refusal.strip_suffix(END)?;
    let body = format!(r#"{{"detail":"{detail}"}}"#);
    // Of its headers, only the date is not the same every time.
    let date = head
        .windows(8)
        .position(|window| window == b"\r\ndate: ")
        .and_then(|at| head.get(at..))
        .unwrap_or_default();
    let mut answer = before.to_vec();
    answer.extend_from_slice(format!("HTTP/1.1 {status}\r\nconnection: close\r\n").as_bytes());
    answer.extend_from_slice(
        format!(
            "content-type: application/json\r\ncontent-length: {}",
            body.len()
        )
        .as_bytes(),
    );
    answer.extend_from_slice(date);
    answer.extend_from_slice(END);
    answer.extend_from_slice(body.as_bytes());
    Some(answer.into())
}

/// All pieces in one, if there is room for them.
fn join<'w>(parts: &[IoSlice<'_>], whole: &'w mut [u8]) -> Option<&'w [u8]> {
    let mut end = 0;
    for part in parts {
        whole.get_mut(end..end + part.len())?.copy_from_slice(part);
        end += part.len();
    }
    whole.get(..end)
}

impl<I: Transport> Wire<I> {
    fn poll_replaced(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.replaced.is_empty() {
            let written = Pin::new(&mut self.io).poll_write(cx, &self.replaced);
            match ready!(self.check(cx, written))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.replaced.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Before anything is written: an answer that only the end of the connection ends is not to look complete before that.
    fn prepare(&mut self) {
        if self.ending.delimits() && !self.resets {
            self.reset_on_close(true);
        }
    }

    fn reset_on_close(&mut self, resets: bool) {
        self.resets = resets;
        self.io.reset_on_close(resets);
    }

    /// The outcome of a write, where the client takes what it is sent.
    fn check(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let written = self.stall.check(cx, written);
        if let Poll::Ready(Err(_)) = &written {
            // Nobody takes what is still on its way, and it is not to be kept for whoever does not.
            self.reset_on_close(true);
        }
        written
    }
}

impl<I: Transport> AsyncRead for Wire<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: Transport> AsyncWrite for Wire<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.prepare();
        ready!(self.poll_replaced(cx))?;
        if let Some(replaced) = replacement(bytes) {
            // Taken as written: it is on its way, and `poll_flush` sees it out.
            self.replaced = replaced;
            self.ending.refused();
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.check(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match parts {
            [whole] => self.poll_write(cx, whole),
            parts => {
                self.prepare();
                ready!(self.poll_replaced(cx))?;
                let mut whole = [0; SMALL];
                let written = match join(parts, &mut whole) {
                    Some(whole) => Pin::new(&mut self.io).poll_write(cx, whole),
                    None => Pin::new(&mut self.io).poll_write_vectored(cx, parts),
                };
                self.check(cx, written)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_replaced(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_replaced(cx))?;
        if !self.is_shut {
            // What is asked for is an orderly end: all has been written.
            if self.resets {
                self.reset_on_close(false);
            }
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            self.is_shut = true;
        }
        if self.ending.leaves_unread() {
            let this = &mut *self;
            let discard = this.discard.get_or_insert_with(Discard::new);
            ready!(discard.poll(&mut this.io, cx));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSAL: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\
                           date: Mon, 23 Nov 2026 14:18:42 GMT\r\n\r\n";

    #[test]
    fn a_refusal_of_the_library_gets_a_body() {
        let replaced = replacement(REFUSAL.as_bytes()).expect("a refusal");
        assert_eq!(
            String::from_utf8_lossy(&replaced),
            "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: 44\r\ndate: Mon, 23 Nov 2026 14:18:42 GMT\r\n\r\n{\"detail\":\"Request Header Fields Too Large\"}"
        );
    }

    #[test]
    fn pieces_that_fit_are_joined_and_others_are_not() {
        let parts = [&b"head"[..], b"", b"body"].map(IoSlice::new);
        assert_eq!(join(&parts, &mut [0; 8]), Some(&b"headbody"[..]));
        assert_eq!(join(&parts, &mut [0; 7]), None);
        assert_eq!(join(&[], &mut [0; 7]), Some(&b""[..]));
    }

    #[test]
    fn what_was_answered_before_is_left_alone() {
        let before = "HTTP/1.1 204 No Content\r\n\r\n";
        let replaced = replacement(format!("{before}{REFUSAL}").as_bytes()).expect("a refusal");
        assert!(replaced.starts_with(before.as_bytes()) && replaced.ends_with(b"}"));
        assert_eq!(replacement(before.as_bytes()), None);
        assert_eq!(
            replacement(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
            None
        );
    }
}
