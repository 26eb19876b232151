//! Conditional requests: `If-Match` and `If-None-Match` (RFC 9110, 13.1).

use super::http::{Request, RequestHeader};
use crate::users::{Expected, User};

/// Whether `If-None-Match` names the user's current version (RFC 9110, 13.1.2; weak comparison).
pub(crate) fn is_unchanged(request: &impl Request, user: &User) -> bool {
    request
        .header(RequestHeader::IfNoneMatch)
        .is_some_and(|tags| match Tags::parse(&tags) {
            Tags::Any => true,
            Tags::These(tags) => tags.iter().any(|tag| tag.version == Some(user.version)),
        })
}

/// Whether `If-None-Match` names this entity tag, which contains no comma (RFC 9110, 13.1.2; weak
/// comparison).
pub(crate) fn names_tag(request: &impl Request, etag: &str) -> bool {
    request
        .header(RequestHeader::IfNoneMatch)
        .is_some_and(|tags| {
            tags.split(|&byte| byte == b',').any(|tag| {
                let tag = tag.trim_ascii();
                tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag.as_bytes()
            })
        })
}

/// The versions for which `If-Match` permits a write (RFC 9110, 13.1.1; strong comparison).
pub(crate) fn expected_versions(request: &impl Request) -> Expected {
    let Some(tags) = request.header(RequestHeader::IfMatch) else {
        return Expected::Any;
    };
    match Tags::parse(&tags) {
        Tags::Any => Expected::Any,
        Tags::These(tags) => {
            let mut versions = tags
                .iter()
                .filter(|tag| !tag.weak)
                .filter_map(|tag| tag.version);
            match (versions.next(), versions.next()) {
                (Some(only), None) => Expected::Version(only),
                (first, second) => {
                    Expected::OneOf(first.into_iter().chain(second).chain(versions).collect())
                }
            }
        }
    }
}

/// A list of entity tags of users (RFC 9110, 8.8.3).
enum Tags {
    Any,
    These(Vec<Tag>),
}

struct Tag {
    weak: bool,
    /// The version, if this service could have issued the tag.
    version: Option<i64>,
}

impl Tags {
    fn parse(header: &[u8]) -> Self {
        let header = String::from_utf8_lossy(header);
        let header = header.trim_matches([' ', '\t']);
        if header == "*" {
            return Self::Any;
        }
        // Tags of this service contain neither commas nor quotes, and no other tag matches.
        let tag = |text: &str| {
            let text = text.trim_matches([' ', '\t']);
            let (weak, quoted) = match text.strip_prefix("W/") {
                Some(quoted) => (true, quoted),
                None => (false, text),
            };
            let digits = quoted
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'));
            let version = digits
                .filter(|digits| !digits.starts_with(['0', '+', '-']))
                .and_then(|digits| digits.parse().ok());
            Tag { weak, version }
        };
        Self::These(header.split(',').map(tag).collect())
    }
}
