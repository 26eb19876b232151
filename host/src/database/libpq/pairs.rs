//! Connection strings of `name=value` pairs (PostgreSQL, 34.1.1.1).

use super::parameters::{Form, Parameters};
use crate::database::error::UrlError;

/// Whether a text is meant as such a string: it begins with a name and an equals sign.
pub(crate) fn is_meant(text: &str) -> bool {
    let name = text.trim_start_matches(|sign: char| sign.is_ascii_alphanumeric() || sign == '_');
    name.len() < text.len() && name.trim_start().starts_with('=')
}

/// Reads such a string. A value with spaces stands in single quotes; a backslash takes the next
/// sign as it is.
pub(super) fn parse(text: &str) -> Result<Parameters, UrlError> {
    let mut said = Parameters::default();
    let mut rest = text.trim_start();
    let mut position = 0;
    while !rest.is_empty() {
        position += 1;
        let lacking = || {
            UrlError::new(format!(
                "part {position} of the connection string is no name=value pair: put a value that \
                holds spaces into single quotes, \
                 and a backslash before a quote or a backslash in it"
            ))
        };
        let (name, value) = rest.split_once('=').ok_or_else(lacking)?;
        let name = name.trim_end();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(lacking());
        }
        let (value, after) = value_of(value.trim_start()).ok_or_else(lacking)?;
        said.add(name, value, position, Form::Pairs)?;
        rest = after.trim_start();
    }
    Ok(said)
}

/// A value, and what comes after it; none where a quote is not closed.
fn value_of(text: &str) -> Option<(String, &str)> {
    let (quoted, text) = match text.strip_prefix('\'') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut value = String::new();
    let mut signs = text.char_indices();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '\\' => value.extend(signs.next().map(|(_, sign)| sign)),
            '\'' if quoted => return Some((value, &text[at + 1..])),
            sign if !quoted && sign.is_whitespace() => return Some((value, &text[at..])),
            sign => value.push(sign),
        }
    }
    (!quoted).then_some((value, ""))
}
