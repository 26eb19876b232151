//! A user as a client sees it: JSON, and an entity tag.

use crate::compat::json::write_escaped;
use crate::users::User;
use usher_sdk::http::Response;

/// Names of at least this many bytes are scanned for escapes to compute the size of their JSON.
const LONG_NAME: usize = 16 << 10;

/// The size of the field `etag` with a version of eight digits.
const ETAG_FIELD: usize = 22;

/// The response with one user.
pub(crate) fn user_response(user: &User) -> Response {
    let mut body = String::with_capacity(json_size(user));
    write_user(user, &mut body);
    Response::json_text(200, body.into_bytes()).with("etag", etag(user))
}

/// The capacity for the JSON of listed users up to a limit of bytes, or of the first user if it is
/// larger.
pub(crate) fn list_capacity(users: &[User], limit: usize, etags: bool) -> usize {
    let etag = if etags { ETAG_FIELD } else { 0 };
    let size = |user| json_size(user) + etag;
    let first = users.first().map_or(0, size);
    let all: usize = users.iter().map(size).sum();
    all.min(limit.max(first))
}

/// The size of a user's JSON: for a long name exact or slightly less, since its buffer would
/// otherwise grow by doubling; for any other as if nothing had to be escaped.
fn json_size(user: &User) -> usize {
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

/// Writes a user as JSON.
pub(crate) fn write_user(user: &User, out: &mut String) {
    out.push_str("{\"id\":");
    out.push_str(itoa::Buffer::new().format(user.id));
    out.push_str(",\"name\":\"");
    write_escaped(&user.name, out);
    out.push_str("\",\"email\":\"");
    write_escaped(&user.email, out);
    out.push_str("\"}");
}

/// Writes a user of a list as JSON, if asked for with its entity tag.
pub(crate) fn write_listed_user(user: &User, with_etag: bool, out: &mut String) {
    write_user(user, out);
    if with_etag {
        out.pop();
        // As in the header `ETag`, so that it can be sent back as `If-Match`: quotes included.
        out.push_str(",\"etag\":\"\\\"");
        out.push_str(itoa::Buffer::new().format(user.version));
        out.push_str("\\\"\"}");
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
