//! IP addresses in brackets in place of a domain (RFC 5321, 4.1.3). None is accepted; this module
//! finds the error text, which is that of Python's `ipaddress`.

use super::reason::Reason;
use super::unicode;

/// Returns why the text between the brackets is not an IP address.
pub(super) fn check(literal: &str) -> Result<(), Reason> {
    if !literal.is_empty()
        && literal
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return ipv4(literal).map_err(|why| {
            Reason::new(format!(
                "The address in brackets after the @-sign is not valid: It is not an IPv4 address \
                    ({why}) or is missing an \
                 address literal tag."
            ))
        });
    }
    if let Some((tag, address)) = literal.split_at_checked(5)
        && tag.eq_ignore_ascii_case("ipv6:")
    {
        return ipv6(address).map_err(|why| {
            Reason::new(format!(
                "The IPv6 address in brackets after the @-sign is not valid ({why})."
            ))
        });
    }
    if !literal.contains(':') {
        return Err(Reason::new(
            "The part after the @-sign in brackets is not an IPv4 address and has no address \
                literal tag.",
        ));
    }
    let mut bad: Vec<String> = literal
        .chars()
        .filter(|c| !('\u{21}'..='\u{fa}').contains(c))
        .map(unicode::display)
        .collect();
    bad.sort();
    bad.dedup();
    Err(if bad.is_empty() {
        Reason::new(
            "The part after the @-sign contains an invalid address literal tag in brackets.",
        )
    } else {
        let bad = bad.join(", ");
        Reason::new(format!(
            "The part after the @-sign contains invalid characters in brackets: {bad}."
        ))
    })
}

fn ipv4(address: &str) -> Result<(), String> {
    if address.is_empty() {
        return Err("Address cannot be empty".into());
    }
    let shown = quoted(address);
    if address.split('.').count() != 4 {
        return Err(format!("Expected 4 octets in {shown}"));
    }
    address
        .split('.')
        .try_for_each(octet)
        .map_err(|why| format!("{why} in {shown}"))
}

fn octet(digits: &str) -> Result<(), String> {
    let shown = quoted(digits);
    if digits.is_empty() {
        Err("Empty octet not permitted".into())
    } else if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        Err(format!("Only decimal digits permitted in {shown}"))
    } else if digits.len() > 3 {
        Err(format!("At most 3 characters permitted in {shown}"))
    } else if digits != "0" && digits.starts_with('0') {
        Err(format!("Leading zeros are not permitted in {shown}"))
    } else if digits.parse::<u8>().is_err() {
        Err(format!("Octet {digits} (> 255) not permitted"))
    } else {
        Ok(())
    }
}

fn ipv6(address: &str) -> Result<(), String> {
    if address.contains('/') {
        return Err(format!("Unexpected '/' in {}", quoted(address)));
    }
    let (address, zone) = match address.split_once('%') {
        Some((_, zone)) if zone.is_empty() || zone.contains('%') => {
            return Err(format!("Invalid IPv6 address: \"{}\"", quoted(address)));
        }
        Some((address, _)) => (address, true),
        None => (address, false),
    };
    groups(address)?;
    if zone {
        Err("It has a zone index".into())
    } else {
        Ok(())
    }
}

fn groups(address: &str) -> Result<(), String> {
    if address.is_empty() {
        return Err("Address cannot be empty".into());
    }
    let shown = quoted(address);
    let mut parts: Vec<&str> = address.split(':').collect();
    if parts.len() < 3 {
        return Err(format!("At least 3 parts expected in {shown}"));
    }
    if let Some(last) = parts.pop_if(|last| last.contains('.')) {
        ipv4(last).map_err(|why| format!("{why} in {shown}"))?;
        // It stands for two groups, whose values do not matter.
        parts.extend(["0", "0"]);
    }
    if parts.len() > 9 {
        return Err(format!("At most 8 colons permitted in {shown}"));
    }
    let (first, last) = (
        parts.first().is_some_and(|part| part.is_empty()),
        parts.last().is_some_and(|part| part.is_empty()),
    );
    let leading = || {
        Err(format!(
            "Leading ':' only permitted as part of '::' in {shown}"
        ))
    };
    let trailing = || {
        Err(format!(
            "Trailing ':' only permitted as part of '::' in {shown}"
        ))
    };
    let inner = parts.get(1..parts.len() - 1).unwrap_or_default();
    let mut gaps = inner
        .iter()
        .enumerate()
        .filter(|(_, part)| part.is_empty())
        .map(|(at, _)| at + 1);
    let (high, low) = match (gaps.next(), gaps.next()) {
        (Some(_), Some(_)) => return Err(format!("At most one '::' permitted in {shown}")),
        (Some(gap), None) => {
            let (mut high, mut low) = (gap, parts.len() - gap - 1);
            if first {
                high -= 1;
                if high > 0 {
                    return leading();
                }
            }
            if last {
                low -= 1;
                if low > 0 {
                    return trailing();
                }
            }
            if high + low > 7 {
                return Err(format!(
                    "Expected at most 7 other parts with '::' in {shown}"
                ));
            }
            (high, low)
        }
        (None, _) if parts.len() != 8 => {
            return Err(format!("Exactly 8 parts expected without '::' in {shown}"));
        }
        (None, _) if first => return leading(),
        (None, _) if last => return trailing(),
        (None, _) => (parts.len(), 0),
    };
    let ends = parts
        .iter()
        .take(high)
        .chain(parts.iter().skip(parts.len() - low));
    ends.copied()
        .try_for_each(group)
        .map_err(|why| format!("{why} in {shown}"))
}

fn group(digits: &str) -> Result<(), String> {
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Err(format!("Only hex digits permitted in {}", quoted(digits)))
    } else if digits.len() > 4 {
        Err(format!(
            "At most 4 characters permitted in {}",
            quoted(digits)
        ))
    } else {
        Ok(())
    }
}

/// A text in quotes, as Python's `repr` prints it.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut shown = String::from(quote);
    for c in text.chars() {
        if c == quote || c == '\\' {
            shown.push('\\');
        }
        shown.push(c);
    }
    shown.push(quote);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_address_literal_returns_python_error_text() {
        for (literal, expected) in [
            ("127.0.0.1", None),
            ("IPv6:::1", None),
            ("ipv6:2001:db8::1.2.3.4", None),
            (
                "1.2.3",
                Some("not an IPv4 address (Expected 4 octets in '1.2.3')"),
            ),
            (
                "1.2.3.256",
                Some("(Octet 256 (> 255) not permitted in '1.2.3.256')"),
            ),
            (
                "01.2.3.4",
                Some("(Leading zeros are not permitted in '01' in '01.2.3.4')"),
            ),
            ("IPv6:1", Some("(At least 3 parts expected in '1')")),
            (
                "IPv6:1::2::3",
                Some("(At most one '::' permitted in '1::2::3')"),
            ),
            (
                "IPv6:g::",
                Some("(Only hex digits permitted in 'g' in 'g::')"),
            ),
            ("IPv6:::1%eth0", Some("(It has a zone index)")),
            ("local", Some("has no address literal tag")),
            ("tag:x", Some("an invalid address literal tag")),
        ] {
            let reason = check(literal).err().map(|reason| reason.to_string());
            match (expected, &reason) {
                (None, None) => {}
                (Some(part), Some(reason)) if reason.contains(part) => {}
                _ => panic!("{literal}: {reason:?} in place of {expected:?}"),
            }
        }
    }
}
