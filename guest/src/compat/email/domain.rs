//! The domain of an address. The error texts and their order are email-validator's.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::label;
use super::reason::Reason;
use super::rules::{LABEL_LIMIT, SPECIAL_USE};
use super::unicode::{self, display, list, repr};

/// The longest domain name, in characters before and in bytes after IDNA encoding (RFC 1035,
/// 2.3.4).
const DOMAIN_LIMIT: usize = 253;

/// A domain in its normal form.
pub(super) struct Domain {
    /// The name, with Punycode decoded.
    pub(super) unicode: String,
    /// The length of the name in IDNA ASCII.
    pub(super) ascii: usize,
}

pub(super) fn normalise(original: &str) -> Result<Domain, Reason> {
    let length = original.chars().count();
    if let Some(over) = length.checked_sub(DOMAIN_LIMIT).filter(|&over| over > 0) {
        return Err(Reason::new(format!(
            "The email address is too long after the @-sign {}.",
            too_many(over)
        )));
    }
    refuse(original, "contains invalid characters", is_host_character)?;
    unicode::check_safe(original, false)?;
    refuse(
        original,
        "contains invalid characters",
        unicode::is_mappable,
    )?;
    let domain = map(original)?;
    refuse(
        &domain,
        "contains invalid characters after Unicode normalization",
        is_host_character,
    )?;
    check_dots(&domain)?;
    let is_reserved = |label: &str| {
        let mut characters = label.chars();
        let first = [characters.next(), characters.next()];
        let is_punycode = matches!(first, [Some('x' | 'X'), Some('n' | 'N')]);
        first[1].is_some() && !is_punycode && characters.as_str().starts_with("--")
    };
    if domain.split('.').any(is_reserved) {
        return Err(Reason::new(
            "An email address cannot have two letters followed by two dashes immediately after \
                the @-sign or after a period, except Punycode.",
        ));
    }
    let ascii = if domain.is_ascii() {
        Cow::Borrowed(&*domain)
    } else {
        Cow::Owned(encode(&domain)?)
    };
    check_ascii(&ascii, original)?;
    if !ascii.contains("xn--") {
        return Ok(Domain {
            ascii: ascii.len(),
            unicode: ascii.into_owned(),
        });
    }
    let unicode = decode(&ascii)?;
    Ok(Domain {
        ascii: ascii.len(),
        unicode,
    })
}

/// Applies the UTS-46 mapping, which includes lower-casing, and NFC.
fn map(domain: &str) -> Result<Cow<'_, str>, Reason> {
    if domain.is_ascii() {
        return Ok(Cow::Owned(domain.to_ascii_lowercase()));
    }
    let mapped = unicode::map(domain);
    if !mapped.contains(char::REPLACEMENT_CHARACTER) {
        return Ok(Cow::Owned(mapped));
    }
    let is_forbidden =
        |c: char| unicode::map(c.encode_utf8(&mut [0; 4])).contains(char::REPLACEMENT_CHARACTER);
    let why = match domain.chars().enumerate().find(|&(_, c)| is_forbidden(c)) {
        Some((at, c)) => format!(
            "Codepoint U+{:04X} not allowed at position {} in {}",
            u32::from(c),
            at + 1,
            repr(domain)
        ),
        None => "Codepoint not allowed".to_owned(),
    };
    Err(Reason::new(format!(
        "The part after the @-sign contains invalid characters ({why})."
    )))
}

fn encode(domain: &str) -> Result<String, Reason> {
    let mut ascii = String::new();
    for (i, label) in domain.split('.').enumerate() {
        if i > 0 {
            ascii.push('.');
        }
        let label = label::to_ascii(label)
            .map_err(|why| Reason::new(format!("The part after the @-sign is invalid ({why}).")))?;
        ascii.push_str(&label);
    }
    Ok(ascii)
}

fn check_ascii(ascii: &str, original: &str) -> Result<(), Reason> {
    if let Some(over) = ascii
        .len()
        .checked_sub(DOMAIN_LIMIT)
        .filter(|&over| over > 0)
    {
        let how_much = if ascii == original {
            too_many(over)
        } else {
            format!(
                "({over} byte{} too many after IDNA encoding)",
                if over == 1 { "" } else { "s" }
            )
        };
        return Err(Reason::new(format!(
            "The email address is too long after the @-sign {how_much}."
        )));
    }
    if let Some(label) = ascii.split('.').find(|label| label.len() > LABEL_LIMIT) {
        return Err(Reason::new(format!(
            "After the @-sign, periods cannot be separated by so many characters {}.",
            too_many(label.len() - LABEL_LIMIT)
        )));
    }
    let Some((_, top)) = ascii.rsplit_once('.') else {
        return Err(Reason::new(
            "The part after the @-sign is not valid. It should have a period.",
        ));
    };
    if !top.ends_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(Reason::new(
            "The part after the @-sign is not valid. It is not within a valid top-level domain.",
        ));
    }
    if SPECIAL_USE.contains(&top) {
        return Err(Reason::new(
            "The part after the @-sign is a special-use or reserved name that cannot be used with \
                email.",
        ));
    }
    Ok(())
}

fn decode(ascii: &str) -> Result<String, Reason> {
    let not_idna = |why: String| {
        Reason::new(format!(
            "The part after the @-sign is not valid IDNA ({why})."
        ))
    };
    let labels = ascii
        .split('.')
        .map(|label| label::to_unicode(label).map_err(not_idna))
        .collect::<Result<Vec<_>, _>>()?;
    let domain = labels.join(".");
    unicode::check_safe(&domain, false)?;
    // A single right-to-left label subjects all labels to the Bidi rule (RFC 5893, 1.4).
    if domain.chars().any(label::is_right_to_left) {
        for label in &labels {
            label::check_bidi(label, true).map_err(not_idna)?;
        }
    }
    Ok(domain)
}

fn check_dots(domain: &str) -> Result<(), Reason> {
    Err(Reason::new(if domain.ends_with('.') {
        "An email address cannot end with a period."
    } else if domain.starts_with('.') {
        "An email address cannot have a period immediately after the @-sign."
    } else if domain.contains("..") {
        "An email address cannot have two periods in a row."
    } else if domain.ends_with('-') {
        "An email address cannot end with a hyphen."
    } else if domain.starts_with('-') {
        "An email address cannot have a hyphen immediately after the @-sign."
    } else if domain.contains(".-") || domain.contains("-.") {
        "An email address cannot have a period and a hyphen next to each other."
    } else {
        return Ok(());
    }))
}

fn is_host_character(c: char) -> bool {
    !c.is_ascii() || c.is_ascii_alphanumeric() || c == '-' || c == '.'
}

/// Refuses a domain that contains characters that are not allowed.
fn refuse(domain: &str, what: &str, is_allowed: impl Fn(char) -> bool) -> Result<(), Reason> {
    let bad: BTreeSet<String> = domain
        .chars()
        .filter(|&c| !is_allowed(c))
        .map(display)
        .collect();
    if bad.is_empty() {
        return Ok(());
    }
    Err(Reason::new(format!(
        "The part after the @-sign {what}: {}.",
        list(&bad)
    )))
}

fn too_many(over: usize) -> String {
    format!(
        "({over} character{} too many)",
        if over > 1 { "s" } else { "" }
    )
}
