//! Reading JSON exactly as CPython's `json.loads` does, since that is what decided which bodies the old service took.
//!
//! It differs from RFC 8259 (and so from every JSON library here): `NaN`, `Infinity` and `-Infinity` are numbers, an
//! escaped lone surrogate is a character, UTF-16 and UTF-32 are recognised, and errors carry Python's words and positions.
//!
//! Text is kept as WTF-8, that is UTF-8 in which surrogates may occur, and values are spans of it: reading a body of two
//! fields allocates one small vector.

use std::borrow::Cow;

/// Arrays and objects nested deeper than this are not read. Python gives up at its recursion limit of 1000, less what is
/// already on its stack.
const DEPTH_LIMIT: u32 = 960;

/// Python reads no integer of more digits than this (CVE-2020-10735).
const DIGITS_LIMIT: usize = 4300;

/// Why a text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// A syntax error, in Python's words.
    Syntax {
        /// What is wrong.
        message: &'static str,
        /// Where, in characters.
        position: usize,
    },
    /// It is no text, nested too deeply, or has an integer that is too long.
    Unreadable,
}

/// A JSON value, as spans of the text it was read from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// A number's literal, `NaN` and the infinities included.
    Number(&'a str),
    Text(Text<'a>),
    Array(Vec<Value<'a>>),
    /// Members in the order of the text, duplicates included.
    Object(Vec<(Text<'a>, Value<'a>)>),
}

/// A string's content between its quotes, escapes and all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Text<'a> {
    raw: &'a [u8],
    escaped: bool,
}

/// How much of a text to keep.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep<'k> {
    /// All of it.
    Everything,
    /// Of an object at the top the members with these keys, each value without what is inside it. The rest is checked
    /// all the same.
    Members(&'k [&'k str]),
}

/// Turns a body into the text it holds, guessing its encoding as Python does (RFC 4627, 3).
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
    // Python reads with `surrogatepass`: a surrogate's three bytes are no error.
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

/// Appends a code point, which may be a surrogate, as (generalised) UTF-8.
fn push(text: &mut Vec<u8>, code: u32) {
    match char::from_u32(code) {
        Some(c) => text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        None => text.extend_from_slice(&[
            0xE0 | (code >> 12 & 0x0F) as u8,
            0x80 | (code >> 6 & 0x3F) as u8,
            0x80 | (code & 0x3F) as u8,
        ]),
    }
}

