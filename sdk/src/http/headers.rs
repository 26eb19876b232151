//! The request headers that a service reads, as an enum.

use std::borrow::Cow;

/// The request headers that a service reads, an enum that [`request_headers!`] makes.
///
/// A host passes a buffered request with these headers only, since each costs a copy. A handler
/// names a header by this type, so it cannot read one that was not passed.
///
/// [`request_headers!`]: crate::request_headers
pub trait RequestHeaders: Copy + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// The name, in lower case.
    fn name(self) -> &'static str;

    /// The text, in any case, without which a value is treated as absent.
    fn required_text(self) -> Option<&'static str>;

    /// The value of this header in a request with these field lines: joined by commas (RFC 9110,
    /// 5.3), and absent without its [required text](Self::required_text).
    fn value<'a>(self, mut lines: impl Iterator<Item = Cow<'a, [u8]>>) -> Option<Cow<'a, [u8]>> {
        let mut value = lines.next()?;
        for line in lines {
            let joined = value.to_mut();
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(&line);
        }
        let is_relevant = |text: &str| {
            value
                .windows(text.len())
                .any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
        };
        self.required_text()
            .is_none_or(is_relevant)
            .then_some(value)
    }
}

request_headers! {
    /// The request headers that most services read.
    pub enum Header {
        /// `Accept`, if it mentions NDJSON. Nearly every request has one, and hardly any mentions
        /// it.
        AcceptNdjson = "accept" if it contains "ndjson";
        /// `Content-Type`.
        ContentType = "content-type";
        /// `If-Match`.
        IfMatch = "if-match";
        /// `If-None-Match`.
        IfNoneMatch = "if-none-match";
    }
}
