//! Messages to the server: statement names get a prefix, or are replaced by the statement.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::OnceLock;

use bytes::BytesMut;

use super::format::{put_header, statement_name_start};
use super::unnamed::Unnamed;

/// The prefix of every statement name in this process.
pub(super) fn prefix() -> &'static [u8] {
    static PREFIX: OnceLock<Vec<u8>> = OnceLock::new();
    PREFIX.get_or_init(|| {
        // The keys of `RandomState` are random in each process, and SipHash hides them.
        let random = std::hash::RandomState::new().build_hasher().finish();
        format!("u{random:016x}").into_bytes()
    })
}

#[derive(Debug, Default)]
pub(super) struct Frontend {
    /// Whether the start-up message, which has no type, has passed.
    is_started: bool,
    /// The start of a message whose rest has not been written.
    partial: BytesMut,
}

impl Frontend {
    /// Appends to `out` what is sent instead of these bytes.
    pub(super) fn follow(
        &mut self,
        bytes: &[u8],
        mut unnamed: Option<&mut Unnamed>,
        out: &mut BytesMut,
    ) {
        let joined;
        let mut rest = if self.partial.is_empty() {
            bytes
        } else {
            self.partial.extend_from_slice(bytes);
            joined = self.partial.split();
            &joined[..]
        };
        while let Some(length) = self.message_length(rest) {
            let (message, after) = rest.split_at(length);
            match message {
                _ if !self.is_started => {
                    self.is_started = true;
                    out.extend_from_slice(message);
                }
                [kind, _, _, _, _, body @ ..] => match unnamed.as_deref_mut() {
                    None => send_with_prefix(*kind, message, body, out),
                    Some(unnamed) => unnamed.send(*kind, message, body, out),
                },
                _ => out.extend_from_slice(message),
            }
            rest = after;
        }
        if !rest.is_empty() {
            self.partial.extend_from_slice(rest);
        }
    }

    /// The length of the first message, if it is complete.
    fn message_length(&self, bytes: &[u8]) -> Option<usize> {
        let kind = usize::from(self.is_started);
        let [a, b, c, d] = *bytes.get(kind..kind + 4)?.first_chunk()?;
        let length = kind + (u32::from_be_bytes([a, b, c, d]) as usize).max(4);
        (bytes.len() >= length).then_some(length)
    }
}

fn send_with_prefix(kind: u8, message: &[u8], body: &[u8], out: &mut BytesMut) {
    match statement_name_start(kind, body) {
        // The unnamed statement needs no prefix.
        Some(at) if body.get(at).is_some_and(|first| *first != 0) => {
            let prefix = prefix();
            put_header(kind, body.len() + prefix.len(), out);
            out.extend_from_slice(&body[..at]);
            out.extend_from_slice(prefix);
            out.extend_from_slice(&body[at..]);
        }
        _ => out.extend_from_slice(message),
    }
}
