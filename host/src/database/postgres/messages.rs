//! The messages between the client library and the server: what is renamed, and what is observed.
//!
//! - **Statement names.** The library counts its prepared statements from `s0`, in every process
//!   alike. Behind a pooler that shares server sessions one process would run what another one
//!   prepared. So every name gets a prefix that is random in each process.
//! - **Transaction pooling.** There each transaction may reach another server session, which knows
//!   none of the names. So a statement is sent again, without a name, in front of each use.
//! - **Settings.** The server reports some settings when they change. Once a session is set up
//!   none of them has a reason to change, so a report marks it as [changed](Watch::is_changed).
//!
//! PostgreSQL's manual, chapter "Frontend/Backend Protocol", has the messages.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The kind of a message and the length of its rest, these four bytes included.
const HEADER: usize = 5;

/// What an error begins with that takes the place of a result whose columns have changed.
const CHANGED: &str = "the columns of the result have changed since the statement was prepared";

/// Whether this error takes the place of a result whose columns have changed. The statement ran.
pub(super) fn is_changed_result(message: &str) -> bool {
    message == CHANGED
}

/// How statements are named on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// By the library's names behind this process's prefix.
    Prefixed,
    /// Not at all: a statement is sent again in front of each use.
    Unnamed,
}

/// What is observed on one connection.
#[derive(Debug, Default)]
pub(super) struct Watch {
    server_process: AtomicI32,
    sealed: AtomicBool,
    changed: AtomicBool,
}

impl Watch {
    /// The process id that the server gave for cancel requests. A pooler gives one of its own.
    pub(super) fn server_process(&self) -> i32 {
        self.server_process.load(Relaxed)
    }

    /// From now on no reported setting may change.
    pub(super) fn seal(&self) {
        self.sealed.store(true, Relaxed);
    }

    /// Whether a reported setting has changed since the session was set up.
    pub(super) fn is_changed(&self) -> bool {
        self.changed.load(Relaxed)
    }

    fn reported(&self, name: &str) {
        if self.sealed.load(Relaxed) && !self.changed.swap(true, Relaxed) {
            tracing::warn!("a database connection is closed, since its setting {name} was changed");
        }
    }
}

/// A stream to a server whose messages are followed in both directions.
#[derive(Debug)]
pub(super) struct Followed<S> {
    inner: S,
    frontend: Frontend,
    backend: Backend,
    /// The statements of an unnamed connection, and the requests whose answers are to come.
    unnamed: Option<Unnamed>,
    /// What is to be written.
    outgoing: BytesMut,
    /// What was read and not been handed over.
    incoming: BytesMut,
}

impl<S> Followed<S> {
    pub(super) fn new(inner: S, naming: Naming, watch: Arc<Watch>) -> Self {
        Self {
            inner,
            frontend: Frontend::default(),
            backend: Backend::new(watch),
            unnamed: (naming == Naming::Unnamed).then(Unnamed::default),
            outgoing: BytesMut::new(),
            incoming: BytesMut::new(),
        }
    }

    pub(super) fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: AsyncWrite + Unpin> Followed<S> {
    fn write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.outgoing))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Followed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.write_out(cx))?;
        this.frontend
            .follow(bytes, this.unnamed.as_mut(), &mut this.outgoing);
        // The library flushes once it has written what it has, and only then it is sent.
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_out(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_out(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Followed<S> {
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
            if !this.incoming.is_empty() {
                let count = this.incoming.len().min(buffer.remaining());
                buffer.put_slice(&this.incoming.split_to(count));
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
            let read = &buffer.filled()[before..];
            if read.is_empty() {
                return Poll::Ready(Ok(()));
            }
            match &mut this.unnamed {
                None => {
                    this.backend.observe(read);
                    return Poll::Ready(Ok(()));
                }
                Some(unnamed) => {
                    this.backend.filter(read, unnamed, &mut this.incoming);
                    buffer.set_filled(before);
                }
            }
        }
    }
}

/// What every statement name begins with in this process.
fn prefix() -> &'static [u8] {
    static PREFIX: OnceLock<Vec<u8>> = OnceLock::new();
    PREFIX.get_or_init(|| {
        // The standard library's keys are random in each process, and what they make cannot be told
        // from noise.
        let random = std::hash::RandomState::new().build_hasher().finish();
        format!("u{random:016x}").into_bytes()
    })
}

/// The messages to the server.
#[derive(Debug, Default)]
struct Frontend {
    /// Whether the start-up message, which has no kind, has gone.
    started: bool,
    /// The beginning of a message whose rest has not come.
    partial: BytesMut,
}

