//! A list of every statement that a component runs.
//!
//! [`manifest`](crate::manifest) declares them to a host, which may then deny any other. To add a
//! statement, write it in a table of the `statements!` macro or in a migration's file.

use crate::database::Dialect;
use crate::migrations::{self, Migrations, sql};

/// When a statement is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To answer a request.
    Service,
    /// To inspect and migrate the schema.
    Migrations,
}

impl Purpose {
    /// Its name in the custom section.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Migrations => "migrations",
        }
    }
}

/// A table of statements that a component runs, as [`statements!`](crate::statements!) makes it.
#[derive(Clone, Copy, Debug)]
pub struct Declared {
    /// When they are run.
    pub purpose: Purpose,
    /// Their dialect, or `None` if both share them.
    pub dialect: Option<Dialect>,
    /// Their names and texts.
    pub table: &'static [(&'static str, &'static str)],
}

impl Declared {
    /// Statements that answer requests, on every database.
    #[must_use]
    pub const fn service(table: &'static [(&'static str, &'static str)]) -> Self {
        Self {
            purpose: Purpose::Service,
            dialect: None,
            table,
        }
    }

    /// Statements of migrations besides their files, on every database.
    #[must_use]
    pub const fn migrations(table: &'static [(&'static str, &'static str)]) -> Self {
        Self {
            purpose: Purpose::Migrations,
            dialect: None,
            table,
        }
    }

    /// The same, on this dialect alone.
    #[must_use]
    pub const fn on(self, dialect: Dialect) -> Self {
        Self {
            dialect: Some(dialect),
            ..self
        }
    }
}

/// One statement of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// When it is run.
    pub purpose: Purpose,
    /// Its dialect, or `None` if both share it.
    pub dialect: Option<Dialect>,
    /// Its name, or that of its migration.
    pub name: &'static str,
    /// Its text, exactly as it is passed to the database.
    pub text: &'static str,
}

/// The statements that migrations run besides those of their own files.
pub const OF_MIGRATIONS: &[Declared] = &[
    Declared::migrations(sql::STATEMENTS),
    Declared::migrations(sql::postgres::STATEMENTS).on(Dialect::Postgres),
    Declared::migrations(sql::sqlite::STATEMENTS).on(Dialect::Sqlite),
];

/// Every statement of a component with these tables and migrations, those that record the
/// migrations among them. A text with two purposes is listed twice.
pub fn all(tables: &'static [Declared], migrations: Migrations) -> impl Iterator<Item = Statement> {
    let listed = tables.iter().chain(OF_MIGRATIONS).flat_map(|declared| {
        declared.table.iter().map(|&(name, text)| Statement {
            purpose: declared.purpose,
            dialect: declared.dialect,
            name,
            text,
        })
    });
    let migrated = [Dialect::Postgres, Dialect::Sqlite]
        .into_iter()
        .flat_map(move |dialect| {
            migrations.steps(dialect).iter().flat_map(move |step| {
                migrations::statements(step.sql).map(move |text| Statement {
                    purpose: Purpose::Migrations,
                    dialect: Some(dialect),
                    name: step.name,
                    text,
                })
            })
        });
    listed.chain(migrated)
}
