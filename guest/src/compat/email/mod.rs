//! Email addresses, accepted, refused and normalised as by pydantic's `EmailStr`, that is, by
//! email-validator 2.4 without DNS lookups.
//!
//! Nearly every address is plain ASCII and takes the fast path in `plain`: one pass over the
//! bytes, and no allocation unless something must be lower-cased. It accepts only what the full
//! rules in `address` accept, with the same result. Every other text goes through the full rules,
//! which also choose the error text.

mod address;
mod domain;
mod label;
mod literal;
mod plain;
#[cfg(test)]
mod properties;
mod reason;
mod rules;
mod scripts;
mod unicode;

use std::borrow::Cow;

pub use reason::Reason;
use unicode::is_space;

/// Longer texts, in characters, are refused unread.
const TEXT_LIMIT: usize = 2048;

/// A valid address in its normal form. Parsing [`Email::as_str`] returns an equal address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email<'a>(Cow<'a, str>);

impl<'a> Email<'a> {
    /// Parses an address. In the form `Name <address>` the name is dropped.
    ///
    /// # Errors
    /// If it is not an address, or one that no mail from elsewhere can reach.
    pub fn parse(text: impl Into<Cow<'a, str>>) -> Result<Self, Reason> {
        let text = text.into();
        match plain::check(&text) {
            plain::Verdict::Normal => return Ok(Self(text)),
            plain::Verdict::Normalised(email) => return Ok(Self(Cow::Owned(email))),
            plain::Verdict::Unsure => {}
        }
        if text.len() > TEXT_LIMIT && text.chars().count() > TEXT_LIMIT {
            return Err(Reason::new("Length must not exceed 2048 characters"));
        }
        if text.contains(['\r', '\n']) {
            return Err(Reason::new(
                "Carriage return and line feed characters are not allowed",
            ));
        }
        let bare = without_display_name(&text).trim_matches(is_space);
        match plain::check(bare) {
            plain::Verdict::Normal => Ok(Self(Cow::Owned(bare.to_owned()))),
            plain::Verdict::Normalised(email) => Ok(Self(Cow::Owned(email))),
            plain::Verdict::Unsure => address::normalise(bare).map(|email| Self(Cow::Owned(email))),
        }
    }

    /// The normal form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, without borrowing from the parsed text.
    #[must_use]
    pub fn into_owned(self) -> Email<'static> {
        Email(Cow::Owned(self.0.into_owned()))
    }
}

/// The address in `Name <address>`, or the text itself if it has another form.
///
/// pydantic matches `\s*(?:((?:NAME+\s+)*NAME+)|"((?:[^"]|\")+)")?\s*<(.+)>\s*`, in which `\"`
/// is just a quote: a quoted name may contain anything and ends at the last possible quote.
fn without_display_name(text: &str) -> &str {
    let is_name = |c: char| unicode::is_word(c) || ".!#$%&'*+-/=?^`{|}~".contains(c);
    let trimmed = text.trim_matches(is_space);
    let Some(body) = trimmed.strip_suffix('>') else {
        return text;
    };
    let opening = match body.strip_prefix('"') {
        None => body.find('<').filter(|&at| {
            body.get(..at)
                .is_some_and(|name| name.chars().all(|c| is_name(c) || is_space(c)))
        }),
        Some(_) => body.rmatch_indices('"').find_map(|(quote, _)| {
            let after = body.get(quote + 1..)?.trim_start_matches(is_space);
            // At least one character between the quotes, and one between the brackets.
            (quote > 1 && after.len() > 1 && after.starts_with('<'))
                .then(|| body.len() - after.len())
        }),
    };
    match opening.and_then(|at| body.get(at + 1..)) {
        Some(inner) if !inner.is_empty() => inner,
        _ => text,
    }
}
