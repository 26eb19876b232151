//! Every statement the service runs on users, one text for PostgreSQL and SQLite alike.
//!
//! Each write is one statement, so it is atomic by itself: the constraint decides whether an address is taken and the
//! `version` comparison whether the caller has seen the row's last state. A comparison with `COALESCE($n, column)` is no
//! condition where the parameter is NULL.

use crate::statements::statements;

/// The unique constraint on the address, as PostgreSQL names it by default.
pub const EMAIL_KEY: &str = "users_email_key";

/// More users than there can be, for where all are asked for: PostgreSQL and SQLite have no other spelling of that in common.
pub const ALL: i64 = i64::MAX;

statements! {
    /// `$1` name, `$2` email.
    CREATE = "INSERT INTO users (name, email) VALUES ($1, $2) RETURNING id, name, email, version";

    /// `$1` id, which is not given back: each value of a result has its price at the boundary.
    GET = "SELECT name, email, version FROM users WHERE id = $1";

    /// `$1` the id to go on after, `$2` how many at most, which is a number on every database: see [`ALL`].
    LIST = "SELECT id, name, email, version FROM users WHERE id > $1 ORDER BY id LIMIT $2";

    /// As [`LIST`], `$3` email.
    LIST_BY_EMAIL = "SELECT id, name, email, version FROM users \
        WHERE id > $1 AND email = $3 ORDER BY id LIMIT $2";

    /// `$1` id, `$2` name or NULL to leave it, `$3` email or NULL to leave it, `$4` the version it must have or NULL for any.
    UPDATE = "UPDATE users \
        SET name = COALESCE($2, name), email = COALESCE($3, email), version = version + 1 \
        WHERE id = $1 AND version = COALESCE($4, version) \
        RETURNING id, name, email, version";

    /// `$1` id, `$2` the version it must have or NULL for any.
    DELETE = "DELETE FROM users \
        WHERE id = $1 AND version = COALESCE($2, version) RETURNING id";

    /// `$1` id. Asked after a conditional write that hit nothing, to tell a stale version from a missing user.
    VERSION = "SELECT version FROM users WHERE id = $1";
}

/// What only PostgreSQL is asked.
pub mod postgres {
    use crate::statements::statements;

    statements! {
        /// `$1` the name of a key that was violated. Gives whether it is a key on the id alone, and whether on the address alone, be it
        /// as it is or by an expression such as `lower(email)`. Asked where the name is not [`EMAIL_KEY`](super::EMAIL_KEY).
        KEY = "SELECT i.indnkeyatts = 1 AND COALESCE(a.attname = 'id', false), \
            i.indnkeyatts = 1 AND (COALESCE(a.attname = 'email', false) \
            OR i.indkey[0] = 0 AND pg_get_indexdef(i.indexrelid, 1, true) ~ '\\memail\\M' \
            AND NOT EXISTS (SELECT 1 FROM pg_attribute AS o WHERE o.attrelid = i.indrelid AND o.attnum > 0 \
            AND NOT o.attisdropped AND o.attname <> 'email' \
            AND pg_get_indexdef(i.indexrelid, 1, true) ~ ('\\m' || o.attname || '\\M'))) \
            FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid \
            LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] \
            WHERE i.indrelid = to_regclass('users') AND c.relname = $1";
    }
}

/// What only SQLite is asked.
pub mod sqlite {
    use crate::statements::statements;

    statements! {
        /// `$1` the name of an index over an expression that was violated. Gives how it was written.
        INDEX = "SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = $1";
    }
}
