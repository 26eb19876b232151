//! SQLite's functions whose time grows with the product of their arguments, written anew.
//!
//! SQLite looks at the time between the instructions of its virtual machine, and calling a function is one: `instr` of 16 MB in
//! 8 MB takes hours, in which neither a deadline nor an interruption is seen. These do as SQLite's own do, in time that is
//! linear where it can be, and stop at the statement's deadline. `LIKE` and `GLOB` cost what they gain: `x LIKE 'a%'` does not use
//! an index, for which SQLite must know its own function.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use memchr::memmem;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Error, Result, ToSql, ffi};

use super::control::Control;

/// Steps between two looks at the time: some ten microseconds.
const STEPS: u32 = 1 << 14;

/// The longest pattern of `LIKE` and `GLOB`, in bytes.
const MAX_PATTERN: usize = 4096;

/// Puts them in place of SQLite's own.
pub(super) fn register(sqlite: &Connection, control: &Arc<Control>) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    let scalar =
        |name: &str, arguments: i32, function: fn(&Context<'_>, Clock<'_>) -> Result<Out>| {
            let control = Arc::clone(control);
            sqlite.create_scalar_function(name, arguments, flags, move |context| {
                function(context, Clock::new(&control))
            })
        };
    scalar("instr", 2, instr)?;
    scalar("replace", 3, replace)?;
    scalar("like", 2, like)?;
    scalar("like", 3, like)?;
    scalar("glob", 2, glob)?;
    scalar("trim", 2, |context, clock| trim(context, clock, true, true))?;
    scalar("ltrim", 2, |context, clock| {
        trim(context, clock, true, false)
    })?;
    scalar("rtrim", 2, |context, clock| {
        trim(context, clock, false, true)
    })?;
    scalar("unhex", 2, unhex)
}

/// Counts the steps of one call, and looks at the time once in a while.
struct Clock<'c> {
    control: &'c Control,
    steps: u32,
}

impl<'c> Clock<'c> {
    fn new(control: &'c Control) -> Self {
        Self { control, steps: 0 }
    }

    /// So many more steps.
    fn step(&mut self, steps: u32) -> Result<()> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps < STEPS {
            return Ok(());
        }
        self.steps = 0;
        if self.control.must_stop() {
            return Err(failure(ffi::SQLITE_INTERRUPT, None));
        }
        Ok(())
    }
}

fn failure(code: i32, message: Option<&str>) -> Error {
    Error::SqliteFailure(ffi::Error::new(code), message.map(str::to_owned))
}

/// What a function gives.
enum Out {
    Null,
    Integer(i64),
    /// Text as SQLite has it, which may be no UTF-8.
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl ToSql for Out {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Text(bytes) => ValueRef::Text(bytes),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// An argument as text; none where it is null.
fn text<'a>(context: &'a Context<'_>, index: usize) -> Option<Cow<'a, [u8]>> {
    Some(match context.get_raw(index) {
        ValueRef::Null => return None,
        ValueRef::Integer(value) => Cow::Owned(value.to_string().into_bytes()),
        ValueRef::Real(value) => Cow::Owned(real(value).into_bytes()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Cow::Borrowed(bytes),
    })
}

/// A real number as SQLite writes it: the fewest digits that tell it from any other.
fn real(value: f64) -> String {
    /// Beyond so many digits before the point the exponent is written.
    const DIGITS: i32 = 17;
    if value.is_nan() {
        return String::new();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Inf" } else { "-Inf" }.to_owned();
    }
    if value == 0.0 {
        return "0.0".to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..DIGITS).contains(&exponent) {
        let plain = format!("{value}");
        return if plain.contains('.') {
            plain
        } else {
            plain + ".0"
        };
    }
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}{point}e{sign}{:02}", exponent.abs())
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Where the character at the beginning ends, as SQLite steps over it.
fn first_character(bytes: &[u8]) -> usize {
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

/// The character at the beginning as SQLite reads it, and what follows; zero at the end, or where there is a zero.
fn read(bytes: &[u8]) -> (u32, &[u8]) {
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

fn instr(context: &Context<'_>, mut clock: Clock<'_>) -> Result<Out> {
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
        // No character begins with such a byte, so that it can only stand at the very beginning.
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

fn replace(context: &Context<'_>, mut clock: Clock<'_>) -> Result<Out> {
    let (Some(text), Some(part)) = (text(context, 0), text(context, 1)) else {
        return Ok(Out::Null);
    };
    if part.first().is_none_or(|first| *first == 0) {
        return Ok(Out::Text(text.into_owned()));
    }
    let Some(by) = self::text(context, 2) else {
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

fn trim(context: &Context<'_>, mut clock: Clock<'_>, left: bool, right: bool) -> Result<Out> {
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

fn unhex(context: &Context<'_>, mut clock: Clock<'_>) -> Result<Out> {
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

/// One part of a pattern.
#[derive(Debug)]
enum Part<'p> {
    Character(u32),
    One,
    Any,
    /// What stands between brackets.
    Set(&'p [u8]),
}

/// Text as SQLite reads it for a comparison: up to a zero.
fn until_zero(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn like(context: &Context<'_>, clock: Clock<'_>) -> Result<Out> {
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
            Part::Any
        } else if character == u32::from(b'_') {
            Part::One
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

fn glob(context: &Context<'_>, clock: Clock<'_>) -> Result<Out> {
    let (Some(pattern), Some(text)) = (pattern(context)?, text(context, 1)) else {
        return Ok(Out::Null);
    };
    let mut parts = Vec::new();
    let mut rest = until_zero(&pattern);
    while let (character @ 1.., after) = read(rest) {
        rest = after;
        parts.push(match u8::try_from(character) {
            Ok(b'*') => Part::Any,
            Ok(b'?') => Part::One,
            Ok(b'[') => {
                // A bracket that closes at once, or after `^`, is one of the characters.
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

/// Whether the whole text is as the pattern says. What follows the last `%` is tried at each place in turn.
fn matches(
    parts: &[Part<'_>],
    text: &[u8],
    fold: impl Fn(u32) -> u32,
    mut clock: Clock<'_>,
) -> Result<Out> {
    let mut at = 0;
    let mut rest = text;
    // Where to go on in the pattern, and in the text, should the try at hand fail.
    let mut again: Option<(usize, &[u8])> = None;
    loop {
        clock.step(1)?;
        let (character, after) = read(rest);
        let is_match = match parts.get(at) {
            Some(Part::Any) => {
                at += 1;
                again = Some((at, rest));
                continue;
            }
            None if character == 0 => return Ok(Out::Integer(1)),
            _ if character == 0 => false,
            None => false,
            Some(Part::One) => true,
            Some(Part::Character(wanted)) => fold(*wanted) == fold(character),
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
        let Some((part, from)) = again.filter(|_| character != 0) else {
            return Ok(Out::Integer(0));
        };
        let (_, later) = read(from);
        (at, rest) = (part, later);
        again = Some((part, later));
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
