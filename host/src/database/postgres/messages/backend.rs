//! Messages from the server: some are read for what they report, and some do not reach the library.

use std::sync::Arc;

use bytes::BytesMut;

use super::format::{CHANGED, HEADER, end_of_text, put_header};
use super::unnamed::{Decision, Unnamed};
use super::watch::Watch;

#[derive(Debug)]
pub(super) struct Backend {
    watch: Arc<Watch>,
    /// The start of a header whose rest has not been read.
    header: Vec<u8>,
    kind: u8,
    /// How many bytes of the current message have not been read.
    left: usize,
    /// The current message, if it has to be read completely.
    body: Option<Vec<u8>>,
    passes: bool,
}

impl Backend {
    pub(super) fn new(watch: Arc<Watch>) -> Self {
        Self {
            watch,
            header: Vec::new(),
            kind: 0,
            left: 0,
            body: None,
            passes: true,
        }
    }

    /// Follows bytes that all pass to the library.
    pub(super) fn observe(&mut self, bytes: &[u8]) {
        self.follow(bytes, None, &mut BytesMut::new());
    }

    /// Follows bytes, and appends to `out` what passes to the library.
    pub(super) fn filter(&mut self, bytes: &[u8], unnamed: &mut Unnamed, out: &mut BytesMut) {
        self.follow(bytes, Some(unnamed), out);
    }

    fn follow(&mut self, mut bytes: &[u8], mut unnamed: Option<&mut Unnamed>, out: &mut BytesMut) {
        loop {
            if self.left > 0 {
                if bytes.is_empty() {
                    return;
                }
                let (part, rest) = bytes.split_at(self.left.min(bytes.len()));
                bytes = rest;
                self.left -= part.len();
                if let Some(body) = &mut self.body {
                    body.extend_from_slice(part);
                } else if self.passes && unnamed.is_some() {
                    out.extend_from_slice(part);
                }
                if self.left == 0 {
                    self.end(unnamed.as_deref_mut(), out);
                }
                continue;
            }
            let header = if self.header.is_empty()
                && let Some((header, rest)) = bytes.split_first_chunk::<HEADER>()
            {
                bytes = rest;
                *header
            } else {
                let missing = HEADER.saturating_sub(self.header.len());
                let (part, rest) = bytes.split_at(missing.min(bytes.len()));
                self.header.extend_from_slice(part);
                bytes = rest;
                let Ok(header) = <[u8; HEADER]>::try_from(&self.header[..]) else {
                    return;
                };
                self.header.clear();
                header
            };
            self.begin(header, unnamed.as_deref_mut(), out);
        }
    }

    fn begin(&mut self, header: [u8; HEADER], unnamed: Option<&mut Unnamed>, out: &mut BytesMut) {
        let [kind, a, b, c, d] = header;
        self.kind = kind;
        self.left = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(4);
        self.passes = true;
        match unnamed {
            None => self.body = matches!(kind, b'K' | b'S').then(Vec::new),
            Some(unnamed) => {
                let needs_body = matches!(kind, b'K' | b'S') || unnamed.needs_body(kind);
                self.body = needs_body.then(Vec::new);
                if !needs_body {
                    self.passes = unnamed.passes(kind);
                    if self.passes {
                        out.extend_from_slice(&header);
                    }
                }
                if self.left == 0 {
                    self.end(Some(unnamed), out);
                }
            }
        }
    }

    /// Handles a message that was read completely.
    fn end(&mut self, unnamed: Option<&mut Unnamed>, out: &mut BytesMut) {
        let Some(body) = self.body.take() else {
            return;
        };
        match self.kind {
            b'K' => {
                if let Some([a, b, c, d]) = body.first_chunk() {
                    let process = i32::from_be_bytes([*a, *b, *c, *d]);
                    self.watch.set_server_process(process);
                }
            }
            b'S' if unnamed.is_none() => {
                let name = end_of_text(&body).map_or(&body[..], |end| &body[..end]);
                self.watch.record_setting(&String::from_utf8_lossy(name));
            }
            _ => {}
        }
        let Some(unnamed) = unnamed else {
            return;
        };
        let decision = if matches!(self.kind, b't' | b'T' | b'n') {
            unnamed.describe(self.kind, &body)
        } else {
            Decision::Pass
        };
        match decision {
            Decision::Pass => {
                put_header(self.kind, body.len(), out);
                out.extend_from_slice(&body);
            }
            Decision::Remove => {}
            Decision::ReplaceByError => {
                let fields = format!("SERROR\0VERROR\0C0A000\0M{CHANGED}\0\0");
                put_header(b'E', fields.len(), out);
                out.extend_from_slice(fields.as_bytes());
            }
        }
    }
}
