//! Every statement the service runs on users, one text for PostgreSQL and SQLite alike.
//!
//! Each write is one statement, so it is atomic by itself: the constraint decides whether an address is taken and the
//! `version` comparison whether the caller has seen the row's last state. A comparison with `COALESCE($n, column)` is no
//! condition where the parameter is NULL.

/// The unique constraint on the address, as PostgreSQL names it by default.
pub const EMAIL_KEY: &str = "users_email_key";

/// `$1` name, `$2` email.
pub const CREATE: &str =
    "INSERT INTO users (name, email) VALUES ($1, $2) RETURNING id, name, email, version";

/// `$1` id, which is not given back: each value of a result has its price at the boundary.
pub const GET: &str = "SELECT name, email, version FROM users WHERE id = $1";

/// `$1` the id to go on after, `$2` how many at most, which is a number on every database: see [`ALL`].
pub const LIST: &str =
    "SELECT id, name, email, version FROM users WHERE id > $1 ORDER BY id LIMIT $2";

/// As [`LIST`], `$3` email.
pub const LIST_BY_EMAIL: &str = "SELECT id, name, email, version FROM users \
     WHERE id > $1 AND email = $3 ORDER BY id LIMIT $2";

/// More users than there can be, for where all are asked for: PostgreSQL and SQLite have no other spelling of that in common.
pub const ALL: i64 = i64::MAX;

/// `$1` id, `$2` name or NULL to leave it, `$3` email or NULL to leave it, `$4` the version it must have or NULL for any.
pub const UPDATE: &str = "UPDATE users \
     SET name = COALESCE($2, name), email = COALESCE($3, email), version = version + 1 \
     WHERE id = $1 AND version = COALESCE($4, version) \
     RETURNING id, name, email, version";

/// `$1` id, `$2` the version it must have or NULL for any.
pub const DELETE: &str = "DELETE FROM users \
     WHERE id = $1 AND version = COALESCE($2, version) RETURNING id";

/// `$1` id. Asked after a conditional write that hit nothing, to tell a stale version from a missing user.
pub const VERSION: &str = "SELECT version FROM users WHERE id = $1";
