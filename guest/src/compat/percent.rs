//! Percent-encoding (RFC 3986, 2.1) as Python's `urllib.parse` decodes and encodes it.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What is encoded in a URL that is one already: percent signs are kept.
const NOT_IN_URLS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~')
    .remove(b':')
    .remove(b'/')
    .remove(b'%')
    .remove(b'#')
    .remove(b'?')
    .remove(b'=')
    .remove(b'@')
    .remove(b'[')
    .remove(b']')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';');

/// Decodes a path. Invalid escapes are kept, and invalid UTF-8 becomes U+FFFD.
pub(crate) fn decode(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

/// Decodes a key or value of a query, in which a plus stands for a space.
pub(crate) fn decode_form(text: &str) -> Cow<'_, str> {
    if text.as_bytes().contains(&b'+') {
        Cow::Owned(decode(&text.replace('+', " ")).into_owned())
    } else {
        decode(text)
    }
}

/// Encodes every byte that is not allowed in a URL.
pub(crate) fn encode_url(url: &str, out: &mut String) {
    out.extend(utf8_percent_encode(url, NOT_IN_URLS));
}
