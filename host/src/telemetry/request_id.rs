//! Ids of requests: made here, or taken from a trusted client.
//!
//! An id from outside appears in log lines and in a response, so it has to be short and consist of
//! characters that need no escaping anywhere.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue};

/// The header field with a request's id.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The header field of W3C Trace Context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The longest id that is taken from a client.
const MAX_LENGTH: usize = 128;

/// How many ids are made at once.
const BATCH: usize = 64;

/// The length of an id: the core's random number, and a number of the request.
const LENGTH: usize = PREFIX + NUMBER;
const PREFIX: usize = 12;
const NUMBER: usize = 8;

/// Crockford's base32, as of ULIDs.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Makes the ids of one core.
#[derive(Debug)]
pub(crate) struct RequestIds {
    prefix: [u8; PREFIX],
    batch: Mutex<Batch>,
}

#[derive(Debug)]
struct Batch {
    /// Ids that were made and not used yet, one after the other. So an id takes no allocation.
    ready: Bytes,
    next: u64,
}

impl Default for RequestIds {
    fn default() -> Self {
        // Seeded by the operating system.
        let random = |number: u8| RandomState::new().hash_one(number);
        let mut prefix = [0; PREFIX];
        write_digits(random(0), &mut prefix);
        Self {
            prefix,
            batch: Mutex::new(Batch {
                ready: Bytes::new(),
                next: random(1),
            }),
        }
    }
}

impl RequestIds {
    /// A new id.
    pub(crate) fn next(&self) -> HeaderValue {
        let id = {
            let mut batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner);
            if batch.ready.is_empty() {
                self.fill(&mut batch);
            }
            batch.ready.split_to(LENGTH)
        };
        // Ids consist of digits and letters.
        HeaderValue::from_maybe_shared(id).unwrap_or(HeaderValue::from_static(UNKNOWN))
    }

    #[cold]
    fn fill(&self, batch: &mut Batch) {
        let mut ids = BytesMut::with_capacity(BATCH * LENGTH);
        for _ in 0..BATCH {
            batch.next = batch.next.wrapping_add(1);
            let mut number = [0; NUMBER];
            // An odd factor maps each number of 40 bits to another one, so that ids of successive
            // requests look different.
            write_digits(batch.next.wrapping_mul(0x9e37_79b9_7f4a_7c15), &mut number);
            ids.extend_from_slice(&self.prefix);
            ids.extend_from_slice(&number);
        }
        batch.ready = ids.freeze();
    }
}

/// The id of a request that cannot have another one.
const UNKNOWN: &str = "-";

/// Writes the lowest bits of a number, five for each digit.
fn write_digits(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        // The lowest five bits.
        *digit = DIGITS[usize::from((number & 31) as u8)];
        number >>= 5;
    }
}

/// Whether a client's id may be used.
pub(crate) fn is_valid(id: &HeaderValue) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:+/=".contains(byte);
    (1..=MAX_LENGTH).contains(&id.len()) && id.as_bytes().iter().all(is_plain)
}

/// The id as text.
pub(crate) fn text(id: &HeaderValue) -> &str {
    id.to_str().unwrap_or(UNKNOWN)
}

/// The trace id of a valid `traceparent` (W3C Trace Context, 3.2).
pub(crate) fn trace_id(traceparent: &HeaderValue) -> Option<&str> {
    let text = traceparent.to_str().ok()?;
    let mut parts = text.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |part: &str, length: usize| {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        part.len() == length && part.bytes().all(is_digit)
    };
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    // Later versions may have further parts.
    let is_complete = parts.next().is_none() || (version != "00" && text.len() <= MAX_LENGTH);
    let is_valid = is_hex(version, 2)
        && version != "ff"
        && is_hex(trace, 32)
        && !is_zero(trace)
        && is_hex(parent, 16)
        && !is_zero(parent)
        && is_hex(flags, 2)
        && is_complete;
    is_valid.then_some(trace)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn made_ids_are_valid_and_differ() {
        let (one, other) = (RequestIds::default(), RequestIds::default());
        let ids: Vec<_> = (0..3 * BATCH)
            .flat_map(|_| [one.next(), other.next()])
            .collect();
        assert!(ids.iter().all(|id| id.len() == LENGTH && is_valid(id)));
        let different: HashSet<_> = ids.iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(different.len(), ids.len());
    }

    #[test]
    fn id_of_a_client_is_valid_if_short_and_plain() {
        let value = |text: &str| HeaderValue::from_str(text).expect("a value");
        for id in ["a", "0b6c1f5e-2c1f-4c0e-9d0e-3f1c5f6d7e8f", "A+b/c=:_~."] {
            assert!(is_valid(&value(id)), "{id}");
        }
        for id in [
            "",
            "a b",
            "a\tb",
            "a\"b",
            "a\\b",
            "a@b.example",
            "<a>",
            "a,b",
        ] {
            assert!(!is_valid(&value(id)), "{id}");
        }
        assert!(is_valid(&value(&"a".repeat(128))) && !is_valid(&value(&"a".repeat(129))));
        let other = HeaderValue::from_bytes(b"\xff").expect("a value");
        assert!(!is_valid(&other));
    }

    #[test]
    fn trace_id_is_read_from_a_valid_traceparent_only() {
        const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
        const PARENT: &str = "b7ad6b7169203331";
        let read = |text: String| {
            let value = HeaderValue::from_str(&text).expect("a value");
            trace_id(&value).map(str::to_owned)
        };
        for valid in [
            format!("00-{TRACE}-{PARENT}-01"),
            format!("cc-{TRACE}-{PARENT}-00-more"),
        ] {
            assert_eq!(read(valid).as_deref(), Some(TRACE));
        }
        for invalid in [
            String::new(),
            format!("00-{TRACE}-{PARENT}"),
            format!("00-{TRACE}-{PARENT}-01-more"),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("00-{}-{PARENT}-01", TRACE.to_uppercase()),
            format!("00-{}-{PARENT}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("0-{TRACE}-{PARENT}-01"),
            format!("01-{TRACE}-{PARENT}-01-{}", "a".repeat(100)),
        ] {
            assert_eq!(read(invalid.clone()), None, "{invalid}");
        }
    }
}
