//! Why access cannot be controlled.

use std::fmt;

/// Why access cannot be controlled. The text is one line for the operator.
#[derive(Debug)]
pub enum AccessError {
    /// The settings contradict each other, or name something that cannot be used.
    Settings(String),
    /// What the settings name is not available at the moment.
    Unavailable(String),
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(text) | Self::Unavailable(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for AccessError {}
