//! Which key it is that another row has: decided by what is unique, not by what the key is called.

use crate::database::{Database, Dialect, Error, Param, RefusalKind, Value};
use crate::sql;

/// A key of the table `users`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// The id alone.
    Id,
    /// The address alone, as it is or by an expression such as `lower(email)`.
    Email,
    /// Anything else.
    Other,
}

/// The key that was violated, or `None` where the error is another. Only for a name that is not the service's own is the catalogue
/// asked.
pub(super) fn violated(database: &impl Database, error: &Error) -> Option<Key> {
    let Error::Refused(refusal) = error else {
        return None;
    };
    // An exclusion constraint on the address says the same as a key.
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
    // Where it cannot be asked now, it is a conflict all the same.
    let rows = database
        .query(sql::postgres::KEY, &[Param::Text(name)])
        .unwrap_or_default();
    match rows.first().map(Vec::as_slice) {
        Some([Value::Boolean(true), _]) => Key::Id,
        Some([_, Value::Boolean(true)]) => Key::Email,
        _ => Key::Other,
    }
}

/// SQLite says `UNIQUE constraint failed: users.email`, or `… failed: index 'NAME'` where the key is an expression.
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
        Some([Value::Text(definition)]) if is_of_email(definition) => Key::Email,
        _ => Key::Other,
    }
}

/// Whether the one key of an index, as it was written, has no other column in it than the address.
fn is_of_email(definition: &str) -> bool {
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
    use super::is_of_email;

    #[test]
    fn index_of_an_expression_is_of_email_where_it_names_nothing_else() {
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
            assert_eq!(is_of_email(definition), expected, "{definition}");
        }
    }
}
