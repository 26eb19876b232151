//! The form of an address: display name, quotes, local part, lengths. The error texts and their
//! order are email-validator's.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::domain::{self, Domain};
use super::literal;
use super::reason::Reason;
use super::rules::{LENGTH_LIMIT, ROLES, is_atext};
use super::unicode::{self, display, is_space, list, nfc};

/// Returns the normal form of an address without surrounding white space.
pub(super) fn normalise(text: &str) -> Result<String, Reason> {
    let parts = split(text)?;
    check_local(&parts.local, parts.quoted)?;
    let mut local = nfc(&parts.local).into_owned();
    if local != parts.local {
        check_local(&local, parts.quoted)
            .map_err(|Reason(why)| Reason::new(format!("After Unicode normalization: {why}")))?;
    }
    if parts.quoted {
        return Err(Reason::new(
            "Quoting the part before the @-sign is not allowed here.",
        ));
    }
    if ROLES.iter().any(|role| role.eq_ignore_ascii_case(&local)) {
        local.make_ascii_lowercase();
    }
    if parts.domain.is_empty() {
        return Err(Reason::new("There must be something after the @-sign."));
    }
    if let Some(literal) = parts
        .domain
        .strip_prefix('[')
        .and_then(|domain| domain.strip_suffix(']'))
    {
        literal::check(literal)?;
        return Err(Reason::new(
            "A bracketed IP address after the @-sign is not allowed here.",
        ));
    }
    let Domain {
        unicode: domain,
        ascii,
    } = domain::normalise(parts.domain)?;
    let normal = format!("{local}@{domain}");
    check_length(
        &format!("{}@{}", parts.raw_local, parts.domain),
        &normal,
        local.len() + 1 + ascii,
    )?;
    if parts.display_name {
        return Err(Reason::new(
            "A display name and angle brackets around the email address are not permitted here.",
        ));
    }
    Ok(normal)
}

struct Parts<'a> {
    display_name: bool,
    /// The local part as written.
    raw_local: &'a str,
    /// The local part without its quotes.
    local: Cow<'a, str>,
    quoted: bool,
    domain: &'a str,
}

fn split(text: &str) -> Result<Parts<'_>, Reason> {
    let (left, right) = split_at_unquoted(text, &['@', '<'])?;
    let display_name = right.starts_with('<');
    let (raw_local, domain) = if display_name {
        split_at_unquoted(bracketed(left, right)?, &['@'])?
    } else {
        (left, right)
    };
    let (local, quoted) = unquote(raw_local)?;
    let domain = domain.strip_prefix('@').unwrap_or(domain);
    Ok(Parts {
        display_name,
        raw_local,
        local,
        quoted,
        domain,
    })
}

/// The address in angle brackets, after a display name that is checked.
fn bracketed<'a>(name: &str, right: &'a str) -> Result<&'a str, Reason> {
    let (name, quoted) = unquote(name.trim_end_matches(is_space))?;
    if !quoted {
        let bad: BTreeSet<String> = name
            .chars()
            .filter(|&c| c == '.' || !(c == ' ' || is_ascii_atext(c)))
            .map(display)
            .collect();
        if !bad.is_empty() {
            return Err(Reason::new(format!(
                "The display name contains invalid characters when not quoted: {}.",
                list(&bad)
            )));
        }
    }
    unicode::check_safe(&name, true)?;
    if !right.contains('>') {
        return Err(Reason::new(
            "An open angle bracket at the start of the email address has to be followed by a \
                close angle bracket at the end.",
        ));
    }
    right
        .trim_end_matches(' ')
        .strip_suffix('>')
        .and_then(|right| right.strip_prefix('<'))
        .ok_or_else(|| Reason::new("There can't be anything after the email address."))
}

