//! Parsing, with the errors of `json.loads`.

use super::escape::hex;
use super::value::{Error, Text, Value};

/// Arrays and objects nested deeper than this are refused. Python fails at its recursion limit of
/// 1000, less the frames already on its stack.
const DEPTH_LIMIT: u32 = 960;

/// Python refuses integers with more digits than this (CVE-2020-10735).
const DIGITS_LIMIT: usize = 4300;

/// Which values of a text to keep.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep<'k> {
    /// All values.
    Everything,
    /// The members of the top-level object with these keys, without nested values. The rest is
    /// only checked.
    Members(&'k [&'k str]),
}

/// Parses a text that [`decode`](super::decode) returned.
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
                    if keys.iter().any(|kept| key.is(kept)) {
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

    /// Reads a number. Returns `None` if no digit follows the minus sign.
    fn number(&mut self) -> Result<Option<Value<'a>>, Error> {
        let start = self.at;
        let mut end = start + usize::from(self.peek() == Some(b'-'));
        let integer = match self.text.get(end) {
            Some(b'0') => 1,
            Some(b'1'..=b'9') => self.digits(end),
            _ => return Ok(None),
        };
        end += integer;
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
        if !float && integer > DIGITS_LIMIT {
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

    /// Checks the escape at this backslash and returns the position after it.
    fn escape(&self, backslash: usize, quote: usize) -> Result<usize, Error> {
        match self.text.get(backslash + 1) {
            Some(b'u') => {
                let end = backslash + 6;
                // Python requires that the text continues after the digits.
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
