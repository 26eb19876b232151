//! Which unique key a write violated, decided by the key's columns and not by its name.

use super::sql;
use usher_sdk::database::{Database, Dialect, Error, Param, RefusalKind, Value};

/// A unique key of the table `users`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A key on the id alone.
    Id,
    /// A key on the address alone, or on an expression of it such as `lower(email)`.
    Email,
    /// Any other key.
    Other,
}

/// The key that was violated, or `None` for any other error. The catalogue is queried only if the
/// constraint's name is not the one that this service gives.
pub(super) fn violated(database: &impl Database, error: &Error) -> Option<Key> {
    let Error::Refused(refusal) = error else {
        return None;
    };
    // 23P01: an exclusion constraint on the address has the same meaning as a key.
    if refusal.kind != RefusalKind::UniqueViolation && refusal.code != "23P01" {
        return None;
    }
    let name = match refusal.constraint.as_deref() {
        Some(sql::EMAIL_KEY) => return Some(Key::Email),
        Some(name) => name,
        None => return Some(Key::Other),
    };
    Some(match database.dialect() {
        Dialect::Postgres => by_catalogue(database, name),
        Dialect::Sqlite => by_message(database, name, &refusal.message),
    })
}

fn by_catalogue(database: &impl Database, name: &str) -> Key {
    // If the catalogue cannot be read, the error is still a conflict.
    let rows = database
        .query(sql::postgres::KEY, &[Param::Text(name)])
        .unwrap_or_default();
    match rows.first().map(Vec::as_slice) {
        Some([Value::Boolean(true), _]) => Key::Id,
        Some([_, Value::Boolean(true)]) => Key::Email,
        _ => Key::Other,
    }
}

/// SQLite reports `UNIQUE constraint failed: users.email`, or `… failed: index 'NAME'` for a key
/// on an expression.
fn by_message(database: &impl Database, name: &str, message: &str) -> Key {
    let columns = message.rsplit(": ").next().unwrap_or_default();
    if columns.eq_ignore_ascii_case("users.email") {
        return Key::Email;
    }
    if columns.eq_ignore_ascii_case("users.id") {
        return Key::Id;
    }
    let rows = database
        .query(sql::sqlite::INDEX, &[Param::Text(name)])
        .unwrap_or_default();
    match rows.first().map(Vec::as_slice) {
        Some([Value::Text(definition)]) if is_on_email(definition) => Key::Email,
        _ => Key::Other,
    }
}

/// Whether the definition of an index names the address and no other column.
fn is_on_email(definition: &str) -> bool {
    let definition = definition.to_ascii_lowercase();
    let Some((_, keys)) = definition.split_once('(') else {
        return false;
    };
    let keys = keys.split(" where ").next().unwrap_or_default();
    let has = |word: &str| {
        keys.split(|character: char| !character.is_alphanumeric() && character != '_')
            .any(|other| other == word)
    };
    has("email") && !["id", "name", "version"].iter().any(|word| has(word))
}

#[cfg(test)]
mod tests {
    use super::is_on_email;

    #[test]
    fn index_on_expression_naming_only_email_is_on_email() {
        for (definition, expected) in [
            ("CREATE UNIQUE INDEX u ON users (lower(email))", true),
            (
                "CREATE UNIQUE INDEX u ON users (trim(\"Email\")) WHERE name <> ''",
                true,
            ),
            ("CREATE UNIQUE INDEX u ON users (lower(name))", false),
            (
                "CREATE UNIQUE INDEX u ON users (lower(email) || name)",
                false,
            ),
            ("", false),
        ] {
            assert_eq!(is_on_email(definition), expected, "{definition}");
        }
    }
}
