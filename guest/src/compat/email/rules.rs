//! Limits and lists that the fast path and the full rules share.

/// The longest address in UTF-8 bytes (RFC 5321, 4.5.3.1.3).
pub(super) const LENGTH_LIMIT: usize = 254;

/// The longest label in ASCII (RFC 1035, 2.3.1).
pub(super) const LABEL_LIMIT: usize = 63;

/// Mailboxes whose names are case-insensitive (RFC 2142).
pub(super) const ROLES: [&str; 15] = [
    "info",
    "marketing",
    "sales",
    "support",
    "abuse",
    "noc",
    "security",
    "postmaster",
    "hostmaster",
    "usenet",
    "news",
    "webmaster",
    "www",
    "uucp",
    "ftp",
];

/// Special-use domains, to which no mail can be sent from elsewhere (RFC 6761, RFC 7686,
/// RFC 3172).
pub(super) const SPECIAL_USE: [&str; 6] =
    ["arpa", "invalid", "local", "localhost", "onion", "test"];

/// The characters of an atom (RFC 5322, 3.2.3).
pub(super) const fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'_' | b'!'
                | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'/'
                | b'='
                | b'?'
                | b'^'
                | b'`'
                | b'{'
                | b'|'
                | b'}'
                | b'~'
        )
}
