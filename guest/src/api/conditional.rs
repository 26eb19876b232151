//! Conditional requests: `If-Match` and `If-None-Match` (RFC 9110, 13.1).

use super::error::Error;
use super::headers::RequestHeader;
use crate::users::{self, Expected, User};
use usher_sdk::http::Request;

/// Whether the client has this version of a user already, by `If-None-Match`.
///
/// # Errors
/// If `If-Match` names other versions only; it comes first (RFC 9110, 13.2.2).
pub(crate) fn is_user_unchanged(
    request: &impl Request<RequestHeader>,
    user: &User,
) -> Result<bool, Error> {
    is_unchanged(request, |tags, weakly| {
        Tags::parse(tags).names(user.version, weakly)
    })
}

/// As [`is_user_unchanged`], for what has this strong entity tag, which has no comma.
pub(crate) fn is_tag_unchanged(
    request: &impl Request<RequestHeader>,
    etag: &str,
) -> Result<bool, Error> {
    is_unchanged(request, |tags, weakly| {
        tags.split(|&byte| byte == b',').any(|tag| {
            let tag = tag.trim_ascii();
            let opaque = tag.strip_prefix(b"W/").filter(|_| weakly).unwrap_or(tag);
            tag == b"*" || opaque == etag.as_bytes()
        })
    })
}

/// Checks the condition of reading a list. It has no entity tag, so a client cannot have it
/// already, and `If-Match` can only require that it exists.
///
/// # Errors
/// If `If-Match` names a tag.
pub(crate) fn check_list(request: &impl Request<RequestHeader>) -> Result<(), Error> {
    match request.header(RequestHeader::IfMatch) {
        Some(tags) if !matches!(Tags::parse(&tags), Tags::Any) => Err(users::Error::Stale.into()),
        _ => Ok(()),
    }
}

/// `names` tells whether a list of tags names what would be sent, by weak comparison or not.
fn is_unchanged(
    request: &impl Request<RequestHeader>,
    names: impl Fn(&[u8], bool) -> bool,
) -> Result<bool, Error> {
    let matches = |header, weakly| request.header(header).map(|tags| names(&tags, weakly));
    if matches(RequestHeader::IfMatch, false) == Some(false) {
        return Err(users::Error::Stale.into());
    }
    Ok(matches(RequestHeader::IfNoneMatch, true) == Some(true))
}

/// The versions for which a write may proceed: those that `If-Match` names (RFC 9110, 13.1.1;
/// strong comparison), without those that `If-None-Match` names (13.1.2; weak comparison).
pub(crate) fn expected_versions(request: &impl Request<RequestHeader>) -> Expected {
    let tags = |header| request.header(header).map(|tags| Tags::parse(&tags));
    let excluded = match tags(RequestHeader::IfNoneMatch) {
        None => Vec::new(),
        // Whatever version the user has, it is named.
        Some(Tags::Any) => return Expected::OneOf(Vec::new()),
        Some(Tags::These(tags)) => tags.iter().filter_map(|tag| tag.version).collect(),
    };
    match tags(RequestHeader::IfMatch) {
        None | Some(Tags::Any) if excluded.is_empty() => Expected::Any,
        None | Some(Tags::Any) => Expected::NoneOf(excluded),
        Some(Tags::These(tags)) => {
            let mut versions = tags
                .iter()
                .filter(|tag| !tag.weak)
                .filter_map(|tag| tag.version)
                .filter(|version| !excluded.contains(version));
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
    fn names(&self, version: i64, weakly: bool) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags
                .iter()
                .any(|tag| tag.version == Some(version) && (weakly || !tag.weak)),
        }
    }

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
