//! The fast path for plain ASCII addresses: one pass over the bytes.

use super::rules::{LABEL_LIMIT, LENGTH_LIMIT, ROLES, SPECIAL_USE, is_atext};

/// What the fast path decides about an address.
pub(super) enum Verdict {
    /// It is valid and in its normal form.
    Normal,
    /// It is valid, and this is its normal form.
    Normalised(String),
    /// The full rules must decide.
    Unsure,
}

const ATEXT: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    loop {
        table[byte as usize] = is_atext(byte);
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

pub(super) fn check(text: &str) -> Verdict {
    if text.len() > LENGTH_LIMIT {
        return Verdict::Unsure;
    }
    let Some((local, domain, local_has_upper)) = local_part(text) else {
        return Verdict::Unsure;
    };
    let Some(domain_has_upper) = check_domain(domain.as_bytes()) else {
        return Verdict::Unsure;
    };
    let role = local_has_upper && ROLES.iter().any(|role| role.eq_ignore_ascii_case(local));
    if !role && !domain_has_upper {
        return Verdict::Normal;
    }
    let mut email = String::with_capacity(text.len());
    email.push_str(local);
    if role {
        email.make_ascii_lowercase();
    }
    let start = email.len();
    email.push('@');
    email.push_str(domain);
    if let Some(domain) = email.get_mut(start..) {
        domain.make_ascii_lowercase();
    }
    Verdict::Normalised(email)
}

/// Splits an address at its first `@`, if a dot-atom precedes it. Also returns whether the dot-atom
/// has upper-case letters.
fn local_part(text: &str) -> Option<(&str, &str, bool)> {
    let mut upper = false;
    let mut previous = b'.';
    for (at, byte) in text.bytes().enumerate() {
        if ATEXT[usize::from(byte)] {
            upper |= byte.is_ascii_uppercase();
        } else if previous == b'.' {
            return None;
        } else if byte == b'@' {
            return Some((text.get(..at)?, text.get(at + 1..)?, upper));
        } else if byte != b'.' {
            return None;
        }
        previous = byte;
    }
    None
}

/// For a host name that mail from elsewhere can reach, returns whether it has upper-case letters.
fn check_domain(domain: &[u8]) -> Option<bool> {
    let mut upper = false;
    let mut label_start = 0;
    let mut previous = b'.';
    for (at, &byte) in domain.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => {}
            b'A'..=b'Z' => upper = true,
            // No label begins with a hyphen. Two hyphens in a row may be Punycode or forbidden.
            b'-' if previous != b'.' && previous != b'-' => {}
            b'.' if previous != b'.' && previous != b'-' && at - label_start <= LABEL_LIMIT => {
                label_start = at + 1;
            }
            _ => return None,
        }
        previous = byte;
    }
    let top = domain.get(label_start..)?;
    let reachable = label_start > 0
        && previous.is_ascii_alphabetic()
        && top.len() <= LABEL_LIMIT
        && !SPECIAL_USE
            .iter()
            .any(|name| name.as_bytes().eq_ignore_ascii_case(top));
    reachable.then_some(upper)
}
