//! Escapes in a string, and the WTF-8 that they stand for.

/// Appends a code point, which may be a surrogate, as WTF-8.
pub(super) fn push(text: &mut Vec<u8>, code: u32) {
    match char::from_u32(code) {
        Some(c) => text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        None => text.extend_from_slice(&[
            0xE0 | (code >> 12 & 0x0F) as u8,
            0x80 | (code >> 6 & 0x3F) as u8,
            0x80 | (code & 0x3F) as u8,
        ]),
    }
}

/// The value of exactly four hexadecimal digits.
pub(super) fn hex(digits: &[u8]) -> Option<u32> {
    let digits: &[u8; 4] = digits.try_into().ok()?;
    digits.iter().try_fold(0, |value, &digit| {
        Some(value << 4 | char::from(digit).to_digit(16)?)
    })
}

/// The code point of the escape at the start of this text, and the escape's length. The parser has
/// checked the escape.
pub(super) fn unescape(escape: &[u8]) -> (u32, usize) {
    let unit = |at: usize| match escape.get(at..at + 2) {
        Some(b"\\u") => hex(escape.get(at + 2..at + 6).unwrap_or_default()),
        _ => None,
    };
    match (unit(0), unit(6)) {
        (Some(high @ 0xD800..=0xDBFF), Some(low @ 0xDC00..=0xDFFF)) => {
            (0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00), 12)
        }
        (Some(code), _) => (code, 6),
        (None, _) => match escape.get(1) {
            Some(b'b') => (0x08, 2),
            Some(b'f') => (0x0C, 2),
            Some(b'n') => (0x0A, 2),
            Some(b'r') => (0x0D, 2),
            Some(b't') => (0x09, 2),
            Some(&other) => (u32::from(other), 2),
            None => (u32::from(b'\\'), 1),
        },
    }
}
