//! The rules that select a result for each statement.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use usher::database::budget::Budget;
use usher::database::{Error, Row, Rows, Value};

use super::fault::Fault;
use super::log::Event;

/// The calls that a rule is for.
#[derive(Debug)]
pub(super) enum Moment {
    /// Statements that match this pattern, whose white space is normalised.
    Statement(String),
    Begin,
    Commit,
    Rollback,
}

impl Moment {
    pub(super) fn statement(pattern: &str) -> Self {
        Self::Statement(normalised(pattern))
    }

    fn matches(&self, event: &Event) -> bool {
        match (self, event) {
            (Self::Statement(pattern), Event::Statement { text, .. }) => {
                fits(pattern, &normalised(text))
            }
            (Self::Begin, Event::Begin { .. })
            | (Self::Commit, Event::Commit)
            | (Self::Rollback, Event::Rollback) => true,
            _ => false,
        }
    }
}

/// A rule with its result.
#[derive(Debug)]
pub(super) struct Rule {
    moment: Moment,
    params: Option<Vec<Value>>,
    /// Whether it is for one of several matches, by its number.
    numbered: bool,
    first: u64,
    times: u64,
    /// How often it matched, and how often it was used.
    seen: u64,
    used: u64,
    plan: Plan,
}

impl Rule {
    /// A rule that was not used yet. It applies from the `first` match on, if that is given.
    pub(super) fn new(
        moment: Moment,
        params: Option<Vec<Value>>,
        first: Option<u64>,
        times: u64,
        plan: Plan,
    ) -> Self {
        Self {
            moment,
            params,
            numbered: first.is_some(),
            first: first.unwrap_or(1),
            times,
            seen: 0,
            used: 0,
            plan,
        }
    }

    /// Returns the plan of this rule if it applies. Counts every call that matches.
    pub(super) fn plan(&mut self, event: &Event) -> Option<Plan> {
        let fits = self.moment.matches(event)
            && match (&self.params, event) {
                (Some(expected), Event::Statement { params, .. }) => {
                    expected.len() == params.len()
                        && expected
                            .iter()
                            .zip(params)
                            .all(|(one, other)| same(one, other))
                }
                _ => true,
            };
        if !fits {
            return None;
        }
        self.seen += 1;
        if self.first == 0 || self.seen < self.first || self.used >= self.times {
            return None;
        }
        self.used += 1;
        Some(self.plan.clone())
    }

    pub(super) fn was_used(&self) -> bool {
        self.used > 0
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.moment, &self.params) {
            (Moment::Statement(pattern), Some(params)) => {
                let (text, params) = (pattern.clone(), params.clone());
                write!(f, "{}", Event::Statement { text, params })?;
            }
            (Moment::Statement(pattern), None) => f.write_str(pattern)?,
            (Moment::Begin, _) => f.write_str("BEGIN")?,
            (Moment::Commit, _) => f.write_str("COMMIT")?,
            (Moment::Rollback, _) => f.write_str("ROLLBACK")?,
        }
        if self.numbered {
            write!(f, " [number {}]", self.first)
        } else {
            Ok(())
        }
    }
}

/// A result and its delay.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) delay: Duration,
    pub(super) outcome: Outcome,
}

impl Plan {
    pub(super) async fn wait(self, budget: &Budget) -> Result<Outcome, Fault> {
        let Self { delay, outcome } = self;
        let come = async {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            match outcome {
                Outcome::Hang => std::future::pending().await,
                Outcome::Drop => Err(Fault::Lost),
                Outcome::Error(error) => Err(Fault::Scripted(error)),
                outcome => Ok(outcome),
            }
        };
        budget.race(come).await.unwrap_or(Err(Fault::Late))
    }
}

/// The result of a rule.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Rows {
        rows: Arc<Rows>,
        then: Option<Error>,
    },
    Affected(u64),
    Error(Error),
    Hang,
    Drop,
}

impl Outcome {
    /// All rows at once, if they are within the budget.
    pub(super) fn rows(self, budget: &Budget) -> Result<Rows, Error> {
        match self.parts() {
            (_, Some(error)) => Err(error),
            (rows, None) => {
                let mut meter = budget.meter();
                rows.rows
                    .iter()
                    .try_for_each(|row| meter.take(row.len(), size(row)))?;
                Ok(Arc::unwrap_or_clone(rows))
            }
        }
    }

    pub(super) fn count(self) -> Result<u64, Error> {
        match self {
            Self::Affected(count) => Ok(count),
            other => match other.parts() {
                (_, Some(error)) => Err(error),
                (rows, None) => Ok(rows.rows.len() as u64),
            },
        }
    }

    /// The rows, and the error after them.
    pub(super) fn parts(self) -> (Arc<Rows>, Option<Error>) {
        let none = || {
            Arc::new(Rows {
                columns: Arc::default(),
                rows: Vec::new(),
            })
        };
        match self {
            Self::Rows { rows, then } => (rows, then),
            Self::Error(error) => (none(), Some(error)),
            Self::Affected(_) | Self::Hang | Self::Drop => (none(), None),
        }
    }
}

/// The bytes of a row in addition to those counted for each value.
pub(super) fn size(row: &Row) -> usize {
    let bytes = |value: &Value| match value {
        Value::Text(text) | Value::Decimal(text) | Value::Json(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 0,
    };
    row.iter().map(bytes).sum()
}

fn normalised(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Null, Value::Null) => true,
        (Value::Boolean(one), Value::Boolean(other)) => one == other,
        (Value::Integer(one), Value::Integer(other))
        | (Value::Timestamp(one), Value::Timestamp(other)) => one == other,
        (Value::Real(one), Value::Real(other)) => {
            one.to_bits() == other.to_bits() || one.is_nan() && other.is_nan()
        }
        (Value::Text(one), Value::Text(other))
        | (Value::Decimal(one), Value::Decimal(other))
        | (Value::Json(one), Value::Json(other)) => one == other,
        (Value::Bytes(one), Value::Bytes(other)) => one == other,
        (Value::Uuid(one), Value::Uuid(other)) => one == other,
        _ => false,
    }
}
