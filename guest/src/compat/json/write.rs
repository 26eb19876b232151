//! Writing JSON: values as Python would print them, and strings of responses.

use std::borrow::Cow;

use super::value::{Text, Value};

/// Writes a value as Python prints it after parsing: of duplicate keys the last value at the first
/// one's position, and numbers as `repr` spells them. What JSON cannot express is replaced: NaN and
/// the infinities by `null`, a lone surrogate by U+FFFD.
pub(crate) fn write(value: &Value<'_>, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(literal) => write_number(literal, out),
        Value::Text(text) => write_string(&text.to_lossy(), out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (i, (key, value)) in distinct(members).into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_string(&key, out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
    }
}

/// The members of a Python dictionary: each key once, at its first position, with its last value.
fn distinct<'m, 'a>(members: &'m [(Text<'a>, Value<'a>)]) -> Vec<(String, &'m Value<'a>)> {
    let mut sorted: Vec<(Cow<'_, [u8]>, usize)> = members
        .iter()
        .enumerate()
        .map(|(i, (key, _))| (key.unescaped(), i))
        .collect();
    sorted.sort_unstable();
    let mut firsts: Vec<(usize, usize)> = sorted
        .chunk_by(|a, b| a.0 == b.0)
        .filter_map(|same| Some((same.first()?.1, same.last()?.1)))
        .collect();
    firsts.sort_unstable();
    let member = |(first, last): (usize, usize)| {
        Some((members.get(first)?.0.to_lossy(), &members.get(last)?.1))
    };
    firsts.into_iter().filter_map(member).collect()
}

/// Writes a number as Python's `repr` spells it after parsing.
fn write_number(literal: &str, out: &mut String) {
    if literal.starts_with(['N', 'I']) || literal == "-Infinity" {
        return out.push_str("null");
    }
    if !literal.contains(['.', 'e', 'E']) {
        return out.push_str(if literal == "-0" { "0" } else { literal });
    }
    match literal.parse::<f64>() {
        Ok(value) if value.is_finite() => write_float(value, out),
        _ => out.push_str("null"),
    }
}

fn write_float(value: f64, out: &mut String) {
    // The shortest digits that parse to the same number, as d.ddde±x.
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = value.to_string();
        out.push_str(&plain);
        if !plain.contains('.') {
            out.push_str(".0");
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        out.push_str(&format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs()));
    }
}

/// Whether a byte must be escaped in a JSON string.
fn is_escaped(byte: u8) -> bool {
    matches!(byte, ..b' ' | b'"' | b'\\')
}

/// Whether one of eight bytes must be escaped.
fn has_escaped(eight: [u8; 8]) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    let word = u64::from_le_bytes(eight);
    let differs = |byte: u8| word ^ (ONES * u64::from(byte));
    // The top bit of a byte is set if the byte is less than the subtrahend: below a space, or equal
    // to one of the two others. A borrow may set further bits, but only above a byte that matches.
    let less = word.wrapping_sub(ONES * u64::from(b' '))
        | differs(b'"').wrapping_sub(ONES)
        | differs(b'\\').wrapping_sub(ONES);
    less & !word & TOPS != 0
}

/// Whether nothing in a text must be escaped, which holds for nearly every text.
///
/// It tests eight bytes at a time, the last eight possibly twice, and of long texts 32 in one
/// iteration, because each iteration of a loop in a component also polls the host's epoch counter.
pub(crate) fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some(last) = bytes.last_chunk() else {
        return !bytes.iter().copied().any(is_escaped);
    };
    let (long, rest) = bytes.as_chunks::<32>();
    let has_escaped_in_long = |chunk: &[u8; 32]| {
        let (chunks, _) = chunk.as_chunks();
        chunks
            .iter()
            .fold(false, |found, eight| found | has_escaped(*eight))
    };
    let (chunks, _) = rest.as_chunks();
    !has_escaped(*last)
        && !chunks.iter().copied().any(has_escaped)
        && !long.iter().any(has_escaped_in_long)
}

/// Writes a JSON string, escaping only what must be escaped.
pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    write_escaped(text, out);
    out.push('"');
}

/// As [`write_string`], without the quotes, for a caller that writes them with adjacent text.
pub(crate) fn write_escaped(text: &str, out: &mut String) {
    if is_plain(text) {
        return out.push_str(text);
    }
    let mut rest = text;
    while let Some(at) = rest.bytes().position(is_escaped) {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let mut characters = after.chars();
        match characters.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\u{c}') => out.push_str("\\f"),
            Some(control) => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            None => {}
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
}
