//! A user as a client sees it: JSON, and an entity tag.

use crate::compat::json::{is_plain, write_escaped};
use crate::users::{User, UserRef};
use usher_sdk::http::Response;

/// Names of at least this many bytes are scanned for escapes to compute the size of their JSON.
const LONG_NAME: usize = 16 << 10;

/// The size of the field `etag` with a version of eight digits.
const ETAG_FIELD: usize = 22;

/// The response with one user.
pub(crate) fn user_response(user: &User) -> Response {
    let mut body = String::with_capacity(json_size(user.borrowed()));
    write_user(user.borrowed(), write_escaped, &mut body);
    Response::json_text(200, body.into_bytes()).with("etag", etag(user))
}

/// The capacity for the JSON of listed users up to a limit of bytes, or of the first user if it is
/// larger.
pub(crate) fn list_capacity(users: &[UserRef<'_>], limit: usize, etags: bool) -> usize {
    let etag = if etags { ETAG_FIELD } else { 0 };
    let size = |user: &UserRef<'_>| json_size(*user) + etag;
    let first = users.first().map_or(0, size);
    let all: usize = users.iter().map(size).sum();
    all.min(limit.max(first))
}

/// The size of a user's JSON: for a long name exact or slightly less, since its buffer would
/// otherwise grow by doubling; for any other as if nothing had to be escaped.
fn json_size(user: UserRef<'_>) -> usize {
    let name = if user.name.len() < LONG_NAME {
        user.name.len()
    } else {
        let escapes = user.name.bytes().map(|byte| match byte {
            b'"' | b'\\' => 2,
            0..0x20 => 6,
            _ => 1,
        });
        escapes.sum()
    };
    name + user.email.len() + 48
}

/// Writes a user as JSON, and its texts by this function.
#[inline]
fn write_user(user: UserRef<'_>, write_text: impl Fn(&str, &mut String), out: &mut String) {
    out.push_str("{\"id\":");
    out.push_str(itoa::Buffer::new().format(user.id));
    out.push_str(",\"name\":\"");
    write_text(user.name, out);
    out.push_str("\",\"email\":\"");
    write_text(user.email, out);
    out.push_str("\"}");
}

/// How the users of a list are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListFormat {
    etags: bool,
    /// Whether no text has to be escaped, which one look at all of them shows.
    is_plain: bool,
}

impl ListFormat {
    /// With their entity tags, if asked for. `texts` are all their texts, if they are in one piece.
    pub(crate) fn new(etags: bool, texts: Option<&str>) -> Self {
        let is_plain = texts.is_some_and(is_plain);
        Self { etags, is_plain }
    }

    /// Writes a user as JSON.
    #[inline]
    pub(crate) fn write(self, user: UserRef<'_>, out: &mut String) {
        if self.is_plain {
            write_user(user, |text, out| out.push_str(text), out);
        } else {
            write_user(user, write_escaped, out);
        }
        if self.etags {
            out.pop();
            // As in the header `ETag`, so that it can be sent back as `If-Match`: quotes included.
            out.push_str(",\"etag\":\"\\\"");
            out.push_str(itoa::Buffer::new().format(user.version));
            out.push_str("\\\"\"}");
        }
    }
}

/// The entity tag of a user: its version, which every change increments.
pub(crate) fn etag(user: &User) -> String {
    let mut tag = String::with_capacity(8);
    tag.push('"');
    tag.push_str(itoa::Buffer::new().format(user.version));
    tag.push('"');
    tag
}
