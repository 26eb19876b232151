//! Connection strings of `name=value` pairs (PostgreSQL, 34.1.1.1).

use super::parameters::{Form, Parameters};
use crate::database::error::UrlError;

/// Whether a text is such a string: it begins with a name and an equals sign.
pub(crate) fn is_pairs(text: &str) -> bool {
    let name = text.trim_start_matches(|character: char| {
        character.is_ascii_alphanumeric() || character == '_'
    });
    name.len() < text.len() && name.trim_start().starts_with('=')
}

/// Parses such a string. A value with spaces is in single quotes; a backslash escapes the next
/// character.
pub(super) fn parse(text: &str) -> Result<Parameters, UrlError> {
    let mut parameters = Parameters::default();
    let mut rest = text.trim_start();
    let mut position = 0;
    while !rest.is_empty() {
        position += 1;
        let malformed = || {
            UrlError::new(format!(
                "part {position} of the connection string is no name=value pair: put a value that \
                holds spaces into single quotes, \
                 and a backslash before a quote or a backslash in it"
            ))
        };
        let (name, value) = rest.split_once('=').ok_or_else(malformed)?;
        let name = name.trim_end();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(malformed());
        }
        let (value, after) = value_of(value.trim_start()).ok_or_else(malformed)?;
        parameters.add(name, value, position, Form::Pairs)?;
        rest = after.trim_start();
    }
    Ok(parameters)
}

/// A value and the text after it; none if a quote is not closed.
fn value_of(text: &str) -> Option<(String, &str)> {
    let (quoted, text) = match text.strip_prefix('\'') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, character)| character)),
            '\'' if quoted => return Some((value, &text[at + 1..])),
            character if !quoted && character.is_whitespace() => return Some((value, &text[at..])),
            character => value.push(character),
        }
    }
    (!quoted).then_some((value, ""))
}