/// Reads a text that [`decode`] gave.
pub(crate) fn read<'a>(text: &'a [u8], keep: Keep<'_>) -> Result<Value<'a>, Error> {
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
    };
    reader.skip_space();
    let value = reader.value(keep)?;
    reader.skip_space();
    if reader.at == text.len() {
        Ok(value)
    } else {
        Err(reader.error("Extra data", reader.at))
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn slice(&self, start: usize, end: usize) -> &'a [u8] {
        self.text.get(start..end).unwrap_or_default()
    }

    #[cold]
    fn error(&self, message: &'static str, at: usize) -> Error {
        // Every byte but a continuation byte begins a character, surrogates included.
        let position = self
            .slice(0, at)
            .iter()
            .filter(|&&byte| byte & 0xC0 != 0x80)
            .count();
        Error::Syntax { message, position }
    }

    fn value(&mut self, keep: Keep<'_>) -> Result<Value<'a>, Error> {
        const EXPECTED: &str = "Expecting value";
        let literal = match self.peek() {
            Some(b'"') => return Ok(Value::Text(self.string()?)),
            Some(b'{') => return self.nested(|reader| reader.object(keep)),
            Some(b'[') => return self.nested(|reader| reader.array(keep)),
            Some(b'n') => ("null", Value::Null),
            Some(b't') => ("true", Value::Bool(true)),
            Some(b'f') => ("false", Value::Bool(false)),
            Some(b'N') => ("NaN", Value::Number("NaN")),
            Some(b'I') => ("Infinity", Value::Number("Infinity")),
            Some(b'-' | b'0'..=b'9') => {
                return if self.take("-Infinity") {
                    Ok(Value::Number("-Infinity"))
                } else {
                    self.number()?.ok_or_else(|| self.error(EXPECTED, self.at))
                };
            }
            _ => return Err(self.error(EXPECTED, self.at)),
        };
        if self.take(literal.0) {
            Ok(literal.1)
        } else {
            Err(self.error(EXPECTED, self.at))
        }
    }

    fn take(&mut self, literal: &str) -> bool {
        let found = self.slice(self.at, self.at + literal.len()) == literal.as_bytes();
        if found {
            self.at += literal.len();
        }
        found
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Value<'a>, Error>,
    ) -> Result<Value<'a>, Error> {
        if self.depth == DEPTH_LIMIT {
            return Err(Error::Unreadable);
        }
        self.depth += 1;
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self, keep: Keep<'_>) -> Result<Value<'a>, Error> {
        let mut members = Vec::new();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(members));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(
                    self.error("Expecting property name enclosed in double quotes", self.at)
                );
            }
            let key = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.error("Expecting ':' delimiter", self.at));
            }
            self.at += 1;
            self.skip_space();
            match keep {
                Keep::Everything => {
                    let value = self.value(keep)?;
                    members.push((key, value));
                }
                Keep::Members(keys) => {
                    let value = self.value(Keep::Members(&[]))?;
                    if keys.iter().any(|wanted| key.is(wanted)) {
                        members.push((key, value));
                    }
                }
            }
            self.skip_space();
            match self.peek() {
                Some(b'}') => break,
                Some(b',') => self.at += 1,
                _ => return Err(self.error("Expecting ',' delimiter", self.at)),
            }
            self.skip_space();
        }
        self.at += 1;
        Ok(Value::Object(members))
    }

    fn array(&mut self, keep: Keep<'_>) -> Result<Value<'a>, Error> {
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            match keep {
                Keep::Everything => {
                    let value = self.value(keep)?;
                    items.push(value);
                }
                Keep::Members(_) => {
                    self.value(Keep::Members(&[]))?;
                }
            }
            self.skip_space();
            match self.peek() {
                Some(b']') => break,
                Some(b',') => self.at += 1,
                _ => return Err(self.error("Expecting ',' delimiter", self.at)),
            }
            self.skip_space();
        }
        self.at += 1;
        Ok(Value::Array(items))
    }

    /// Reads a number, or nothing where a minus is not followed by a digit.
    fn number(&mut self) -> Result<Option<Value<'a>>, Error> {
        let start = self.at;
        let mut end = start + usize::from(self.peek() == Some(b'-'));
        let whole = match self.text.get(end) {
            Some(b'0') => 1,
            Some(b'1'..=b'9') => self.digits(end),
            _ => return Ok(None),
        };
        end += whole;
        let mut float = false;
        if self.text.get(end) == Some(&b'.') {
            let digits = self.digits(end + 1);
            if digits > 0 {
                end += 1 + digits;
                float = true;
            }
        }
        if let Some(b'e' | b'E') = self.text.get(end) {
            let sign = usize::from(matches!(self.text.get(end + 1), Some(b'+' | b'-')));
            let digits = self.digits(end + 1 + sign);
            if digits > 0 {
                end += 1 + sign + digits;
                float = true;
            }
        }
        if !float && whole > DIGITS_LIMIT {
            return Err(Error::Unreadable);
        }
        self.at = end;
        let literal = std::str::from_utf8(self.slice(start, end));
        Ok(literal.ok().map(Value::Number))
    }

    fn digits(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    fn string(&mut self) -> Result<Text<'a>, Error> {
        let quote = self.at;
        let mut at = quote + 1;
        let mut escaped = false;
        loop {
            let rest = self.text.get(at..).unwrap_or_default();
            at += rest
                .iter()
                .take_while(|&&byte| byte != b'"' && byte != b'\\' && byte >= b' ')
                .count();
            match self.text.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at = self.escape(at, quote)?;
                }
                Some(_) => return Err(self.error("Invalid control character at", at)),
                None => return Err(self.error("Unterminated string starting at", quote)),
            }
        }
        self.at = at + 1;
        Ok(Text {
            raw: self.slice(quote + 1, at),
            escaped,
        })
    }

    /// Checks the escape at this backslash and gives the place after it.
    fn escape(&self, backslash: usize, quote: usize) -> Result<usize, Error> {
        match self.text.get(backslash + 1) {
            Some(b'u') => {
                let end = backslash + 6;
                // Python wants to see that the text goes on after the digits.
                if hex(self.slice(backslash + 2, end)).is_some() && end < self.text.len() {
                    Ok(end)
                } else {
                    Err(self.error("Invalid \\uXXXX escape", backslash + 1))
                }
            }
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(backslash + 2),
            Some(_) => Err(self.error("Invalid \\escape", backslash)),
            None => Err(self.error("Unterminated string starting at", quote)),
        }
    }
}

