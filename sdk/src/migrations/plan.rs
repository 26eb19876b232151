//! The findings of an inspection, and the statements that make its changes.

use crate::database::{Dialect, Error, Statements};

/// The kind of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// A migration that will be applied.
    Migration,
    /// A change that will be made.
    Change,
    /// It prevents everything: nothing is changed until it is removed.
    Obstacle,
    /// Information for the operator.
    Advice,
}

/// One thing that an inspection found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The kind.
    pub kind: FindingKind,
    /// The object that it is about, such as `public.users.email`.
    pub subject: String,
    /// What was found, or will be changed.
    pub message: String,
    /// What the operator can do about it, as SQL where possible.
    pub remedy: Option<String>,
}

/// How far a database's migrations are, and whether advice is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many migrations were applied before.
    pub applied: usize,
    /// Advice is requested, even where it takes a scan of a table.
    pub advised: bool,
}

impl Progress {
    /// After this many migrations, without advice.
    pub(super) fn of(applied: usize) -> Self {
        Self {
            applied,
            advised: false,
        }
    }
}

/// Looks at a database before migrations are applied, so that a service can take over a table that
/// another program created.
pub trait Adoption {
    /// Inspects the database and changes nothing.
    ///
    /// # Errors
    /// When the database fails.
    fn inspect(
        database: &impl Statements,
        dialect: Dialect,
        progress: Progress,
    ) -> Result<Plan, Error>;
}

/// Of a service whose tables are its own.
#[derive(Clone, Copy, Debug)]
pub struct NoAdoption;

impl Adoption for NoAdoption {
    fn inspect(_: &impl Statements, _: Dialect, _: Progress) -> Result<Plan, Error> {
        Ok(Plan::default())
    }
}

/// The findings, and the statements that make the changes, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// All findings.
    pub findings: Vec<Finding>,
    /// The statements, to be run one at a time.
    pub actions: Vec<&'static str>,
}

impl Plan {
    /// Adds a change, which this statement makes.
    pub fn change(&mut self, subject: &str, message: impl Into<String>, action: &'static str) {
        self.actions.push(action);
        self.add(FindingKind::Change, subject, message, None);
    }

    /// Adds an obstacle, and how to remove it.
    pub fn obstacle(
        &mut self,
        subject: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(FindingKind::Obstacle, subject, message, Some(remedy.into()));
    }

    /// Adds advice.
    pub fn advice(&mut self, subject: &str, message: impl Into<String>, remedy: Option<String>) {
        self.add(FindingKind::Advice, subject, message, remedy);
    }

    /// Adds a finding. A change of this kind is made by another one's statement.
    pub fn add(
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

    /// The obstacles in one line, or `None` if there are none.
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
