//! What an error of PostgreSQL means for a statement (PostgreSQL, Appendix A).

use crate::database::failure;
use crate::database::types::Error;

/// The error that the server returned with this SQLSTATE. `writes` says whether a lost statement
/// would be `in-doubt`.
#[must_use]
pub fn error(
    code: &str,
    message: &str,
    constraint: Option<String>,
    column: Option<String>,
    writes: bool,
) -> Error {
    match code {
        "57014" => Error::Timeout,
        // A parameter was sent as another type than the server expects.
        "08P01" | "22021" | "22P03" => failure::invalid(message),
        // The server refused the connection.
        "53300" | "57P03" => failure::unavailable(message),
        code if is_lost(code) => lost(message, writes),
        code => failure::refused(code, message, constraint, column),
    }
}

/// Whether the connection ends with this error.
#[must_use]
pub fn is_lost(code: &str) -> bool {
    matches!(code, "25P03" | "57P01" | "57P02" | "57P05")
        || (code.starts_with("08") && code != "08P01")
}

/// The connection was lost while a statement ran.
#[must_use]
pub fn lost(why: impl Into<String>, writes: bool) -> Error {
    if writes {
        Error::InDoubt
    } else {
        failure::unavailable(why)
    }
}

/// Whether a text has the form of a SQLSTATE.
#[must_use]
pub fn is_code(text: &str) -> bool {
    text.len() == 5
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}
