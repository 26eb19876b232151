//! Which statement gets which answer.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::{Event, Fault, Script};
use crate::database::backend::Budget;
use crate::database::{Error, Row, Rows, Value};

/// A rule that has no answer yet. Its last call gives it one, and only then does it count.
#[derive(Debug)]
#[must_use = "a rule counts once it has an answer: end it with `rows`, `affected`, `ok`, `error`, `hang` or `drop_connection`"]
pub struct When<'s, Of> {
    script: &'s Script,
    moment: Moment,
    params: Option<Vec<Value>>,
    first: Option<u64>,
    times: Option<u64>,
    delay: Duration,
    of: PhantomData<Of>,
}

/// Marks a rule for statements.
#[derive(Debug)]
pub enum OnStatement {}

/// Marks a rule for the beginning or the end of a transaction.
#[derive(Debug)]
pub enum OnTransaction {}

impl<'s, Of> When<'s, Of> {
    pub(super) fn new(script: &'s Script, moment: Moment) -> Self {
        Self {
            script,
            moment,
            params: None,
            first: None,
            times: None,
            delay: Duration::ZERO,
            of: PhantomData,
        }
    }

    /// Answers at most so many times; after that the rules that follow are asked.
    pub fn times(mut self, count: u64) -> Self {
        self.times = Some(count);
        self
    }

    /// Answers the `n`-th that fits, counted from 1, and leaves those before and after it to the rules that follow. Together
    /// with [`times`](Self::times): so many from the `n`-th on.
    ///
    /// What a rule further up has answered is not counted. `on("*").nth(3)` as the first rule is the third statement of all.
    pub fn nth(mut self, n: u64) -> Self {
        self.first = Some(n);
        self
    }

    /// Waits so long before the answer. Where the deadline comes first, the answer is a timeout.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Answers with an error.
    ///
    /// In a transaction `Error::Refused` and `Error::Timeout` abort it, as in PostgreSQL; `Error::Unavailable` and
    /// `Error::InDoubt` mean that its connection is lost.
    pub fn error(self, error: Error) {
        self.answer(Answer::Error(error));
    }

    /// Never answers, so that the deadline ends it: a timeout, and in doubt where it was the COMMIT of something written.
    pub fn hang(self) {
        self.answer(Answer::Hang);
    }

    /// Loses the connection instead of an answer.
    ///
    /// Under a statement of its own that may write, and at the COMMIT of a transaction that ran one, that is
    /// `Error::InDoubt`; otherwise nothing can have happened, and it is `Error::Unavailable`. A transaction is over with it.
    pub fn drop_connection(self) {
        self.answer(Answer::Drop);
    }

    fn answer(self, answer: Answer) {
        let first = self.first.unwrap_or(1);
        let times = self
            .times
            .unwrap_or(if self.first.is_some() { 1 } else { u64::MAX });
        self.script.add(Rule {
            moment: self.moment,
            params: self.params,
            numbered: self.first.is_some(),
            first,
            times,
            seen: 0,
            used: 0,
            plan: Plan {
                delay: self.delay,
                answer,
            },
        });
    }
}

impl When<'_, OnStatement> {
    /// Fits only with these very parameters. NaN is itself here, and 0.0 is not -0.0.
    pub fn with_params(mut self, params: &[Value]) -> Self {
        self.params = Some(params.to_vec());
        self
    }

    /// Answers with rows. Where their number is asked for, that is it.
    ///
    /// # Panics
    /// Where a row has more or fewer values than there are columns.
    #[track_caller]
    pub fn rows(
        self,
        columns: impl IntoIterator<Item = impl Into<String>>,
        rows: impl IntoIterator<Item = Row>,
    ) {
        let rows = result(columns, rows);
        self.answer(Answer::Rows { rows, then: None });
    }

    /// Answers with rows and then an error in place of the end: a cursor gives the rows first, a query only the error.
    ///
    /// # Panics
    /// As [`rows`](Self::rows).
    #[track_caller]
    pub fn rows_then(
        self,
        columns: impl IntoIterator<Item = impl Into<String>>,
        rows: impl IntoIterator<Item = Row>,
        error: Error,
    ) {
        let rows = result(columns, rows);
        self.answer(Answer::Rows {
            rows,
            then: Some(error),
        });
    }

    /// Answers that so many rows were affected. Where rows are asked for there are none, and no columns.
    pub fn affected(self, count: u64) {
        self.answer(Answer::Affected(count));
    }
}

