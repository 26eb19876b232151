//! The migrations that are compiled into a component: a file per step and dialect.

use crate::database::Dialect;

/// One step of the schema's history.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What it does, from its file's name.
    pub name: &'static str,
    /// Its statements, each ending with a semicolon at the end of a line.
    pub sql: &'static str,
    /// Checksums of earlier texts with the same effect on a new database.
    pub earlier: &'static [&'static str],
}

/// The migrations of a component, in order.
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    /// On PostgreSQL.
    pub postgres: &'static [Step],
    /// On SQLite.
    pub sqlite: &'static [Step],
}

impl Migrations {
    /// The migrations on this dialect.
    #[must_use]
    pub const fn steps(&self, dialect: Dialect) -> &'static [Step] {
        match dialect {
            Dialect::Postgres => self.postgres,
            Dialect::Sqlite => self.sqlite,
        }
    }
}

/// Splits a migration's file into its statements, since the database runs one at a time.
pub fn statements(sql: &str) -> impl Iterator<Item = &str> {
    let mut rest = sql;
    std::iter::from_fn(move || {
        let end = rest
            .split_inclusive('\n')
            .scan(0, |end, line| {
                *end += line.len();
                Some((*end, line.trim_end().ends_with(';')))
            })
            .find_map(|(end, last)| last.then_some(end))
            .unwrap_or(rest.len());
        let (statement, after) = rest.split_at(end);
        rest = after;
        let statement = statement.trim();
        // A comment after the last statement is not a statement.
        let is_comment = |line: &str| line.trim().is_empty() || line.trim_start().starts_with("--");
        (!statement.lines().all(is_comment)).then(|| statement.trim_end_matches(';'))
    })
}

/// Detects whether a file was edited: FNV-1a of its text. Carriage returns are skipped, since
/// line endings may differ between checkouts.
pub(super) fn checksum(sql: &str) -> String {
    let hash = sql
        .bytes()
        .filter(|&byte| byte != b'\r')
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("{hash:016x}")
}
