//! A user's name.

use std::borrow::Cow;

/// A user's name: any text that every database can store, including the empty one, untrimmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name<'a>(Cow<'a, str>);

/// The text contains U+0000, which PostgreSQL cannot store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NulInName;

impl std::fmt::Display for NulInName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("U+0000 cannot be stored")
    }
}

impl std::error::Error for NulInName {}

impl<'a> Name<'a> {
    /// Parses a text as a name.
    ///
    /// # Errors
    /// If it contains U+0000.
    pub fn parse(text: impl Into<Cow<'a, str>>) -> Result<Self, NulInName> {
        let text = text.into();
        if text.as_bytes().contains(&0) {
            Err(NulInName)
        } else {
            Ok(Self(text))
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
