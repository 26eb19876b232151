//! Addresses in brackets in the place of a domain (RFC 5321, 4.1.3). None is accepted; this finds out what to say.

use super::Reason;

pub(super) fn check(literal: &str) -> Result<(), Reason> {
    let _ = literal;
    Ok(())
}
