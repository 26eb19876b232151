//! Bytes as the log, files and clients see them.

use std::fmt::Write as _;

/// Two lower-case digits for each byte.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_two_lower_case_digits_each() {
        assert_eq!(hexadecimal(&[0, 0xa, 0xff]), "000aff");
        assert_eq!(hexadecimal(&[]), "");
    }
}
