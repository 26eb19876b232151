//! Properties of characters, and how error texts display them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use icu_normalizer::uts46::Uts46MapperBorrowed;
use icu_normalizer::{ComposingNormalizer, ComposingNormalizerBorrowed};
use icu_properties::props::GeneralCategory as Category;
use icu_properties::{CodePointMapData, CodePointMapDataBorrowed};

use super::reason::Reason;

const CATEGORY: CodePointMapDataBorrowed<'static, Category> = CodePointMapData::new();
const NFC: ComposingNormalizerBorrowed<'static> = ComposingNormalizer::new_nfc();
const UTS46: Uts46MapperBorrowed<'static> = Uts46MapperBorrowed::new();

/// White space as Python defines it.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1C'..='\x1F')
}

/// Python's `\w`: letters, numbers and the underscore, but no marks.
pub(super) fn is_word(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    matches!(major(c), Major::Letter | Major::Number)
}

/// The major class of a general category.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Major {
    Letter,
    Mark,
    Number,
    /// Punctuation or symbol.
    Sign,
    Separator,
    Other,
}

fn major(c: char) -> Major {
    use Category as C;
    match CATEGORY.get(c) {
        C::UppercaseLetter
        | C::LowercaseLetter
        | C::TitlecaseLetter
        | C::ModifierLetter
        | C::OtherLetter => Major::Letter,
        C::NonspacingMark | C::SpacingMark | C::EnclosingMark => Major::Mark,
        C::DecimalNumber | C::LetterNumber | C::OtherNumber => Major::Number,
        C::SpaceSeparator | C::LineSeparator | C::ParagraphSeparator => Major::Separator,
        C::Control | C::Format | C::PrivateUse | C::Surrogate | C::Unassigned => Major::Other,
        _ => Major::Sign,
    }
}

/// Whether a character is a combining mark.
pub(super) fn is_mark(c: char) -> bool {
    major(c) == Major::Mark
}

/// The letters and digits of RFC 5892, 2.1.
pub(super) fn is_letter_or_digit(c: char) -> bool {
    use Category as C;
    matches!(
        CATEGORY.get(c),
        C::LowercaseLetter
            | C::UppercaseLetter
            | C::OtherLetter
            | C::DecimalNumber
            | C::ModifierLetter
            | C::NonspacingMark
            | C::SpacingMark
    )
}

/// Whether the UTS-46 mapping keeps a character.
pub(super) fn is_stable(c: char) -> bool {
    let mut mapped = UTS46.map_normalize(std::iter::once(c));
    mapped.next() == Some(c) && mapped.next().is_none()
}

/// Applies the UTS-46 mapping and NFC. Disallowed characters become U+FFFD.
pub(super) fn map(text: &str) -> String {
    UTS46.map_normalize(text.chars()).collect()
}

/// Normalization Form C.
pub(super) fn nfc(text: &str) -> Cow<'_, str> {
    NFC.normalize(text)
}

/// Whether NFC changes the first character of a text, by itself or with those that follow.
pub(super) fn is_combined(text: &str) -> bool {
    let mut characters = text.chars();
    let (first, second) = (characters.next(), characters.next());
    // Below U+0300 NFC changes nothing.
    if first < Some('\u{300}') && second < Some('\u{300}') {
        return false;
    }
    // The Stream-Safe Text Format allows no more marks in a row (UAX #15, 13).
    NFC.normalize_iter(text.chars().take(32)).next() != first
}

/// Whether UTS-46 accepts a character, by the approximation that email-validator checks first.
pub(super) fn is_mappable(c: char) -> bool {
    use Category as C;
    match c {
        '\0'..='\x7F' => true,
        '\u{80}'..='\u{9F}' => false,
        '\u{2024}'..='\u{2026}' => false,
        '\u{2028}'..='\u{202E}' => false,
        '\u{AD}'
        | '\u{200B}'..='\u{200D}'
        | '\u{2010}'..='\u{2060}'
        | '\u{2064}'
        | '\u{FF0E}'
        | '\u{1BCA0}'..='\u{1BCA3}' => true,
        // These decompose to text with a full stop.
        '\u{2488}'..='\u{249B}'
        | '\u{33C2}'
        | '\u{33C7}'
        | '\u{33D8}'
        | '\u{FE52}'
        | '\u{1F100}' => false,
        _ => !matches!(
            CATEGORY.get(c),
            C::Format
                | C::Unassigned
                | C::PrivateUse
                | C::Surrogate
                | C::SpaceSeparator
                | C::LineSeparator
                | C::ParagraphSeparator
        ),
    }
}

/// Refuses characters that are unsafe to display: an initial mark, spaces, format characters.
pub(super) fn check_safe(text: &str, spaces: bool) -> Result<(), Reason> {
    let is_safe = |(at, c): (usize, char)| match major(c) {
        Major::Letter | Major::Number | Major::Sign => true,
        Major::Mark => at > 0,
        Major::Separator => spaces && CATEGORY.get(c) == Category::SpaceSeparator,
        Major::Other => false,
    };
    let bad: BTreeSet<char> = text
        .char_indices()
        .filter(|&indexed| !is_safe(indexed))
        .map(|(_, c)| c)
        .collect();
    if bad.is_empty() {
        return Ok(());
    }
    let bad: Vec<String> = bad.into_iter().map(display).collect();
    Err(Reason::new(format!(
        "The email address contains unsafe characters: {}.",
        bad.join(", ")
    )))
}

/// A character as an error text displays it: in quotes if visible, else its name or number.
pub(super) fn display(c: char) -> String {
    if c == '\\' {
        return "\"\\\"".to_owned();
    }
    match major(c) {
        Major::Letter | Major::Number | Major::Sign => repr(c.encode_utf8(&mut [0; 4])),
        Major::Mark | Major::Separator | Major::Other => name(c).map_or_else(
            || {
                let code = u32::from(c);
                if code < 0xFFFF {
                    format!("U+{code:04X}")
                } else {
                    format!("U+{code:08X}")
                }
            },
            str::to_owned,
        ),
    }
}

/// The displays of characters, separated by commas.
pub(super) fn list(displays: &BTreeSet<String>) -> String {
    displays
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A text as Python's `repr` prints it.
pub(super) fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        let code = u32::from(c);
        match c {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            ' ' => out.push(' '),
            _ if c == quote => {
                out.push('\\');
                out.push(c);
            }
            _ if !matches!(major(c), Major::Separator | Major::Other) => out.push(c),
            _ => out.push_str(&match code {
                0..=0xFF => format!("\\x{code:02x}"),
                0x100..=0xFFFF => format!("\\u{code:04x}"),
                _ => format!("\\U{code:08x}"),
            }),
        }
    }
    out.push(quote);
    out
}

/// The name of a space, a format character or a combining diacritic, which are pasted by mistake.
/// The names of all characters would be larger than the rest of the component.
fn name(c: char) -> Option<&'static str> {
    const NAMES: &str = include_str!("names.txt");
    let named = |line: &'static str| {
        let (code, name) = line.split_once(' ')?;
        (u32::from_str_radix(code, 16) == Ok(u32::from(c))).then_some(name)
    };
    NAMES.lines().find_map(named)
}
