//! Texts as SQLite divides them into characters, also where they are not UTF-8.

pub(super) fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// The length of the first character in bytes.
pub(super) fn first_character(bytes: &[u8]) -> usize {
    match bytes.split_first() {
        None => 0,
        Some((lead, rest)) if *lead >= 0xc0 => {
            1 + rest
                .iter()
                .position(|byte| !is_continuation(*byte))
                .unwrap_or(rest.len())
        }
        Some(_) => 1,
    }
}

/// The first character and the rest of the text. The character is zero at the end of the text.
pub(super) fn read(bytes: &[u8]) -> (u32, &[u8]) {
    let end = first_character(bytes);
    let (character, rest) = bytes.split_at(end);
    let Some((lead, more)) = character.split_first() else {
        return (0, rest);
    };
    let lead = u32::from(*lead);
    if lead < 0xc0 {
        return (lead, rest);
    }
    let start = match lead {
        0xc0..0xe0 => lead & 0x1f,
        0xe0..0xf0 => lead & 0x0f,
        0xf0..0xf8 => lead & 0x07,
        0xf8..0xfc => lead & 0x03,
        0xfc | 0xfd => lead & 0x01,
        _ => 0,
    };
    let value = more
        .iter()
        .fold(start, |value, byte| (value << 6) + u32::from(byte & 0x3f));
    let is_none = value < 0x80 || value & 0xffff_f800 == 0xd800 || value & 0xffff_fffe == 0xfffe;
    (if is_none { 0xfffd } else { value }, rest)
}

/// The part of a text that SQLite compares: up to a zero.
pub(super) fn until_zero(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}
