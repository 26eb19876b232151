//! Email addresses, accepted, refused and normalised as pydantic's `EmailStr` does it, that is by `email-validator` 2.4
//! without looking anything up in the DNS.
//!
//! Nearly every address is plain ASCII and takes the path in [`plain`]: one pass over the bytes, no allocation where nothing
//! has to be lower-cased. It accepts only what the rules in the other modules accept, with the same result; whatever it
//! hesitates over goes by those rules, which also find the words for a refusal.

mod address;
mod domain;
mod label;
mod literal;
mod plain;
#[cfg(test)]
mod properties;
mod scripts;
mod unicode;

use std::borrow::Cow;

use unicode::is_space;

/// More characters than this are refused unseen.
const TEXT_LIMIT: usize = 2048;

/// A valid address in its normal form: parsing what [`Email::as_str`] gives gives the same again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email<'a>(Cow<'a, str>);

/// Why a text is no address, in words for the one who typed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(Cow<'static, str>);

impl Reason {
    fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Reason {}

impl<'a> Email<'a> {
    /// Reads an address, also in the form `Name <address>`, of which the name is dropped.
    ///
    /// # Errors
    /// If it is no address, or one that no mail from elsewhere can reach.
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

    /// The same, independent of what it was read from.
    #[must_use]
    pub fn into_owned(self) -> Email<'static> {
        Email(Cow::Owned(self.0.into_owned()))
    }
}

/// The address in `Name <address>`, or the text itself where it has another form.
///
/// pydantic looks for `\s*(?:((?:NAME+\s+)*NAME+)|"((?:[^"]|\")+)")?\s*<(.+)>\s*`, in which `\"` is just a quote: a quoted
/// name may hold anything and ends at the last quote that can end it.
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
