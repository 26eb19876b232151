//! A JSON value, as spans of the text it was parsed from.

use std::borrow::Cow;

use super::escape::{push, unescape};

/// Why a text is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// A syntax error, with Python's message.
    Syntax {
        /// What is wrong.
        message: &'static str,
        /// The position, in characters.
        position: usize,
    },
    /// The body is not text, is nested too deeply, or has an integer with too many digits.
    Unreadable,
}

/// A JSON value, as spans of the text it was read from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// A number's literal, including `NaN` and the infinities.
    Number(&'a str),
    Text(Text<'a>),
    Array(Vec<Value<'a>>),
    /// Members in the order of the text, including duplicates.
    Object(Vec<(Text<'a>, Value<'a>)>),
}

/// A string's content between its quotes, not yet unescaped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Text<'a> {
    pub(super) raw: &'a [u8],
    pub(super) escaped: bool,
}

impl<'a> Text<'a> {
    /// Whether it stands for this text.
    pub(crate) fn is(&self, other: &str) -> bool {
        if self.escaped {
            *self.unescaped() == *other.as_bytes()
        } else {
            self.raw == other.as_bytes()
        }
    }

    /// What it stands for, as WTF-8.
    pub(super) fn unescaped(&self) -> Cow<'a, [u8]> {
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

    /// What it stands for, or `None` if that contains a lone surrogate.
    pub(crate) fn to_str(self) -> Option<Cow<'a, str>> {
        match self.unescaped() {
            Cow::Borrowed(text) => std::str::from_utf8(text).ok().map(Cow::Borrowed),
            Cow::Owned(text) => String::from_utf8(text).ok().map(Cow::Owned),
        }
    }

    /// What it stands for, with U+FFFD in place of lone surrogates.
    pub(super) fn to_lossy(self) -> String {
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
