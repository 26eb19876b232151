//! The parts of PostgreSQL's message format that both directions need.

use bytes::BytesMut;

/// The length of a header: the message's type, and the length of the rest with these four bytes.
pub(super) const HEADER: usize = 5;

/// The text of the error that replaces a result whose columns have changed.
pub(super) const CHANGED: &str =
    "the columns of the result have changed since the statement was prepared";

/// Whether this error replaces a result whose columns have changed. The statement has run.
pub(in crate::database::postgres) fn is_changed_result(message: &str) -> bool {
    message == CHANGED
}

/// The position in the body at which the name of a statement starts, if the message has one.
pub(super) fn statement_name_start(kind: u8, body: &[u8]) -> Option<usize> {
    match kind {
        b'P' => Some(0),
        b'B' => Some(end_of_text(body)? + 1),
        // Describe and Close name a portal or a statement.
        b'D' | b'C' => (*body.first()? == b'S').then_some(1),
        _ => None,
    }
}

/// The position of the zero byte that ends a text.
pub(super) fn end_of_text(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == 0)
}

pub(super) fn put_header(kind: u8, body_length: usize, out: &mut BytesMut) {
    let length = u32::try_from(body_length + 4).unwrap_or(u32::MAX);
    out.extend_from_slice(&[kind]);
    out.extend_from_slice(&length.to_be_bytes());
}
