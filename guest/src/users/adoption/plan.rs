//! The findings of an inspection, and the statements that make its changes.

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

/// Which migrations were applied before, and whether advice is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The table is the service's own, or was adopted.
    pub(super) adopted: bool,
    /// A trigger increments the version of a user that another program changes.
    pub(super) versioned: bool,
    /// Advice is requested, even where it takes a scan of the table.
    pub(super) advised: bool,
}

impl State {
    /// The state after this many migrations.
    #[must_use]
    pub fn of(migrations: usize) -> Self {
        Self {
            adopted: migrations > 0,
            versioned: migrations > 1,
            advised: false,
        }
    }

    /// The same, with advice.
    #[must_use]
    pub fn with_advice(self) -> Self {
        Self {
            advised: true,
            ..self
        }
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
    pub(super) fn change(
        &mut self,
        subject: &str,
        message: impl Into<String>,
        action: &'static str,
    ) {
        self.actions.push(action);
        self.add(FindingKind::Change, subject, message, None);
    }

    pub(super) fn obstacle(
        &mut self,
        subject: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(FindingKind::Obstacle, subject, message, Some(remedy.into()));
    }

    pub(super) fn advice(
        &mut self,
        subject: &str,
        message: impl Into<String>,
        remedy: Option<String>,
    ) {
        self.add(FindingKind::Advice, subject, message, remedy);
    }

    pub(super) fn add(
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

/// `1 user`, `2 users`.
pub(super) fn users(count: i64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} user{plural}")
}
