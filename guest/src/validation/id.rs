//! Integers as pydantic takes them from text: ids in the path, numbers in the query.

use std::cmp::Ordering;

/// An integer of any size, as near as the service needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integer {
    /// It fits.
    Fits(i64),
    /// It is less than every 64-bit integer.
    Below,
    /// It is greater than every 64-bit integer.
    Above,
}

impl Integer {
    /// How it compares to a number.
    pub(crate) fn compare(self, other: i64) -> Ordering {
        match self {
            Self::Fits(value) => value.cmp(&other),
            Self::Below => Ordering::Less,
            Self::Above => Ordering::Greater,
        }
    }
}

/// Reads an integer: white space around it, a sign, digits with single underscores between them, and `.0…` are allowed.
///
/// Two oddities of pydantic-core are kept, since they decide what is refused: after a leading zero underscores may repeat
/// (`0__1` is 1), and a leading zero may stand before a minus (`0-1` is -1).
pub fn parse(text: &str) -> Option<Integer> {
    let text = text.trim().as_bytes();
    if text.len() <= 18 && text.first() != Some(&b'0') && !text.is_empty() {
        // Nearly every id is plain digits that cannot overflow.
        let plain = text.iter().try_fold(0, |value, byte| {
            byte.is_ascii_digit()
                .then(|| value * 10 + i64::from(byte - b'0'))
        });
        if let Some(value) = plain {
            return Some(Integer::Fits(value));
        }
    }
    let (mut negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let mut text = strip_leading_zeros(text)?;
    if let [b'-', rest @ ..] = text {
        if negative {
            return None;
        }
        negative = true;
        text = rest;
        // Here a zero can only stand alone.
        if let [b'0', _, ..] = text
            && !text.starts_with(b"0.")
        {
            return None;
        }
    }
    let digits = match text.iter().position(|&byte| byte == b'.') {
        None => text,
        Some(point) => {
            let (whole, fraction) = text.split_at(point);
            if fraction.len() < 2 || !fraction.iter().skip(1).all(|&byte| byte == b'0') {
                return None;
            }
            whole
        }
    };
    let mut value = Some(0_i64);
    for group in digits.split(|&byte| byte == b'_') {
        if group.is_empty() {
            return None;
        }
        for byte in group {
            if !byte.is_ascii_digit() {
                return None;
            }
            let digit = i64::from(byte - b'0');
            // Downwards, since there is one more negative integer than there are positive ones.
            value = value.and_then(|value| value.checked_mul(10)?.checked_sub(digit));
        }
    }
    Some(match value {
        Some(value) if negative => Integer::Fits(value),
        Some(value) => value.checked_neg().map_or(Integer::Above, Integer::Fits),
        None if negative => Integer::Below,
        None => Integer::Above,
    })
}

/// What is left of a number that begins with a digit without its leading zeros, of which one stays where nothing else would.
fn strip_leading_zeros(text: &[u8]) -> Option<&[u8]> {
    match text {
        [b'1'..=b'9', ..] => Some(text),
        [b'0', ..] => {
            match text.iter().position(|byte| !matches!(byte, b'0' | b'_')) {
                None => text.last_chunk::<1>().map(<[u8; 1]>::as_slice),
                // The point keeps what stands before it: a zero, or an underscore that makes it no number.
                Some(at) if text.get(at) == Some(&b'.') => text.get(at - 1..),
                Some(at) => text.get(at..),
            }
        }
        _ => None,
    }
}
