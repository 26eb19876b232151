//! Functions that search in texts and take them apart.

use std::collections::HashSet;

use memchr::memmem;
use rusqlite::functions::Context;
use rusqlite::types::ValueRef;
use rusqlite::{Result, ffi};

use super::call::{Clock, Out, failure, text};
use super::characters::{first_character, is_continuation, read, until_zero};

pub(super) fn instr(context: &Context<'_>, mut clock: Clock<'_>) -> Result<Out> {
    let bytes = matches!(
        (context.get_raw(0), context.get_raw(1)),
        (ValueRef::Blob(_), ValueRef::Blob(_))
    );
    let (Some(text), Some(part)) = (text(context, 0), text(context, 1)) else {
        return Ok(Out::Null);
    };
    clock.step(u32::try_from(text.len()).unwrap_or(u32::MAX))?;
    let begins_within = part.first().is_some_and(|byte| is_continuation(*byte));
    let found = if !bytes && begins_within {
        // No character begins with such a byte, so SQLite finds it only at the start.
        text.starts_with(&part).then_some(0)
    } else {
        memmem::find(&text, &part)
    };
    let Some(at) = found else {
        return Ok(Out::Integer(0));
    };
    let before = text.get(1..=at).unwrap_or_default();
    let position = if bytes {
        at
    } else {
        before
            .iter()
            .filter(|byte| !is_continuation(**byte))
            .count()
    };
    Ok(Out::Integer(
        i64::try_from(position + 1).unwrap_or(i64::MAX),
    ))
}

pub(super) fn replace(context: &Context<'_>, mut clock: Clock<'_>) -> Result<Out> {
    let (Some(text), Some(part)) = (text(context, 0), text(context, 1)) else {
        return Ok(Out::Null);
    };
    if part.first().is_none_or(|first| *first == 0) {
        return Ok(Out::Text(text.into_owned()));
    }
    let Some(by) = super::call::text(context, 2) else {
        return Ok(Out::Null);
    };
    let limit = clock.control.max_value() as usize;
    let mut replaced = Vec::new();
    let mut rest = 0;
    let finder = memmem::Finder::new(part.as_ref());
    for at in finder.find_iter(&text) {
        clock.step(16)?;
        replaced.extend_from_slice(text.get(rest..at).unwrap_or_default());
        replaced.extend_from_slice(&by);
        rest = at + part.len();
        if replaced.len() > limit {
            return Err(failure(ffi::SQLITE_TOOBIG, None));
        }
    }
    replaced.extend_from_slice(text.get(rest..).unwrap_or_default());
    Ok(Out::Text(replaced))
}

pub(super) fn trim(
    context: &Context<'_>,
    mut clock: Clock<'_>,
    left: bool,
    right: bool,
) -> Result<Out> {
    let (Some(text), Some(set)) = (text(context, 0), text(context, 1)) else {
        return Ok(Out::Null);
    };
    let mut characters = HashSet::new();
    let mut lengths = Vec::new();
    let mut rest = until_zero(&set);
    while !rest.is_empty() {
        clock.step(16)?;
        let (character, after) = rest.split_at(first_character(rest));
        rest = after;
        if characters.insert(character)
            && let Err(at) = lengths.binary_search(&character.len())
        {
            lengths.insert(at, character.len());
        }
    }
    let mut text = text.as_ref();
    let mut strip = |from_left: bool| -> Result<()> {
        'next: while !text.is_empty() {
            for length in &lengths {
                let Some(at) = text.len().checked_sub(*length) else {
                    break;
                };
                clock.step(u32::try_from(*length).unwrap_or(u32::MAX))?;
                let (end, kept) = if from_left {
                    text.split_at(*length)
                } else {
                    let (kept, end) = text.split_at(at);
                    (end, kept)
                };
                if characters.contains(end) {
                    text = kept;
                    continue 'next;
                }
            }
            break;
        }
        Ok(())
    };
    if left {
        strip(true)?;
    }
    if right {
        strip(false)?;
    }
    Ok(Out::Text(text.to_vec()))
}

pub(super) fn unhex(context: &Context<'_>, mut clock: Clock<'_>) -> Result<Out> {
    let (Some(text), Some(ignored)) = (text(context, 0), text(context, 1)) else {
        return Ok(Out::Null);
    };
    let mut passed = HashSet::new();
    let mut rest = ignored.as_ref();
    while let (character @ 1.., after) = read(rest) {
        clock.step(16)?;
        passed.insert(character);
        rest = after;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = Vec::new();
    let mut rest = text.as_ref();
    while let Some((first, after)) = rest.split_first().filter(|(first, _)| **first != 0) {
        clock.step(1)?;
        let Some(high) = digit(*first) else {
            let (character, after) = read(rest);
            if !passed.contains(&character) {
                return Ok(Out::Null);
            }
            rest = after;
            continue;
        };
        let Some((low, after)) = after
            .split_first()
            .and_then(|(second, after)| Some((digit(*second)?, after)))
        else {
            return Ok(Out::Null);
        };
        bytes.push(u8::try_from(high << 4 | low).unwrap_or_default());
        rest = after;
    }
    Ok(Out::Blob(bytes))
}