impl When<'_, OnTransaction> {
    /// Succeeds, which makes sense after a [`delay`](Self::delay) or before another rule.
    pub fn ok(self) {
        self.answer(Answer::Affected(0));
    }
}

#[track_caller]
fn result(
    columns: impl IntoIterator<Item = impl Into<String>>,
    rows: impl IntoIterator<Item = Row>,
) -> Arc<Rows> {
    let columns: Arc<[String]> = columns.into_iter().map(Into::into).collect();
    let rows: Vec<Row> = rows.into_iter().collect();
    for (index, row) in rows.iter().enumerate() {
        let (number, values, wanted) = (index + 1, row.len(), columns.len());
        assert!(
            values == wanted,
            "row {number} has {values} values, and there are {wanted} columns"
        );
    }
    Arc::new(Rows { columns, rows })
}

/// When a rule is asked.
#[derive(Debug)]
pub(super) enum Moment {
    /// At statements that fit this pattern, its white space made even.
    Statement(String),
    Begin,
    Commit,
    Rollback,
}

impl Moment {
    pub(super) fn statement(pattern: &str) -> Self {
        Self::Statement(even(pattern))
    }

    fn is_now(&self, event: &Event) -> bool {
        match (self, event) {
            (Self::Statement(pattern), Event::Statement { text, .. }) => fits(pattern, &even(text)),
            (Self::Begin, Event::Begin { .. })
            | (Self::Commit, Event::Commit)
            | (Self::Rollback, Event::Rollback) => true,
            _ => false,
        }
    }
}

/// A rule with its answer.
#[derive(Debug)]
pub(super) struct Rule {
    moment: Moment,
    params: Option<Vec<Value>>,
    /// Whether it is for one occasion out of many, by its number.
    numbered: bool,
    first: u64,
    times: u64,
    /// How often it fitted, and how often it answered.
    seen: u64,
    used: u64,
    plan: Plan,
}

impl Rule {
    /// What it has for this, if it is the one to answer. Every call that fits counts.
    pub(super) fn plan(&mut self, event: &Event) -> Option<Plan> {
        let fits = self.moment.is_now(event)
            && match (&self.params, event) {
                (Some(wanted), Event::Statement { params, .. }) => {
                    wanted.len() == params.len()
                        && wanted
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

/// An answer, and how long it takes to come.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    delay: Duration,
    answer: Answer,
}

impl Plan {
    pub(super) async fn wait(self, budget: &Budget) -> Result<Answer, Fault> {
        let Self { delay, answer } = self;
        let come = async {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            match answer {
                Answer::Hang => std::future::pending().await,
                Answer::Drop => Err(Fault::Lost),
                Answer::Error(error) => Err(Fault::Said(error)),
                answer => Ok(answer),
            }
        };
        budget.race(come).await.unwrap_or(Err(Fault::Late))
    }
}

/// What a rule answers.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Rows {
        rows: Arc<Rows>,
        then: Option<Error>,
    },
    Affected(u64),
    Error(Error),
    Hang,
    Drop,
}

impl Answer {
    /// All rows at once, if there is room for them.
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

/// The bytes of a row beyond its values' places.
pub(super) fn size(row: &Row) -> usize {
    let bytes = |value: &Value| match value {
        Value::Text(text) | Value::Decimal(text) | Value::Json(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 0,
    };
    row.iter().map(bytes).sum()
}

fn even(text: &str) -> String {
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
