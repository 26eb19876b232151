//! `LIKE` and `GLOB`.

use std::borrow::Cow;

use rusqlite::functions::Context;
use rusqlite::{Result, ffi};

use super::call::{Clock, Out, failure, text};
use super::characters::{read, until_zero};

/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 4096;

#[derive(Debug)]
enum Part<'p> {
    Character(u32),
    AnyCharacter,
    AnyText,
    /// The text between brackets.
    Set(&'p [u8]),
}

pub(super) fn like(context: &Context<'_>, clock: Clock<'_>) -> Result<Out> {
    let escape = if context.len() == 3 {
        let Some(escape) = text(context, 2) else {
            return Ok(Out::Null);
        };
        let escape = until_zero(&escape);
        let (character, rest) = read(escape);
        if escape.is_empty() || !rest.is_empty() {
            return Err(failure(
                ffi::SQLITE_ERROR,
                Some("ESCAPE expression must be a single character"),
            ));
        }
        Some(character)
    } else {
        None
    };
    let (Some(pattern), Some(text)) = (pattern(context)?, text(context, 1)) else {
        return Ok(Out::Null);
    };
    let mut parts = Vec::new();
    let mut rest = until_zero(&pattern);
    while let (character @ 1.., after) = read(rest) {
        rest = after;
        parts.push(if Some(character) == escape {
            let (escaped, after) = read(rest);
            if escaped == 0 {
                return Ok(Out::Integer(0));
            }
            rest = after;
            Part::Character(escaped)
        } else if character == u32::from(b'%') {
            Part::AnyText
        } else if character == u32::from(b'_') {
            Part::AnyCharacter
        } else {
            Part::Character(character)
        });
    }
    let lower = |character: u32| match u8::try_from(character) {
        Ok(byte) if byte.is_ascii() => u32::from(byte.to_ascii_lowercase()),
        _ => character,
    };
    matches(&parts, until_zero(&text), lower, clock)
}

pub(super) fn glob(context: &Context<'_>, clock: Clock<'_>) -> Result<Out> {
    let (Some(pattern), Some(text)) = (pattern(context)?, text(context, 1)) else {
        return Ok(Out::Null);
    };
    let mut parts = Vec::new();
    let mut rest = until_zero(&pattern);
    while let (character @ 1.., after) = read(rest) {
        rest = after;
        parts.push(match u8::try_from(character) {
            Ok(b'*') => Part::AnyText,
            Ok(b'?') => Part::AnyCharacter,
            Ok(b'[') => {
                // A closing bracket right after `[` or `[^` is one of the characters.
                let from = usize::from(rest.first() == Some(&b'^'));
                let from = from + usize::from(rest.get(from) == Some(&b']'));
                let close = rest
                    .get(from..)
                    .and_then(|set| set.iter().position(|byte| *byte == b']'));
                let Some(close) = close else {
                    return Ok(Out::Integer(0));
                };
                let (set, after) = rest.split_at(from + close);
                rest = after.get(1..).unwrap_or_default();
                Part::Set(set)
            }
            _ => Part::Character(character),
        });
    }
    matches(&parts, until_zero(&text), |character| character, clock)
}

fn pattern<'a>(context: &'a Context<'_>) -> Result<Option<Cow<'a, [u8]>>> {
    let pattern = text(context, 0);
    if pattern
        .as_ref()
        .is_some_and(|pattern| pattern.len() > MAX_PATTERN)
    {
        return Err(failure(
            ffi::SQLITE_ERROR,
            Some("LIKE or GLOB pattern too complex"),
        ));
    }
    Ok(pattern)
}

/// Whether the pattern matches the entire text. The parts after the last `%` are tried at each
/// position.
fn matches(
    parts: &[Part<'_>],
    text: &[u8],
    fold: impl Fn(u32) -> u32,
    mut clock: Clock<'_>,
) -> Result<Out> {
    let mut at = 0;
    let mut rest = text;
    // Where to continue in the pattern and in the text if the current try fails.
    let mut retry: Option<(usize, &[u8])> = None;
    loop {
        clock.step(1)?;
        let (character, after) = read(rest);
        let is_match = match parts.get(at) {
            Some(Part::AnyText) => {
                at += 1;
                retry = Some((at, rest));
                continue;
            }
            None if character == 0 => return Ok(Out::Integer(1)),
            _ if character == 0 => false,
            None => false,
            Some(Part::AnyCharacter) => true,
            Some(Part::Character(expected)) => fold(*expected) == fold(character),
            Some(Part::Set(set)) => {
                clock.step(u32::try_from(set.len()).unwrap_or(u32::MAX))?;
                is_in(character, set)
            }
        };
        if is_match {
            at += 1;
            rest = after;
            continue;
        }
        let Some((part, from)) = retry.filter(|_| character != 0) else {
            return Ok(Out::Integer(0));
        };
        let (_, later) = read(from);
        (at, rest) = (part, later);
        retry = Some((part, later));
    }
}

/// Whether a character is in a set of `GLOB`.
fn is_in(character: u32, set: &[u8]) -> bool {
    let (set, inverted) = match set.split_first() {
        Some((b'^', set)) => (set, true),
        _ => (set, false),
    };
    let mut rest = set;
    let mut seen = false;
    let mut prior = None;
    while let (from @ 1.., after) = read(rest) {
        rest = after;
        if let (Some(start), true, false) = (prior, from == u32::from(b'-'), rest.is_empty()) {
            let (end, after) = read(rest);
            rest = after;
            seen |= (start..=end).contains(&character);
            prior = None;
        } else {
            seen |= from == character;
            prior = Some(from);
        }
    }
    seen != inverted
}
