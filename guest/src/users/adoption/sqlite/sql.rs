//! The statements that inspect and change a table on SQLite.

use usher_sdk::statements;

statements! {
    /// The relation `users`: its kind, whether it is WITHOUT ROWID, whether it is STRICT, and its
    /// definition.
    RELATION = "SELECT l.type, l.wr, l.strict, m.sql FROM pragma_table_list AS l \
        LEFT JOIN sqlite_schema AS m ON m.name = l.name AND m.type IN ('table', 'view') \
        WHERE l.schema = 'main' AND lower(l.name) = 'users'";

    /// The columns: name, declared type, whether it is NOT NULL, default, position in the primary
    /// key, whether it is generated.
    COLUMNS = "SELECT name, upper(type), \"notnull\", dflt_value, pk, hidden FROM \
        pragma_table_xinfo('users') ORDER BY cid";

    /// The columns of each index: index, whether it is unique, whether it is partial, position,
    /// column, collation.
    INDEXES = "SELECT l.name, l.\"unique\", l.partial, i.seqno, i.name, upper(i.coll) \
        FROM pragma_index_list('users') AS l, pragma_index_xinfo(l.name) AS i \
        WHERE i.key = 1 ORDER BY l.seq, i.seqno";

    /// Tables with a foreign key to `users`.
    REFERENCES = "SELECT DISTINCT m.name FROM sqlite_schema AS m, pragma_foreign_key_list(m.name) \
        AS f \
        WHERE m.type = 'table' AND lower(f.\"table\") = 'users' ORDER BY 1";

    /// Triggers and views of `users`, or that mention it.
    MENTIONS = "SELECT type, name, name = 'usher_next_version' FROM sqlite_schema \
        WHERE type IN ('view', 'trigger') AND (lower(tbl_name) = 'users' OR instr(lower(sql), \
        'users') > 0) ORDER BY 1, 2";

    /// Whether the names that adoption uses are taken.
    NAMES = "SELECT count(*) FILTER (WHERE name = 'users_email_key'), count(*) FILTER (WHERE name \
        = 'usher_users') \
        FROM sqlite_schema";

    /// Whether the collation ignores case or trailing spaces.
    COLLATION = "SELECT count(*) FROM (SELECT email FROM users WHERE 0 UNION ALL SELECT 'a') \
        WHERE email = 'A' OR email = 'a '";

    /// Counts of rows: ids that are no integers; names that are missing or no text; the same for
    /// addresses; ids below 1; all.
    ROWS = "SELECT count(*) FILTER (WHERE typeof(id) <> 'integer'), \
        count(*) FILTER (WHERE name IS NULL), count(*) FILTER (WHERE typeof(name) NOT IN ('text', \
        'null')), \
        count(*) FILTER (WHERE email IS NULL), count(*) FILTER (WHERE typeof(email) NOT IN \
        ('text', 'null')), \
        count(*) FILTER (WHERE typeof(id) = 'integer' AND id < 1), count(*) FROM users";

    /// The number of versions that are no integers.
    NO_VERSION = "SELECT count(*) FROM users WHERE typeof(version) <> 'integer'";

    /// The number of ids that several users share.
    SHARED_IDS = "SELECT count(*) FROM (SELECT 1 FROM users GROUP BY id HAVING count(*) > 1)";

    /// The number of addresses that several users share.
    SHARED_EMAILS = "SELECT count(*) FROM (SELECT 1 FROM users GROUP BY email HAVING count(*) > 1)";

    /// The number of addresses that are not normalised, as far as SQL can tell.
    UNUSUAL_EMAILS = "SELECT count(*) FROM users WHERE instr(email, '@') < 2 OR instr(email, ' ') \
        > 0 \
        OR substr(email, instr(email, '@')) <> lower(substr(email, instr(email, '@')))";

    /// Adds the column of versions. Rewrites no row.
    ADD_VERSION = "ALTER TABLE users ADD COLUMN version INTEGER NOT NULL DEFAULT 1";

    /// Makes addresses unique.
    ADD_EMAIL_KEY = "CREATE UNIQUE INDEX users_email_key ON users (email)";

    /// Creates a table as the first migration does, to replace the other one (SQLite, ALTER
    /// TABLE, 7).
    REBUILD_CREATE = "CREATE TABLE usher_users (\
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, \
        email TEXT NOT NULL CONSTRAINT users_email_key UNIQUE, version INTEGER NOT NULL DEFAULT \
        1) STRICT";

    /// Copies every user, with version 1.
    REBUILD_COPY = "INSERT INTO usher_users (id, name, email) SELECT id, name, email FROM users \
        ORDER BY id";

    /// Copies every user, with its version.
    REBUILD_COPY_VERSIONS = "INSERT INTO usher_users (id, name, email, version) \
        SELECT id, name, email, version FROM users ORDER BY id";

    /// Drops the other table.
    REBUILD_DROP = "DROP TABLE users";

    /// Renames the new table.
    REBUILD_RENAME = "ALTER TABLE usher_users RENAME TO users";
}
