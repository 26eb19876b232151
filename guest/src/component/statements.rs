//! A list of every statement that the component runs.
//!
//! [`manifest`](super::manifest) declares them to a host, which may then deny any other. To add a
//! statement, write it in a table of the `statements!` macro or in a migration's file.

use crate::database::Dialect;
use crate::users::{adoption, migrations, sql, steps};

/// When a statement is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To answer a request.
    Service,
    /// To inspect and migrate the schema.
    Migrations,
}

/// One statement of this component.
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

/// Every statement of the component. A text with two purposes is listed twice.
pub fn all() -> impl Iterator<Item = Statement> {
    use Dialect::{Postgres, Sqlite};
    use Purpose::{Migrations, Service};
    let tables = [
        (Service, None, sql::STATEMENTS),
        (Service, Some(Postgres), sql::postgres::STATEMENTS),
        (Service, Some(Sqlite), sql::sqlite::STATEMENTS),
        (Migrations, None, migrations::sql::STATEMENTS),
        (
            Migrations,
            Some(Postgres),
            migrations::sql::postgres::STATEMENTS,
        ),
        (
            Migrations,
            Some(Sqlite),
            migrations::sql::sqlite::STATEMENTS,
        ),
        (
            Migrations,
            Some(Postgres),
            adoption::postgres::sql::STATEMENTS,
        ),
        (Migrations, Some(Sqlite), adoption::sqlite::sql::STATEMENTS),
    ];
    let listed = tables.into_iter().flat_map(|(purpose, dialect, table)| {
        table.iter().map(move |&(name, text)| Statement {
            purpose,
            dialect,
            name,
            text,
        })
    });
    let migrated = [Postgres, Sqlite].into_iter().flat_map(|dialect| {
        steps::steps(dialect).iter().flat_map(move |step| {
            steps::statements(step.sql).map(move |text| Statement {
                purpose: Migrations,
                dialect: Some(dialect),
                name: step.name,
                text,
            })
        })
    });
    listed.chain(migrated)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Purpose, all};
    use crate::database::Dialect;
    use crate::users::{sql, steps};

    #[test]
    fn each_statement_is_listed_once_for_its_purpose_and_dialect() {
        let mut seen = BTreeSet::new();
        for statement in all() {
            let key = format!(
                "{:?} {:?} {}",
                statement.purpose, statement.dialect, statement.text
            );
            assert!(seen.insert(key), "{} is listed twice", statement.name);
            assert!(
                !statement.text.trim().is_empty() && !statement.text.trim_end().ends_with(';'),
                "{} is no single statement",
                statement.name
            );
        }
    }

    #[test]
    fn list_contains_statements_of_requests_and_migrations() {
        let has = |purpose, text: &str| {
            all().any(|statement| statement.purpose == purpose && statement.text == text)
        };
        for (_, text) in sql::STATEMENTS {
            assert!(has(Purpose::Service, text), "{text}");
        }
        for dialect in [Dialect::Postgres, Dialect::Sqlite] {
            for step in steps::steps(dialect) {
                for text in steps::statements(step.sql) {
                    assert!(has(Purpose::Migrations, text), "{text}");
                }
            }
        }
    }
}
