//! Decoding a body to text.

use std::borrow::Cow;

use super::escape::push;
use super::value::Error;

/// Decodes a body, detecting its encoding as Python does (RFC 4627, 3).
pub(crate) fn decode(body: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    match body {
        [0, 0, 0xFE, 0xFF, rest @ ..] => utf32(rest, u32::from_be_bytes),
        [0xFF, 0xFE, 0, 0, rest @ ..] => utf32(rest, u32::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => utf8(rest),
        [0, 0, _, _, ..] => utf32(body, u32::from_be_bytes),
        [0, _, _, _, ..] | [0, _] => utf16(body, u16::from_be_bytes),
        [_, 0, 0, 0, ..] => utf32(body, u32::from_le_bytes),
        [_, 0, _, _, ..] | [_, 0] => utf16(body, u16::from_le_bytes),
        _ => utf8(body),
    }
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    let mut rest = bytes;
    // Python decodes with `surrogatepass`, which accepts the three bytes of a surrogate.
    while let Err(error) = std::str::from_utf8(rest) {
        match rest.get(error.valid_up_to()..) {
            Some([0xED, 0xA0..=0xBF, 0x80..=0xBF, after @ ..]) => rest = after,
            _ => return Err(Error::Unreadable),
        }
    }
    Ok(Cow::Borrowed(bytes))
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'static, [u8]>, Error> {
    let (units, []) = bytes.as_chunks::<2>() else {
        return Err(Error::Unreadable);
    };
    let mut text = Vec::with_capacity(bytes.len());
    for decoded in char::decode_utf16(units.iter().map(|&bytes| unit(bytes))) {
        push(
            &mut text,
            decoded.map_or_else(|lone| u32::from(lone.unpaired_surrogate()), u32::from),
        );
    }
    Ok(Cow::Owned(text))
}

fn utf32(bytes: &[u8], unit: fn([u8; 4]) -> u32) -> Result<Cow<'static, [u8]>, Error> {
    let (units, []) = bytes.as_chunks::<4>() else {
        return Err(Error::Unreadable);
    };
    let mut text = Vec::with_capacity(bytes.len());
    for &bytes in units {
        match unit(bytes) {
            code @ 0..=0x10_FFFF => push(&mut text, code),
            _ => return Err(Error::Unreadable),
        }
    }
    Ok(Cow::Owned(text))
}
