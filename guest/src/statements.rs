//! Every statement that this component ever runs, as constants: nothing is put together at run time.
//!
//! [`all`] lists them for whoever declares them to a host, which may then refuse everything else. A statement is added by writing it
//! into one of the tables that `statements!` makes, or into a migration's file.

use crate::database::Dialect;
use crate::{adoption, migrations, sql};

/// Makes a constant of each text, and `STATEMENTS`, which lists them by name.
macro_rules! statements {
    ($($(#[$about:meta])* $name:ident = $text:expr;)+) => {
        $($(#[$about])* pub const $name: &str = $text;)+

        /// All of them, by name.
        pub const STATEMENTS: &[(&str, &str)] = &[$((stringify!($name), $name)),+];
    };
}
pub(crate) use statements;

/// When a statement is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To answer a request.
    Service,
    /// To look at the schema and to bring it up to date.
    Migrations,
}

/// One statement of this component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// When it is run.
    pub purpose: Purpose,
    /// The dialect it is written in, or `None` where it is the same in both.
    pub dialect: Option<Dialect>,
    /// Its name, or the name of the migration that it belongs to.
    pub name: &'static str,
    /// Its text, exactly as it is handed to the database.
    pub text: &'static str,
}

/// Every statement of this component. A text that serves two purposes is listed twice.
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
            adoption::sql::postgres::STATEMENTS,
        ),
        (Migrations, Some(Sqlite), adoption::sql::sqlite::STATEMENTS),
    ];
    let listed = tables.into_iter().flat_map(|(purpose, dialect, table)| {
        table.iter().map(move |&(name, text)| Statement {
            purpose,
            dialect,
            name,
            text,
        })
    });
    let steps = [Postgres, Sqlite].into_iter().flat_map(|dialect| {
        migrations::steps(dialect).iter().flat_map(move |step| {
            migrations::statements(step.sql).map(move |text| Statement {
                purpose: Migrations,
                dialect: Some(dialect),
                name: step.name,
                text,
            })
        })
    });
    listed.chain(steps)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Purpose, all};
    use crate::database::Dialect;
    use crate::{migrations, sql};

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
    fn list_has_what_requests_and_migrations_run() {
        let has = |purpose, text: &str| {
            all().any(|statement| statement.purpose == purpose && statement.text == text)
        };
        for (_, text) in sql::STATEMENTS {
            assert!(has(Purpose::Service, text), "{text}");
        }
        for dialect in [Dialect::Postgres, Dialect::Sqlite] {
            for step in migrations::steps(dialect) {
                for text in migrations::statements(step.sql) {
                    assert!(has(Purpose::Migrations, text), "{text}");
                }
            }
        }
    }
}
