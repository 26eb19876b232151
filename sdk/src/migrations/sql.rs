//! The statements that migrations run besides those of their own files.

statements! {
    /// Creates the table that records applied migrations.
    CREATE_RECORD = "CREATE TABLE IF NOT EXISTS usher_migrations (\
        version bigint PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, \
        applied_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP)";

    /// The applied migrations, in order.
    READ_RECORD = "SELECT version, name, checksum FROM usher_migrations ORDER BY version";

    /// `$1` version, `$2` name, `$3` checksum.
    WRITE_RECORD = "INSERT INTO usher_migrations (version, name, checksum) VALUES ($1, $2, $3)";
}

/// Statements for PostgreSQL only.
pub mod postgres {
    statements! {
        /// Lets one host at a time apply migrations. The key is "usher" in ASCII.
        LOCK = "SELECT pg_advisory_xact_lock(504447395186)";

        /// One row if the table of the record exists.
        HAS_RECORD = "SELECT 1 WHERE to_regclass('usher_migrations') IS NOT NULL";
    }
}

/// Statements for SQLite only. It needs no lock: it has one writer at a time.
pub mod sqlite {
    statements! {
        /// One row if the table of the record exists.
        HAS_RECORD = "SELECT 1 FROM sqlite_master \
            WHERE type = 'table' AND name = 'usher_migrations'";
    }
}
