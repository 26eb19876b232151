//! Every statement that the operations run. PostgreSQL and SQLite share one text.
//!
//! Each write is a single statement and therefore atomic: the unique constraint decides whether an
//! address is taken, and the `version` comparison whether the caller has seen the row's latest
//! state. `column = COALESCE($n, column)` is true if the parameter is NULL.

use usher_sdk::statements;

/// The unique constraint on the address, by the name that PostgreSQL gives it by default.
pub const EMAIL_KEY: &str = "users_email_key";

/// No limit. PostgreSQL and SQLite have no other spelling of it in common.
pub const ALL: i64 = i64::MAX;

statements! {
    /// `$1` name, `$2` email.
    CREATE = "INSERT INTO users (name, email) VALUES ($1, $2) RETURNING id, name, email, version";

    /// `$1` id. It is not selected: every value of a result costs at the component boundary.
    GET = "SELECT name, email, version FROM users WHERE id = $1";

    /// `$1` the id to continue after, `$2` the limit, or [`ALL`]. The comment asks the host for all
    /// rows in one value ([`usher_sdk::database::Records`]).
    LIST = "SELECT /* usher:packed */ id, name, email, version FROM users \
        WHERE id > $1 ORDER BY id LIMIT $2";

    /// As [`LIST`]; `$3` email.
    LIST_BY_EMAIL = "SELECT /* usher:packed */ id, name, email, version FROM users \
        WHERE id > $1 AND email = $3 ORDER BY id LIMIT $2";

    /// `$1` id, `$2` name or NULL to keep it, `$3` email or NULL to keep it, `$4` the expected
    /// version or NULL for any.
    UPDATE = "UPDATE users \
        SET name = COALESCE($2, name), email = COALESCE($3, email), version = version + 1 \
        WHERE id = $1 AND version = COALESCE($4, version) \
        RETURNING id, name, email, version";

    /// `$1` id, `$2` the expected version or NULL for any.
    DELETE = "DELETE FROM users \
        WHERE id = $1 AND version = COALESCE($2, version) RETURNING id";

    /// `$1` id. Run after a conditional write that affected no row, to tell a stale version from
    /// a missing user.
    VERSION = "SELECT version FROM users WHERE id = $1";
}

/// Statements for PostgreSQL only.
pub mod postgres {
    use usher_sdk::statements;

    statements! {
        /// `$1` the name of a violated key. Selects whether it is on the id alone, and whether it
        /// is on the address alone, or on an expression of it such as `lower(email)`. Run if the
        /// name is not [`EMAIL_KEY`](super::EMAIL_KEY).
        KEY = "SELECT i.indnkeyatts = 1 AND COALESCE(a.attname = 'id', false), \
            i.indnkeyatts = 1 AND (COALESCE(a.attname = 'email', false) \
            OR i.indkey[0] = 0 AND pg_get_indexdef(i.indexrelid, 1, true) ~ '\\memail\\M' \
            AND NOT EXISTS (SELECT 1 FROM pg_attribute AS o WHERE o.attrelid = i.indrelid AND \
            o.attnum > 0 \
            AND NOT o.attisdropped AND o.attname <> 'email' \
            AND pg_get_indexdef(i.indexrelid, 1, true) ~ ('\\m' || o.attname || '\\M'))) \
            FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid \
            LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
            WHERE i.indrelid = to_regclass('users') AND c.relname = $1";
    }
}

/// Statements for SQLite only.
pub mod sqlite {
    use usher_sdk::statements;

    statements! {
        /// `$1` the name of a violated index on an expression. Selects its definition.
        INDEX = "SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = $1";
    }
}
