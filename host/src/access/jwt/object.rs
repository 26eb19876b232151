//! JSON objects, strictly.

use serde::{Deserialize, Deserializer};

/// Reads an object. Serde would take a list, too, as the members of the object in their order. One
/// of its members that is there twice is an error.
pub(super) fn object<'j, T: Deserialize<'j>>(json: &'j [u8]) -> Option<T> {
    if !json.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// A member that may be absent, but not null.
pub(super) fn not_null<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}
