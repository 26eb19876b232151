//! One label of a domain name under IDNA 2008 (RFC 5890 to 5893), as the Python package `idna`
//! checks it.
//!
//! Rust's crates implement UTS-46 alone, which accepts what IDNA 2008 refuses, such as emoji.

use icu_properties::props::BidiClass;
use icu_properties::{CodePointMapData, CodePointMapDataBorrowed};

use super::rules::LABEL_LIMIT;
use super::scripts::{GREEK, HEBREW, JAPANESE};
use super::unicode::{self, is_letter_or_digit, is_mark, repr};

const BIDI_CLASS: CodePointMapDataBorrowed<'static, BidiClass> = CodePointMapData::new();

const TOO_LONG: &str = "Label too long";

/// Encodes a label in ASCII.
pub(super) fn to_ascii(label: &str) -> Result<String, String> {
    let ascii = if label.is_ascii() {
        to_unicode(label)?;
        label.to_owned()
    } else {
        check(label)?;
        let punycode = idna::punycode::encode_str(label).ok_or(TOO_LONG)?;
        format!("xn--{punycode}")
    };
    if ascii.len() > LABEL_LIMIT {
        Err(TOO_LONG.to_owned())
    } else {
        Ok(ascii)
    }
}

/// Decodes a label in lower-case ASCII.
pub(super) fn to_unicode(label: &str) -> Result<String, String> {
    let Some(punycode) = label.strip_prefix("xn--") else {
        check(label)?;
        return Ok(label.to_owned());
    };
    if punycode.is_empty() {
        return Err("Malformed A-label, no Punycode eligible content found".to_owned());
    }
    if punycode.ends_with('-') {
        return Err("A-label must not end with a hyphen".to_owned());
    }
    let decoded = idna::punycode::decode_to_string(punycode).ok_or("Invalid A-label")?;
    if idna::punycode::encode_str(&decoded).as_deref() != Some(punycode) {
        return Err("A-label is not the canonical Punycode encoding of its U-label".to_owned());
    }
    check(&decoded)?;
    Ok(decoded)
}

fn check(label: &str) -> Result<(), String> {
    if label.is_empty() {
        return Err("Empty Label".to_owned());
    }
    if unicode::nfc(label) != label {
        return Err("Label must be in Normalization Form C".to_owned());
    }
    let after_two = label
        .char_indices()
        .nth(2)
        .and_then(|(at, _)| label.get(at..));
    if after_two.is_some_and(|rest| rest.starts_with("--")) {
        return Err("Label has disallowed hyphens in 3rd and 4th position".to_owned());
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err("Label must not start or end with a hyphen".to_owned());
    }
    if label.starts_with(is_mark) {
        return Err("Label begins with an illegal combining character".to_owned());
    }
    let mut before = None;
    for (at, (index, c)) in label.char_indices().enumerate() {
        let after = label.get(index + c.len_utf8()..).unwrap_or_default();
        let error_at = |what: &str, preposition: &str, not_allowed: &str| {
            let code = u32::from(c);
            format!(
                "{what} U+{code:04X}{not_allowed} at position {} {preposition} {}",
                at + 1,
                repr(label)
            )
        };
        match class(c) {
            Class::Valid => {}
            Class::Joiner => return Err(error_at("Joiner", "in", " not allowed")),
            Class::InContext => {
                if !fits_context(c, label, before, after.chars().next()) {
                    return Err(error_at("Codepoint", "in", " not allowed"));
                }
            }
            Class::Disallowed => return Err(error_at("Codepoint", "of", "") + " not allowed"),
        }
        before = Some(c);
    }
    check_bidi(label, false)
}

/// The derived property of a code point (RFC 5892).
enum Class {
    Valid,
    /// A joiner. IDNA allows it in some contexts, email addresses never: it is a format character.
    Joiner,
    /// Allowed in some contexts only.
    InContext,
    Disallowed,
}

