//! Who sends a request, as the component is told (`--pass-subject`).
//!
//! The component is told by header fields, which every component can read, with any interface and
//! any host. All fields of these names are the host's: they are removed from every request, whoever
//! sends it, so what a component reads there has been verified.

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// Whom the token is about, unique with the issuer.
const SUBJECT: HeaderName = HeaderName::from_static("usher-subject");

/// What the token permits, with spaces between the scopes.
const SCOPES: HeaderName = HeaderName::from_static("usher-scopes");

/// Who issued the token; absent for one of `--tokens`.
const ISSUER: HeaderName = HeaderName::from_static("usher-issuer");

/// What a subject or an issuer may have and a header field may not, or only inside.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// Whether a field's name is the host's. Gateways to CGI and WSGI do not tell `_` from `-`.
pub(crate) fn is_reserved(name: &str) -> bool {
    let rest = name.strip_prefix("usher");
    rest.is_some_and(|rest| rest.starts_with(['-', '_']))
}

/// Removes the host's fields.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let reserved = headers.keys().filter(|name| is_reserved(name.as_str()));
    let reserved: Vec<HeaderName> = reserved.cloned().collect();
    for name in reserved {
        headers.remove(name);
    }
}

/// Adds who sends the request. A subject or an issuer that is no header field's value is
/// percent-encoded.
pub(super) fn add(
    headers: &mut HeaderMap,
    issuer: Option<&str>,
    subject: Option<&str>,
    scopes: &str,
) {
    for (name, value) in [(ISSUER, issuer), (SUBJECT, subject)] {
        let encoded = value.map(|value| utf8_percent_encode(value, ENCODED).to_string());
        if let Some(value) = encoded.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
    if let Ok(scopes) = HeaderValue::try_from(scopes) {
        headers.insert(SCOPES, scopes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subject_is_encoded_where_a_field_cannot_hold_it() {
        for (subject, expected) in [
            ("auth0|7", "auth0|7"),
            ("ann@example.org", "ann@example.org"),
            (
                " a\r\nusher-scopes: write",
                "%20a%0D%0Ausher-scopes:%20write",
            ),
            ("100%", "100%25"),
            ("\u{e4}", "%C3%A4"),
            ("", ""),
        ] {
            let mut headers = HeaderMap::new();
            add(
                &mut headers,
                Some("https://id.example/"),
                Some(subject),
                "read x",
            );
            assert_eq!(headers[SUBJECT], expected);
            assert_eq!(headers[SCOPES], "read x");
            assert_eq!(headers[ISSUER], "https://id.example/");
        }
    }

    #[test]
    fn fields_of_the_host_are_removed_in_every_spelling() {
        let mut headers = HeaderMap::new();
        for name in [
            "usher-subject",
            "usher_subject",
            "usher-scopes",
            "usher-any",
            "usherette",
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("x"));
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("y"));
        }
        strip(&mut headers);
        let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["usherette"]);
    }
}
