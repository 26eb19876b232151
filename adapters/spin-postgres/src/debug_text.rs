//! An error of the database in the debugging output of Spin.
//!
//! Where Spin 4.0 reads the rows of a result, it returns any error as text: what Rust's `Debug`
//! writes for the structured error. Strings in it are quoted and escaped, so that no text of a
//! client can be taken for a field.

use adapter_common::sqlstate;

/// How Spin says that a result is over its limit.
const OVER_LIMIT: &str = "query result exceeds limit of ";

/// The fields of an error that are passed on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DatabaseError {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) constraint: Option<String>,
    pub(crate) column: Option<String>,
}

/// The error of the database in a text, if there is one.
pub(crate) fn database_error(text: &str) -> Option<DatabaseError> {
    let code = after(text, ", code: \"").filter(|code| sqlstate::is_code(code))?;
    Some(DatabaseError {
        code,
        message: after(text, ", message: \"")?,
        constraint: after(text, "(\"constraint\", \""),
        column: after(text, "(\"column\", \""),
    })
}

/// The limit in bytes that a result was over.
pub(crate) fn result_limit(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once(OVER_LIMIT)?;
    let (number, _) = rest.split_once(' ')?;
    number.parse().ok()
}

/// The string whose opening quotation mark ends `key`.
fn after(text: &str, key: &str) -> Option<String> {
    let (_, rest) = text.split_once(key)?;
    let mut value = String::new();
    let mut rest = rest.chars();
    loop {
        match rest.next()? {
            '"' => return Some(value),
            '\\' => value.push(match rest.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '0' => '\0',
                'u' => {
                    // `\u{7f}`
                    let digits: String = rest.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
                }
                other => other,
            }),
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DatabaseError, database_error, result_limit};

    /// As the stand-in returns it for a duplicate whose name holds the text of a field.
    const DUPLICATE: &str = concat!(
        r#"Error::QueryFailed(QueryError::DbError(DbError { "#,
        r#"as-text: "Error { kind: Db, cause: Some(DbError { severity: \"ERROR\""#,
        r#", code: SqlState(E23505), message: \"duplicate key\" }) }""#,
        r#", severity: "ERROR", code: "23505", message: "duplicate key value violates unique constraint \"users_email_key\"""#,
        r#", detail: Some("Key (email)=(\", code: \"00000\", message: \") already exists.")"#,
        r#", extras: [("constraint", "users_email_key"), ("table", "users")] }))"#,
    );

    #[test]
    fn database_error_in_debugging_output_is_found() {
        assert_eq!(
            database_error(DUPLICATE),
            Some(DatabaseError {
                code: "23505".to_owned(),
                message: "duplicate key value violates unique constraint \"users_email_key\""
                    .to_owned(),
                constraint: Some("users_email_key".to_owned()),
                column: None,
            })
        );
    }

    #[test]
    fn field_in_a_quoted_text_is_no_field() {
        let quoted = r#"Error { kind: Io, cause: Some("\", code: \"23505\", message: \"x\"") }"#;
        assert_eq!(database_error(quoted), None);
    }

    #[test]
    fn text_that_ends_in_a_string_has_no_error() {
        for end in 0..DUPLICATE.len() {
            // It must not panic, wherever the text ends.
            let _ = DUPLICATE.get(..end).and_then(database_error);
        }
        assert_eq!(database_error(r#", code: "23505", message: "cut"#), None);
        assert_eq!(database_error(r#", code: "\u{"#), None);
    }

    #[test]
    fn result_limit_is_read_in_bytes() {
        let text = "query result exceeds limit of 134217728 bytes";
        assert_eq!(result_limit(text), Some(134_217_728));
        assert_eq!(result_limit("query failed"), None);
    }
}