fn class(c: char) -> Class {
    match c {
        'a'..='z' | '0'..='9' | '-' => Class::Valid,
        '\0'..='\x7F' => Class::Disallowed,
        // Exceptions (RFC 5892, 2.6).
        'ß' | 'ς' | '\u{6FD}' | '\u{6FE}' | '\u{F0B}' | '\u{3007}' => Class::Valid,
        '\u{B7}'
        | '\u{375}'
        | '\u{5F3}'
        | '\u{5F4}'
        | '\u{30FB}'
        | '\u{660}'..='\u{669}'
        | '\u{6F0}'..='\u{6F9}' => Class::InContext,
        '\u{640}' | '\u{7FA}' | '\u{302E}' | '\u{302F}' | '\u{3031}'..='\u{3035}' | '\u{303B}' => {
            Class::Disallowed
        }
        '\u{200C}' | '\u{200D}' => Class::Joiner,
        // Old Hangul jamo (2.9).
        '\u{1100}'..='\u{11FF}' | '\u{A960}'..='\u{A97C}' | '\u{D7B0}'..='\u{D7FB}' => {
            Class::Disallowed
        }
        // Ignorable blocks (2.4).
        '\u{20D0}'..='\u{20FF}' | '\u{1D100}'..='\u{1D24F}' => Class::Disallowed,
        _ if is_letter_or_digit(c) && unicode::is_stable(c) => Class::Valid,
        _ => Class::Disallowed,
    }
}

/// The rules for code points that need a context (RFC 5892, appendix A).
fn fits_context(c: char, label: &str, before: Option<char>, after: Option<char>) -> bool {
    match c {
        '\u{B7}' => before == Some('l') && after == Some('l'),
        '\u{375}' => after.is_some_and(|c| is_in(GREEK, c)),
        '\u{5F3}' | '\u{5F4}' => before.is_some_and(|c| is_in(HEBREW, c)),
        '\u{30FB}' => label.chars().any(|c| c != '\u{30FB}' && is_in(JAPANESE, c)),
        '\u{660}'..='\u{669}' => !label.contains(|c| matches!(c, '\u{6F0}'..='\u{6F9}')),
        '\u{6F0}'..='\u{6F9}' => !label.contains(|c| matches!(c, '\u{660}'..='\u{669}')),
        _ => false,
    }
}

fn is_in(ranges: &[(char, char)], c: char) -> bool {
    ranges
        .iter()
        .any(|&(first, last)| (first..=last).contains(&c))
}

/// Whether a character subjects its domain to the Bidi rule.
pub(super) fn is_right_to_left(c: char) -> bool {
    let class = BIDI_CLASS.get(c);
    class == BidiClass::RightToLeft
        || class == BidiClass::ArabicLetter
        || class == BidiClass::ArabicNumber
}

/// Applies the Bidi rule (RFC 5893, 2) if the label has right-to-left characters, or to `every`
/// label.
pub(super) fn check_bidi(label: &str, every: bool) -> Result<(), String> {
    use BidiClass as B;
    if !every && !label.chars().any(is_right_to_left) {
        return Ok(());
    }
    let Some(first) = label.chars().next() else {
        return Ok(());
    };
    let right_to_left = match BIDI_CLASS.get(first) {
        B::RightToLeft | B::ArabicLetter => true,
        B::LeftToRight => false,
        _ => {
            return Err(format!(
                "First codepoint in label {} must be directionality L, R or AL",
                repr(label)
            ));
        }
    };
    let mut ends_well = false;
    let mut number = None;
    for (at, c) in label.chars().enumerate() {
        let class = BIDI_CLASS.get(c);
        let allowed = match class {
            B::EuropeanNumber
            | B::EuropeanSeparator
            | B::CommonSeparator
            | B::EuropeanTerminator
            | B::OtherNeutral
            | B::BoundaryNeutral
            | B::NonspacingMark => true,
            B::RightToLeft | B::ArabicLetter | B::ArabicNumber => right_to_left,
            B::LeftToRight => !right_to_left,
            _ => false,
        };
        if !allowed {
            return Err(format!(
                "Invalid direction for codepoint at position {} in a {} label",
                at + 1,
                if right_to_left {
                    "right-to-left"
                } else {
                    "left-to-right"
                }
            ));
        }
        if class != B::NonspacingMark {
            ends_well = match class {
                B::RightToLeft | B::ArabicLetter | B::ArabicNumber => right_to_left,
                B::LeftToRight => !right_to_left,
                B::EuropeanNumber => true,
                _ => false,
            };
        }
        if right_to_left && (class == B::ArabicNumber || class == B::EuropeanNumber) {
            if number.is_some_and(|other| other != class) {
                return Err("Can not mix numeral types in a right-to-left label".to_owned());
            }
            number = Some(class);
        }
    }
    if ends_well {
        Ok(())
    } else {
        Err("Label ends with illegal codepoint directionality".to_owned())
    }
}