impl Frontend {
    /// Appends to `out` what is sent in place of these bytes.
    fn follow(&mut self, bytes: &[u8], mut unnamed: Option<&mut Unnamed>, out: &mut BytesMut) {
        let joined;
        let mut rest = if self.partial.is_empty() {
            bytes
        } else {
            self.partial.extend_from_slice(bytes);
            joined = self.partial.split();
            &joined[..]
        };
        while let Some(length) = self.length(rest) {
            let (message, after) = rest.split_at(length);
            match message {
                _ if !self.started => {
                    self.started = true;
                    out.extend_from_slice(message);
                }
                [kind, _, _, _, _, body @ ..] => match unnamed.as_deref_mut() {
                    None => rename(*kind, message, body, out),
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

    /// The length of the first message, kind and all, if it is there to its end.
    fn length(&self, bytes: &[u8]) -> Option<usize> {
        let kind = usize::from(self.started);
        let [a, b, c, d] = *bytes.get(kind..kind + 4)?.first_chunk()?;
        let length = kind + (u32::from_be_bytes([a, b, c, d]) as usize).max(4);
        (bytes.len() >= length).then_some(length)
    }
}

/// Where in a message the name of a statement begins, if the kind of message has one.
fn name_at(kind: u8, body: &[u8]) -> Option<usize> {
    match kind {
        b'P' => Some(0),
        b'B' => Some(end_of_text(body)? + 1),
        // Describe and Close name a portal or a statement.
        b'D' | b'C' => (*body.first()? == b'S').then_some(1),
        _ => None,
    }
}

/// Where a text that a zero byte ends has its end.
fn end_of_text(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == 0)
}

/// Sends a message on with the prefix in front of its statement's name.
fn rename(kind: u8, message: &[u8], body: &[u8], out: &mut BytesMut) {
    match name_at(kind, body) {
        // The unnamed statement has no name to be mistaken for another one.
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

fn put_header(kind: u8, body: usize, out: &mut BytesMut) {
    let length = u32::try_from(body + 4).unwrap_or(u32::MAX);
    out.extend_from_slice(&[kind]);
    out.extend_from_slice(&length.to_be_bytes());
}

/// A statement that the library believes to be prepared.
#[derive(Debug)]
struct Known {
    /// Its text, and the zero byte that ends it.
    text: Bytes,
    /// The types of its parameters as they stand in a message: their number, then each.
    types: Bytes,
    /// Name and type of each column, once the server has described them.
    columns: Option<Vec<u8>>,
}

/// A request whose answer is to come. It ends with the server's word that it is ready.
#[derive(Debug, Default)]
struct Request {
    /// The statement whose description is to come, because the library prepares it.
    prepares: Option<Bytes>,
    /// The statement that was sent again. Its acceptance and its description are not handed over.
    repeats: Option<Bytes>,
    /// Whether the acceptance of what was sent again has come.
    accepted: bool,
    /// Whether its columns have changed, so that nothing more of the answer is handed over.
    changed: bool,
}

/// The state of a connection on which every statement is sent again in front of each use.
#[derive(Debug, Default)]
struct Unnamed {
    statements: HashMap<Bytes, Known>,
    /// The request that is being sent.
    sending: Request,
    sent: VecDeque<Request>,
}

impl Unnamed {
    /// Appends to `out` what is sent in place of this message.
    fn send(&mut self, kind: u8, message: &[u8], body: &[u8], out: &mut BytesMut) {
        if let Some(at) = name_at(kind, body)
            && let Some(length) = body.get(at..).and_then(end_of_text)
            && length > 0
        {
            let name = Bytes::copy_from_slice(&body[at..at + length]);
            let (before, after) = (&body[..at], &body[at + length..]);
            self.send_named(kind, name, before, after, out);
            return;
        }
        if matches!(kind, b'S' | b'Q') {
            self.sent.push_back(std::mem::take(&mut self.sending));
        }
        out.extend_from_slice(message);
    }

    /// The same for a message that names a statement: `after` begins with the zero byte of its name.
    fn send_named(
        &mut self,
        kind: u8,
        name: Bytes,
        before: &[u8],
        after: &[u8],
        out: &mut BytesMut,
    ) {
        match kind {
            b'P' => {
                let rest = after.get(1..).unwrap_or_default();
                let text = end_of_text(rest).map_or(rest.len(), |end| end + 1);
                let known = Known {
                    text: Bytes::copy_from_slice(&rest[..text]),
                    types: Bytes::copy_from_slice(&rest[text..]),
                    columns: None,
                };
                self.statements.insert(name.clone(), known);
                self.sending.prepares = Some(name);
            }
            b'B' => {
                if let Some(known) = self.statements.get(&name) {
                    put_header(b'P', 1 + known.text.len() + known.types.len(), out);
                    out.extend_from_slice(&[0]);
                    out.extend_from_slice(&known.text);
                    out.extend_from_slice(&known.types);
                    put_header(kind, before.len() + after.len(), out);
                    out.extend_from_slice(before);
                    out.extend_from_slice(after);
                    // So that the columns are known to be those that the library expects.
                    put_header(b'D', 1 + before.len(), out);
                    out.extend_from_slice(b"P");
                    out.extend_from_slice(before);
                    self.sending.repeats = Some(name);
                    return;
                }
            }
            b'C' => {
                self.statements.remove(&name);
            }
            _ => {}
        }
        put_header(kind, before.len() + after.len(), out);
        out.extend_from_slice(before);
        out.extend_from_slice(after);
    }

    /// Whether a message is looked at as a whole before it is handed over.
    fn looks_at(&self, kind: u8) -> bool {
        let Some(request) = self.sent.front() else {
            return false;
        };
        (matches!(kind, b't' | b'T' | b'n') && request.prepares.is_some())
            || (matches!(kind, b'T' | b'n') && request.repeats.is_some())
    }

    /// Whether a message that is not looked at is handed over.
    fn passes(&mut self, kind: u8) -> bool {
        // The server may say these at any time.
        if matches!(kind, b'N' | b'S' | b'A') {
            return true;
        }
        if kind == b'Z' {
            self.sent.pop_front();
            return true;
        }
        match self.sent.front_mut() {
            Some(request) if request.changed => false,
            Some(request) if kind == b'1' && request.repeats.is_some() && !request.accepted => {
                request.accepted = true;
                false
            }
            _ => true,
        }
    }

    /// Looks at a description. Gives whether it is handed over, or an error in place of the result.
    fn described(&mut self, kind: u8, body: &[u8]) -> Described {
        let Some(request) = self.sent.front_mut() else {
            return Described::HandedOver;
        };
        if let Some(name) = &request.prepares {
            if let Some(known) = self.statements.get_mut(name) {
                match kind {
                    b't' => known.types = Bytes::copy_from_slice(body),
                    _ => known.columns = Some(columns(body)),
                }
            }
            return Described::HandedOver;
        }
        if request.changed {
            return Described::Kept;
        }
        let expected = request.repeats.as_ref().and_then(|name| {
            let known = self.statements.get(name)?;
            known.columns.as_ref()
        });
        if expected.is_some_and(|expected| *expected != columns(body)) {
            request.changed = true;
            return Described::Changed;
        }
        Described::Kept
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Described {
    HandedOver,
    Kept,
    Changed,
}

/// Name and type of each column of a description, which is empty where there are no columns.
fn columns(description: &[u8]) -> Vec<u8> {
    let mut columns = Vec::new();
    // The number of columns comes first.
    let mut rest = description.get(2..).unwrap_or_default();
    while let Some(end) = end_of_text(rest) {
        // After the name: table (4), column of the table (2), type (4), its length (2), its
        // modifier (4), format (2).
        let Some(numbers) = rest.get(end + 1..end + 19) else {
            break;
        };
        columns.extend_from_slice(&rest[..=end]);
        columns.extend_from_slice(&numbers[6..10]);
        rest = &rest[end + 19..];
    }
    columns
}

/// The messages from the server.
#[derive(Debug)]
struct Backend {
    watch: Arc<Watch>,
    /// The beginning of a header whose rest has not come.
    header: Vec<u8>,
    kind: u8,
    /// What is left of the message at hand.
    left: usize,
    /// The message at hand, where it is looked at as a whole.
    kept: Option<Vec<u8>>,
    passes: bool,
}

impl Backend {
    fn new(watch: Arc<Watch>) -> Self {
        Self {
            watch,
            header: Vec::new(),
            kind: 0,
            left: 0,
            kept: None,
            passes: true,
        }
    }

    /// Looks through bytes that are all handed over.
    fn observe(&mut self, bytes: &[u8]) {
        self.walk(bytes, None, &mut BytesMut::new());
    }

    /// Looks through bytes, and appends to `out` what is handed over.
    fn filter(&mut self, bytes: &[u8], unnamed: &mut Unnamed, out: &mut BytesMut) {
        self.walk(bytes, Some(unnamed), out);
    }

    fn walk(&mut self, mut bytes: &[u8], mut unnamed: Option<&mut Unnamed>, out: &mut BytesMut) {
        loop {
            if self.left > 0 {
                if bytes.is_empty() {
                    return;
                }
                let (part, rest) = bytes.split_at(self.left.min(bytes.len()));
                bytes = rest;
                self.left -= part.len();
                if let Some(kept) = &mut self.kept {
                    kept.extend_from_slice(part);
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
            None => self.kept = matches!(kind, b'K' | b'S').then(Vec::new),
            Some(unnamed) => {
                let kept = matches!(kind, b'K' | b'S') || unnamed.looks_at(kind);
                self.kept = kept.then(Vec::new);
                if !kept {
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

    /// Looks at a message that was kept, and hands it over.
    fn end(&mut self, unnamed: Option<&mut Unnamed>, out: &mut BytesMut) {
        let Some(body) = self.kept.take() else {
            return;
        };
        match self.kind {
            b'K' => {
                if let Some([a, b, c, d]) = body.first_chunk() {
                    let process = i32::from_be_bytes([*a, *b, *c, *d]);
                    self.watch.server_process.store(process, Relaxed);
                }
            }
            b'S' if unnamed.is_none() => {
                let name = end_of_text(&body).map_or(&body[..], |end| &body[..end]);
                self.watch.reported(&String::from_utf8_lossy(name));
            }
            _ => {}
        }
        let Some(unnamed) = unnamed else {
            return;
        };
        let described = if matches!(self.kind, b't' | b'T' | b'n') {
            unnamed.described(self.kind, &body)
        } else {
            Described::HandedOver
        };
        match described {
            Described::HandedOver => {
                put_header(self.kind, body.len(), out);
                out.extend_from_slice(&body);
            }
            Described::Kept => {}
            Described::Changed => {
                let fields = format!("SERROR\0VERROR\0C0A000\0M{CHANGED}\0\0");
                put_header(b'E', fields.len(), out);
                out.extend_from_slice(fields.as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        put_header(kind, body.len(), &mut out);
        out.extend_from_slice(body);
        out.to_vec()
    }

    const STARTUP: &[u8] = b"\0\0\0\x08\0\x03\0\0";

    fn sent(stream: &[u8], piece: usize, mut unnamed: Option<&mut Unnamed>) -> Vec<u8> {
        let (mut frontend, mut out) = (Frontend::default(), BytesMut::new());
        for bytes in stream.chunks(piece) {
            frontend.follow(bytes, unnamed.as_deref_mut(), &mut out);
        }
        out.to_vec()
    }

    fn named(name: &[u8]) -> Vec<u8> {
        [
            STARTUP,
            &message(b'P', &[name, b"\0SELECT $1\0\0\0"].concat()),
            &message(b'D', &[b"S", name, b"\0"].concat()),
            &message(b'S', b""),
            &message(b'B', &[b"\0", name, b"\0\0\0\0\0\0\0"].concat()),
            &message(b'D', b"Ps1\0"),
            &message(b'E', b"\0\0\0\0\0"),
            &message(b'S', b""),
            &message(b'Q', b"SELECT 's1'\0"),
            &message(b'C', &[b"S", name, b"\0"].concat()),
        ]
        .concat()
    }

    #[test]
    fn statement_names_in_pieces_of_any_size_get_the_prefix_of_the_process() {
        let wanted = named(&[prefix(), b"s1"].concat());
        for piece in 1..=wanted.len() {
            assert_eq!(
                sent(&named(b"s1"), piece, None),
                wanted,
                "in pieces of {piece}"
            );
        }
        assert_eq!(
            sent(&named(b""), 1000, None),
            named(b""),
            "the unnamed one stays"
        );
        assert_eq!(prefix().len(), 17);
    }

    /// A description of columns of these names and types.
    fn description(columns: &[(&str, u32)]) -> Vec<u8> {
        let mut body = u16::try_from(columns.len())
            .expect("few")
            .to_be_bytes()
            .to_vec();
        for (name, kind) in columns {
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(b"\0\0\0\0\0\0\0");
            body.extend_from_slice(&kind.to_be_bytes());
            body.extend_from_slice(&[0; 8]);
        }
        message(b'T', &body)
    }

    fn handed_over(stream: &[u8], piece: usize, unnamed: &mut Unnamed) -> Vec<u8> {
        let (mut backend, mut out) = (Backend::new(Arc::default()), BytesMut::new());
        for bytes in stream.chunks(piece) {
            backend.filter(bytes, unnamed, &mut out);
        }
        out.to_vec()
    }

    /// A connection that has prepared `s1`, and executes it now.
    fn prepared(columns: &[(&str, u32)]) -> Unnamed {
        let mut unnamed = Unnamed::default();
        let parse = message(b'P', b"s1\0SELECT $1\0\0\0");
        let describe = message(b'D', b"Ss1\0");
        let sync = message(b'S', b"");
        let out = sent(
            &[STARTUP, &parse, &describe, &sync].concat(),
            7,
            Some(&mut unnamed),
        );
        let unnamed_parse = message(b'P', b"\0SELECT $1\0\0\0");
        assert_eq!(
            out,
            [STARTUP, &unnamed_parse, &message(b'D', b"S\0"), &sync].concat()
        );
        let answer = [
            message(b'1', b""),
            message(b't', b"\0\x01\0\0\0\x17"),
            description(columns),
            message(b'Z', b"I"),
        ]
        .concat();
        assert_eq!(handed_over(&answer, 5, &mut unnamed), answer);
        let bind = message(b'B', b"p7\0s1\0\0\0\0\0\0\0");
        let execute = message(b'E', b"p7\0\0\0\0\0");
        let out = sent(
            &[STARTUP, &bind, &execute, &sync].concat(),
            3,
            Some(&mut unnamed),
        );
        // With the types that the server had found for its parameters.
        let again = message(b'P', b"\0SELECT $1\0\0\x01\0\0\0\x17");
        let wanted = [
            STARTUP,
            &again,
            &message(b'B', b"p7\0\0\0\0\0\0\0\0"),
            &message(b'D', b"Pp7\0"),
            &execute,
            &sync,
        ]
        .concat();
        assert_eq!(out, wanted);
        unnamed
    }

    #[test]
    fn a_statement_behind_a_pooler_is_sent_again_and_the_library_notices_nothing() {
        let columns = [("id", 20), ("name", 25)];
        let answer = [
            message(b'1', b""),
            message(b'2', b""),
            description(&columns),
            message(b'D', b"\0\0"),
            message(b'C', b"SELECT 1\0"),
            message(b'Z', b"I"),
        ];
        let wanted = [&answer[1][..], &answer[3], &answer[4], &answer[5]].concat();
        for piece in 1..100 {
            let mut unnamed = prepared(&columns);
            let got = handed_over(&answer.concat(), piece, &mut unnamed);
            assert_eq!(got, wanted, "in pieces of {piece}");
            assert!(unnamed.sent.is_empty());
        }
    }

    #[test]
    fn a_result_with_other_columns_than_were_prepared_is_an_error() {
        for columns in [&[("id", 20), ("name", 25)][..], &[("id", 23)], &[]] {
            let mut unnamed = prepared(&[("id", 20)]);
            let answer = [
                message(b'1', b""),
                message(b'2', b""),
                description(columns),
                message(b'D', b"\0\0"),
                message(b'N', b"notice"),
                message(b'C', b"SELECT 1\0"),
                message(b'Z', b"I"),
                message(b'E', b"SFATAL\0\0"),
            ];
            let fields = format!("SERROR\0VERROR\0C0A000\0M{CHANGED}\0\0");
            let error = message(b'E', fields.as_bytes());
            let wanted = [&answer[1][..], &error, &answer[4], &answer[6], &answer[7]].concat();
            assert_eq!(handed_over(&answer.concat(), 11, &mut unnamed), wanted);
        }
    }

    #[test]
    fn a_refused_statement_that_was_sent_again_is_told_as_it_came() {
        let mut unnamed = prepared(&[("id", 20)]);
        let answer = [message(b'E', b"SERROR\0\0"), message(b'Z', b"E")].concat();
        assert_eq!(handed_over(&answer, 4, &mut unnamed), answer);
        assert!(unnamed.sent.is_empty());
    }

    #[test]
    fn a_report_of_a_setting_marks_a_session_that_is_set_up_and_no_other() {
        let watch = Arc::new(Watch::default());
        let mut backend = Backend::new(Arc::clone(&watch));
        let report = message(b'S', b"TimeZone\0UTC\0");
        let start = [
            report.clone(),
            message(b'K', b"\0\0\x12\x34abcd"),
            message(b'Z', b"I"),
        ]
        .concat();
        for byte in start.chunks(1) {
            backend.observe(byte);
        }
        assert_eq!(watch.server_process(), 0x1234);
        watch.seal();
        backend.observe(&message(b'D', b"S\0\0\0\x05S"));
        assert!(!watch.is_changed());
        backend.observe(&report);
        assert!(watch.is_changed());
    }
}
