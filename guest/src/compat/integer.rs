//! Integers as pydantic parses them from text: ids in the path, numbers in the query.

use std::cmp::Ordering;

/// An integer of any size. Only one that fits in 64 bits has its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integer {
    /// It fits in 64 bits.
    Fits(i64),
    /// It is less than `i64::MIN`.
    Below,
    /// It is greater than `i64::MAX`.
    Above,
}

impl Integer {
    /// Compares it with another integer.
    pub(crate) fn compare(self, other: i64) -> Ordering {
        match self {
            Self::Fits(value) => value.cmp(&other),
            Self::Below => Ordering::Less,
            Self::Above => Ordering::Greater,
        }
    }
}

/// Parses an integer. White space around it, a sign, single underscores between digits, and a
/// fraction of zeros are allowed.
///
/// Two quirks of pydantic-core decide what is refused and are kept: after a leading zero,
/// underscores may repeat (`0__1` is 1), and a leading zero may precede a minus (`0-1` is -1).
pub fn parse(text: &str) -> Option<Integer> {
    let text = text.trim().as_bytes();
    if text.len() <= 18 && text.first() != Some(&b'0') && !text.is_empty() {
        // Fast path: nearly every id is plain digits that cannot overflow.
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
        // After this minus a zero must be the only digit.
        if let [b'0', _, ..] = text
            && !text.starts_with(b"0.")
        {
            return None;
        }
    }
    let digits = match text.iter().position(|&byte| byte == b'.') {
        None => text,
        Some(point) => {
            let (integer, fraction) = text.split_at(point);
            if fraction.len() < 2 || !fraction.iter().skip(1).all(|&byte| byte == b'0') {
                return None;
            }
            integer
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
            // Accumulates downwards, since `i64::MIN` has no positive counterpart.
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

/// Strips leading zeros from a number that begins with a digit. One zero remains if nothing else
/// would.
fn strip_leading_zeros(text: &[u8]) -> Option<&[u8]> {
    match text {
        [b'1'..=b'9', ..] => Some(text),
        [b'0', ..] => {
            match text.iter().position(|byte| !matches!(byte, b'0' | b'_')) {
                None => text.last_chunk::<1>().map(<[u8; 1]>::as_slice),
                // The character before the point remains: a zero, or an underscore, which makes the
                // text invalid.
                Some(at) if text.get(at) == Some(&b'.') => text.get(at - 1..),
                Some(at) => text.get(at..),
            }
        }
        _ => None,
    }
}