/// Splits before the first of these characters that is neither quoted nor combined with a
/// following mark.
fn split_at_unquoted<'a>(text: &'a str, special: &[char]) -> Result<(&'a str, &'a str), Reason> {
    let mut in_quotes = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        let (left, right) = text.split_at(at);
        if unicode::is_combined(right) {
            continue;
        }
        if in_quotes {
            match c {
                '\\' if !escaped => escaped = true,
                '"' if !escaped => in_quotes = false,
                _ => escaped = false,
            }
        } else if c == '"' {
            in_quotes = true;
        } else if special.contains(&c) {
            return Ok((left, right));
        }
    }
    Err(Reason::new(if text.contains('\u{FF20}') {
        "The email address has the \"full-width\" at-sign (@) character instead of a regular \
            at-sign."
    } else if text.contains('\u{FE6B}') {
        "The email address has the \"small commercial at\" character instead of a regular at-sign."
    } else {
        "An email address must have an @-sign."
    }))
}

/// Removes quotes and backslashes if a text begins with a quote, and returns whether it does.
fn unquote(text: &str) -> Result<(Cow<'_, str>, bool), Reason> {
    let Some(quoted) = text.strip_prefix('"') else {
        return Ok((Cow::Borrowed(text), false));
    };
    let mut value = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    let mut escaped = false;
    while let Some(c) = characters.next() {
        if escaped {
            value.push(c);
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == '"' {
            let rest: Vec<String> = characters.map(display).collect();
            if rest.is_empty() {
                break;
            }
            return Err(Reason::new(format!(
                "Extra character(s) found after close quote: {}",
                rest.join(", ")
            )));
        } else {
            value.push(c);
        }
    }
    Ok((Cow::Owned(value), true))
}

fn check_local(local: &str, quoted: bool) -> Result<(), Reason> {
    let bad_characters = |allowed: fn(char) -> bool| -> BTreeSet<String> {
        local
            .chars()
            .filter(|&c| !allowed(c))
            .map(display)
            .collect()
    };
    if local.is_empty() {
        return Err(Reason::new("There must be something before the @-sign."));
    }
    let is_dot_atom = local
        .split('.')
        .all(|atom| !atom.is_empty() && atom.chars().all(|c| !c.is_ascii() || is_ascii_atext(c)));
    if is_dot_atom {
        return if local.is_ascii() {
            Ok(())
        } else {
            unicode::check_safe(local, false)
        };
    }
    if quoted {
        let bad = bad_characters(|c| matches!(c, ' '..='~') || !c.is_ascii());
        if !bad.is_empty() {
            return Err(Reason::new(format!(
                "The email address contains invalid characters in quotes before the @-sign: {}.",
                list(&bad)
            )));
        }
        return unicode::check_safe(local, true);
    }
    let bad = bad_characters(|c| c == '.' || !c.is_ascii() || is_ascii_atext(c));
    if !bad.is_empty() {
        return Err(Reason::new(format!(
            "The email address contains invalid characters before the @-sign: {}.",
            list(&bad)
        )));
    }
    Err(Reason::new(if local.ends_with('.') {
        "An email address cannot have a period immediately before the @-sign."
    } else if local.starts_with('.') {
        "An email address cannot start with a period."
    } else {
        "An email address cannot have two periods in a row."
    }))
}

/// Checks the length of the address as written, normalised, and with its domain in ASCII.
fn check_length(original: &str, normal: &str, ascii: usize) -> Result<(), Reason> {
    let s = |count: usize| if count > 1 { "s" } else { "" };
    let over = |length: usize| length.checked_sub(LENGTH_LIMIT).filter(|&over| over > 0);
    let reason = if let Some(over) = over(original.len()) {
        // How many characters that is depends on which ones are removed.
        let widest = original.chars().map(char::len_utf8).max().unwrap_or(1);
        let least = (over / widest).max(1);
        if least == over {
            format!("({over} character{} too many)", s(over))
        } else {
            format!("({least}-{over} character{} too many)", s(over))
        }
    } else if let Some(over) = over(normal.len()) {
        format!("after normalization ({over} byte{} too many)", s(over))
    } else if let Some(over) = over(ascii) {
        format!(
            "when the part after the @-sign is converted to IDNA ASCII ({over} byte{} too many)",
            s(over)
        )
    } else {
        return Ok(());
    };
    Err(Reason::new(format!(
        "The email address is too long {reason}."
    )))
}

fn is_ascii_atext(c: char) -> bool {
    u8::try_from(c).is_ok_and(is_atext)
}
