//! Reading JSON exactly as CPython's `json.loads` does, which decides the bodies that are accepted.
//!
//! It differs from RFC 8259, and so from every JSON crate: `NaN`, `Infinity` and `-Infinity` are
//! numbers, an escaped lone surrogate is a character, UTF-16 and UTF-32 are detected, and errors
//! have Python's messages and positions.
//!
//! Text is kept as WTF-8, that is, UTF-8 in which surrogates may occur. Values are spans of the
//! text: reading a body of two fields allocates one small vector.

mod decode;
mod escape;
mod parse;
mod value;
mod write;

pub(crate) use decode::decode;
pub(crate) use parse::{Keep, read};
pub(crate) use value::{Error, Text, Value};
pub(crate) use write::{is_plain, write, write_escaped, write_string};
