//! Why a text is not an email address.

use std::borrow::Cow;

/// Why a text is not an email address, in words for the person who typed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(pub(super) Cow<'static, str>);

impl Reason {
    pub(super) fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Reason {}