/// The value of exactly four hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u32> {
    let digits: &[u8; 4] = digits.try_into().ok()?;
    digits.iter().try_fold(0, |value, &digit| {
        Some(value << 4 | char::from(digit).to_digit(16)?)
    })
}

impl<'a> Text<'a> {
    /// Whether it is this text.
    pub(crate) fn is(&self, other: &str) -> bool {
        if self.escaped {
            *self.unescaped() == *other.as_bytes()
        } else {
            self.raw == other.as_bytes()
        }
    }

    /// What it stands for, as WTF-8.
    fn unescaped(&self) -> Cow<'a, [u8]> {
        if !self.escaped {
            return Cow::Borrowed(self.raw);
        }
        let mut text = Vec::with_capacity(self.raw.len());
        let mut rest = self.raw;
        while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
            let (before, after) = rest.split_at(at);
            text.extend_from_slice(before);
            let (code, length) = unescape(after);
            push(&mut text, code);
            rest = after.get(length..).unwrap_or_default();
        }
        text.extend_from_slice(rest);
        Cow::Owned(text)
    }

    /// What it stands for, or nothing where that has a lone surrogate, which no text may have.
    pub(crate) fn to_str(self) -> Option<Cow<'a, str>> {
        match self.unescaped() {
            Cow::Borrowed(text) => std::str::from_utf8(text).ok().map(Cow::Borrowed),
            Cow::Owned(text) => String::from_utf8(text).ok().map(Cow::Owned),
        }
    }

    /// What it stands for, with U+FFFD for lone surrogates.
    fn to_lossy(self) -> String {
        let text = self.unescaped();
        let mut lossy = String::with_capacity(text.len());
        let mut rest = &*text;
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    lossy.push_str(valid);
                    break;
                }
                Err(error) => {
                    let (valid, broken) = rest.split_at(error.valid_up_to());
                    lossy.push_str(&String::from_utf8_lossy(valid));
                    lossy.push(char::REPLACEMENT_CHARACTER);
                    // A surrogate is three bytes.
                    rest = broken.get(3..).unwrap_or_default();
                }
            }
        }
        lossy
    }
}

/// The code point of the checked escape that this text begins with, and the escape's length.
fn unescape(escape: &[u8]) -> (u32, usize) {
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

/// Writes a value as Python would after reading it: of duplicate keys the last value at the first one's place, numbers in
/// Python's spelling. What JSON cannot say becomes what can be said: NaN and the infinities `null`, a lone surrogate U+FFFD.
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

/// The members of a Python dictionary: each key once, where it first stood, with its last value.
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

/// Writes a number as Python's `repr` spells the one it reads.
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
    // The shortest digits that read back as the same number, as d.ddde±x.
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

/// Whether a byte cannot stand in a JSON string as it is.
fn is_escaped(byte: u8) -> bool {
    matches!(byte, ..b' ' | b'"' | b'\\')
}

/// Whether one of eight bytes cannot.
fn has_escaped(eight: [u8; 8]) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    let word = u64::from_le_bytes(eight);
    let differs = |byte: u8| word ^ (ONES * u64::from(byte));
    // A top bit where a byte is less than what is taken off it: below a space, or no different from one of the two others. A borrow
    // may set one further up, but only where there is one to begin with.
    let less = word.wrapping_sub(ONES * u64::from(b' '))
        | differs(b'"').wrapping_sub(ONES)
        | differs(b'\\').wrapping_sub(ONES);
    less & !word & TOPS != 0
}

/// Whether all of it can stand in a JSON string as it is, which nearly every text can.
///
/// Eight bytes at a time, the last eight perhaps for the second time: every turn of a loop in a component also asks whether the host
/// wants its core back.
fn is_plain(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk() else {
        return !bytes.iter().copied().any(is_escaped);
    };
    let (chunks, _) = bytes.as_chunks();
    !has_escaped(*last) && !chunks.iter().copied().any(has_escaped)
}

/// Writes a JSON string, escaping nothing but what must be.
pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    write_escaped(text, out);
    out.push('"');
}

/// The same without its quotes, which a writer that knows what comes around it writes along with that.
pub(crate) fn write_escaped(text: &str, out: &mut String) {
    if is_plain(text.as_bytes()) {
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
