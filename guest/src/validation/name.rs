//! A user's name.

use std::borrow::Cow;

/// Any text that every database can store, also the empty one, never trimmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name<'a>(Cow<'a, str>);

/// The text has U+0000, which PostgreSQL cannot store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NulInName;

impl std::fmt::Display for NulInName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("U+0000 cannot be stored")
    }
}

impl std::error::Error for NulInName {}

impl<'a> Name<'a> {
    /// Takes a text as a name.
    ///
    /// # Errors
    /// If it has U+0000.
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
