//! Taking over a table of users that another program has made.
//!
//! [`look`] reads the catalogue first and changes nothing. What it finds is of three kinds: changes that are safe and are made,
//! obstacles that only the operator can decide about, and advice. With a single obstacle nothing at all is changed. A table that is as
//! the service needs it gives no findings, so the look is made at every start, and also finds what was changed later.
//!
//! What is safe: widening a type that is known to be narrower, adding what is missing where every row allows it, and letting a sequence
//! go on. What is already right stays as it is, whatever it is called.

mod postgres;
mod reader;
pub mod sql;
mod sqlite;

use crate::database::{Dialect, Error, Statements};
use crate::migrations;

/// What a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// A migration that is applied.
    Migration,
    /// It is done when the schema is brought up to date.
    Change,
    /// It stands in the way, and nothing is changed while it does.
    Obstacle,
    /// It is worth knowing.
    Advice,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The object that it is about, such as `public.users.email`.
    pub subject: String,
    /// What was found, or will be done.
    pub message: String,
    /// What the operator can do about it, as SQL where that is possible.
    pub remedy: Option<String>,
}

/// What was applied to the database before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The table is the service's own, or was taken over.
    adopted: bool,
    /// Versions are raised for other writers.
    versioned: bool,
    /// Advice is wanted as well, also where it takes reading every row.
    advised: bool,
}

impl State {
    /// After so many migrations.
    #[must_use]
    pub fn of(migrations: usize) -> Self {
        Self {
            adopted: migrations > 0,
            versioned: migrations > 1,
            advised: false,
        }
    }

    /// The same, for a plan that people read.
    #[must_use]
    pub fn advised(self) -> Self {
        Self {
            advised: true,
            ..self
        }
    }
}

/// What was found, and the statements that make the changes, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// All of it.
    pub findings: Vec<Finding>,
    /// What is to be run, each statement on its own.
    pub actions: Vec<&'static str>,
}

impl Plan {
    fn change(&mut self, subject: &str, message: impl Into<String>, action: &'static str) {
        self.actions.push(action);
        self.add(FindingKind::Change, subject, message, None);
    }

    fn obstacle(&mut self, subject: &str, message: impl Into<String>, remedy: impl Into<String>) {
        self.add(FindingKind::Obstacle, subject, message, Some(remedy.into()));
    }

    fn advice(&mut self, subject: &str, message: impl Into<String>, remedy: Option<String>) {
        self.add(FindingKind::Advice, subject, message, remedy);
    }

    fn add(
        &mut self,
        kind: FindingKind,
        subject: &str,
        message: impl Into<String>,
        remedy: Option<String>,
    ) {
        self.findings.push(Finding {
            kind,
            subject: subject.to_owned(),
            message: message.into(),
            remedy,
        });
    }

    /// Why nothing is changed, in one line, or `None` where nothing stands in the way.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let obstacles: Vec<String> = self
            .findings
            .iter()
            .filter(|finding| finding.kind == FindingKind::Obstacle)
            .map(|finding| {
                let remedy = finding
                    .remedy
                    .as_ref()
                    .map(|remedy| format!(" (remedy: {remedy})"))
                    .unwrap_or_default();
                format!("{}: {}{remedy}", finding.subject, finding.message)
            })
            .collect();
        (!obstacles.is_empty()).then(|| obstacles.join("; "))
    }
}

/// Looks at the table `users`, where there is one, and at the database around it.
///
/// # Errors
/// As the database fails.
pub fn look(database: &impl Statements, dialect: Dialect, state: State) -> Result<Plan, Error> {
    match dialect {
        Dialect::Postgres => postgres::look(database, state),
        Dialect::Sqlite => sqlite::look(database, state),
    }
}

/// The statements that raise versions for other writers, where they have gone missing.
fn versioning(dialect: Dialect) -> impl Iterator<Item = &'static str> {
    migrations::steps(dialect)
        .get(1)
        .into_iter()
        .flat_map(|step| migrations::statements(step.sql))
}

/// `1 user`, `2 users`.
fn users(count: i64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} user{plural}")
}
