//! Which header fields are recorded and compared. The two lists are here and nowhere else.

use http::{HeaderMap, HeaderName};

/// Who sends the request, as the host tells the component: the only one that is masked.
pub(super) const SUBJECT: &str = "usher-subject";

/// The fields of a request that are recorded. All others are left out, so that no credential can be
/// in a recording: `Authorization`, cookies, keys of any name.
const RECORDED: [&str; 16] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "content-encoding",
    "content-type",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "usher-issuer",
    "usher-scopes",
    SUBJECT,
    "x-forwarded-host",
    "x-forwarded-prefix",
];

/// The fields of a response that are neither recorded nor compared: those that differ each time,
/// those that are about a connection, and those that may hold a credential.
const VOLATILE: [&str; 9] = [
    "authorization",
    "connection",
    "date",
    "proxy-authorization",
    "server",
    "set-cookie",
    "traceparent",
    "transfer-encoding",
    "x-request-id",
];

/// Whether a field of a request is recorded.
pub(super) fn is_recorded(name: &HeaderName) -> bool {
    RECORDED.binary_search(&name.as_str()).is_ok()
}

/// Whether a field of a response is left out.
pub(super) fn is_volatile(name: &HeaderName) -> bool {
    VOLATILE.binary_search(&name.as_str()).is_ok()
}

/// The fields for which this holds, in the order of their names.
pub(super) fn fields(
    headers: &HeaderMap,
    is_kept: impl Fn(&HeaderName) -> bool,
) -> Vec<(String, String)> {
    let kept = headers.iter().filter(|(name, _)| is_kept(name));
    let mut fields: Vec<_> = kept
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect();
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_lists_are_sorted_and_without_credentials() {
        assert!(RECORDED.is_sorted() && VOLATILE.is_sorted());
        for name in ["authorization", "cookie", "x-forwarded-for", "forwarded"] {
            assert!(!is_recorded(&HeaderName::from_static(name)), "{name}");
        }
    }
}
