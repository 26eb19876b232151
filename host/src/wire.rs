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
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Wire<I> {
    io: I,
    /// What stands in for the library's answer, as far as it is not written yet.
    replaced: Bytes,
}

impl<I> Wire<I> {
    pub(crate) fn new(io: I) -> Self {
        Self {
            io,
            replaced: Bytes::new(),
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

impl<I: AsyncWrite + Unpin> Wire<I> {
    fn poll_replaced(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.replaced.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.replaced))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.replaced.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Wire<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Wire<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_replaced(cx))?;
        if let Some(replaced) = replacement(bytes) {
            // Taken as written: it is on its way, and `poll_flush` sees it out.
            self.replaced = replaced;
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match parts {
            [whole] => self.poll_write(cx, whole),
            parts => {
                ready!(self.poll_replaced(cx))?;
                let mut whole = [0; SMALL];
                match join(parts, &mut whole) {
                    Some(whole) => Pin::new(&mut self.io).poll_write(cx, whole),
                    None => Pin::new(&mut self.io).poll_write_vectored(cx, parts),
                }
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
        Pin::new(&mut self.io).poll_shutdown(cx)
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
