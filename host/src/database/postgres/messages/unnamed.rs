//! Statements on a connection behind transaction pooling.
//!
//! For each statement that the library prepares, its text and its columns are kept. Before each use
//! the statement is sent again without a name, with a request for its columns. The responses to
//! what was added are removed; if the columns have changed, an error replaces the result.

use std::collections::{HashMap, VecDeque};

use bytes::{Bytes, BytesMut};

use super::format::{end_of_text, put_header, statement_name_start};

/// A statement that the library has prepared.
#[derive(Debug)]
struct KnownStatement {
    /// The text, with the zero byte that ends it.
    text: Bytes,
    /// The types of the parameters as in a message: their number, then each.
    types: Bytes,
    /// Name and type of each column, once the server has described them.
    columns: Option<Vec<u8>>,
}

/// A request until its response has ended with `ReadyForQuery`.
#[derive(Debug, Default)]
struct Request {
    /// The statement that the library prepares, whose description follows.
    prepares: Option<Bytes>,
    /// The statement that was sent again, for whose `ParseComplete` and description the library
    /// does not wait.
    repeats: Option<Bytes>,
    /// Whether the `ParseComplete` of the repeated statement was removed.
    is_accepted: bool,
    /// Whether the columns have changed, so that the rest of the response is removed.
    is_changed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Unnamed {
    statements: HashMap<Bytes, KnownStatement>,
    /// The request that is being written.
    writing: Request,
    sent: VecDeque<Request>,
}

/// What happens to a message that was read completely.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Pass,
    Remove,
    /// An error replaces the message: the columns have changed.
    ReplaceByError,
}

impl Unnamed {
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.sent.is_empty()
    }

    /// Appends to `out` what is sent instead of this message.
    pub(super) fn send(&mut self, kind: u8, message: &[u8], body: &[u8], out: &mut BytesMut) {
        if let Some(at) = statement_name_start(kind, body)
            && let Some(length) = body.get(at..).and_then(end_of_text)
            && length > 0
        {
            let name = Bytes::copy_from_slice(&body[at..at + length]);
            let (before, after) = (&body[..at], &body[at + length..]);
            self.send_named(kind, name, before, after, out);
            return;
        }
        if matches!(kind, b'S' | b'Q') {
            self.sent.push_back(std::mem::take(&mut self.writing));
        }
        out.extend_from_slice(message);
    }

    /// As [`send`](Self::send), for a message with a statement name between `before` and `after`.
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
                // `after` starts with the zero byte that ends the name.
                let rest = after.get(1..).unwrap_or_default();
                let text = end_of_text(rest).map_or(rest.len(), |end| end + 1);
                let statement = KnownStatement {
                    text: Bytes::copy_from_slice(&rest[..text]),
                    types: Bytes::copy_from_slice(&rest[text..]),
                    columns: None,
                };
                self.statements.insert(name.clone(), statement);
                self.writing.prepares = Some(name);
            }
            b'B' => {
                if let Some(statement) = self.statements.get(&name) {
                    let length = 1 + statement.text.len() + statement.types.len();
                    put_header(b'P', length, out);
                    out.extend_from_slice(&[0]);
                    out.extend_from_slice(&statement.text);
                    out.extend_from_slice(&statement.types);
                    put_header(kind, before.len() + after.len(), out);
                    out.extend_from_slice(before);
                    out.extend_from_slice(after);
                    // Describes the portal, to compare its columns with those the library expects.
                    put_header(b'D', 1 + before.len(), out);
                    out.extend_from_slice(b"P");
                    out.extend_from_slice(before);
                    self.writing.repeats = Some(name);
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

    /// Whether a message has to be read completely before [`describe`](Self::describe) decides.
    pub(super) fn needs_body(&self, kind: u8) -> bool {
        let Some(request) = self.sent.front() else {
            return false;
        };
        (matches!(kind, b't' | b'T' | b'n') && request.prepares.is_some())
            || (matches!(kind, b'T' | b'n') && request.repeats.is_some())
    }

    /// Whether a message whose body is not needed passes to the library.
    pub(super) fn passes(&mut self, kind: u8) -> bool {
        // The server may send a notice, a setting or a notification at any time.
        if matches!(kind, b'N' | b'S' | b'A') {
            return true;
        }
        if kind == b'Z' {
            self.sent.pop_front();
            return true;
        }
        match self.sent.front_mut() {
            Some(request) if request.is_changed => false,
            Some(request) if kind == b'1' && request.repeats.is_some() && !request.is_accepted => {
                request.is_accepted = true;
                false
            }
            _ => true,
        }
    }

    /// Stores a description for the library, or compares it with the stored one.
    pub(super) fn describe(&mut self, kind: u8, body: &[u8]) -> Decision {
        let Some(request) = self.sent.front_mut() else {
            return Decision::Pass;
        };
        if let Some(name) = &request.prepares {
            if let Some(statement) = self.statements.get_mut(name) {
                match kind {
                    b't' => statement.types = Bytes::copy_from_slice(body),
                    _ => statement.columns = Some(columns(body)),
                }
            }
            return Decision::Pass;
        }
        if request.is_changed {
            return Decision::Remove;
        }
        let expected = request.repeats.as_ref().and_then(|name| {
            let statement = self.statements.get(name)?;
            statement.columns.as_ref()
        });
        if expected.is_some_and(|expected| *expected != columns(body)) {
            request.is_changed = true;
            return Decision::ReplaceByError;
        }
        Decision::Remove
    }
}

/// Name and type of each column in a description; a statement without columns has an empty one.
fn columns(description: &[u8]) -> Vec<u8> {
    let mut columns = Vec::new();
    // Skips the number of columns.
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
