//! Builds the rules of a script.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use usher::database::{Error, Row, Rows, Value};

use super::rule::{Moment, Outcome, Plan, Rule};
use super::script::Script;

impl Script {
    /// Begins a rule for the statements that match this pattern.
    ///
    /// A pattern is the complete text, in which `*` matches any text, even none: `INSERT INTO users
    /// *` is a prefix, `*users*` a part. A run of white space equals one space; letters are
    /// case-sensitive.
    pub fn on(&self, pattern: &str) -> When<'_, OnStatement> {
        When::new(self, Moment::statement(pattern))
    }

    /// Begins a rule for the beginning of transactions.
    pub fn on_begin(&self) -> When<'_, OnTransaction> {
        When::new(self, Moment::Begin)
    }

    /// Begins a rule for commits. An aborted transaction is rolled back instead.
    pub fn on_commit(&self) -> When<'_, OnTransaction> {
        When::new(self, Moment::Commit)
    }

    /// Begins a rule for rollbacks, by the component or of an aborted transaction at commit; not
    /// for dropped transactions.
    pub fn on_rollback(&self) -> When<'_, OnTransaction> {
        When::new(self, Moment::Rollback)
    }
}

/// A rule that has no result yet. Its last call sets the result and adds the rule.
#[derive(Debug)]
#[must_use = "a rule is added by its last call: end it with `rows`, `affected`, `ok`, `error`, \
    `hang` or `drop_connection`"]
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
    fn new(script: &'s Script, moment: Moment) -> Self {
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

    /// Applies at most this many times; after that the following rules apply.
    pub fn times(mut self, count: u64) -> Self {
        self.times = Some(count);
        self
    }

    /// Applies to the `n`-th match, counted from 1, and leaves the others to the following rules.
    /// Together with [`times`](Self::times): to so many matches from the `n`-th on.
    ///
    /// A statement that an earlier rule took does not count. `on("*").nth(3)` as the first rule is
    /// the third statement of all.
    pub fn nth(mut self, n: u64) -> Self {
        self.first = Some(n);
        self
    }

    /// Waits this long before the result. If the deadline is earlier, the result is a timeout.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Returns an error.
    ///
    /// In a transaction `Error::Refused` and `Error::Timeout` abort it, as in PostgreSQL;
    /// `Error::Unavailable` and `Error::InDoubt` mean that its connection is lost.
    pub fn error(self, error: Error) {
        self.finish(Outcome::Error(error));
    }

    /// Never returns a result, so that the deadline ends the call: a timeout, or in doubt at the
    /// COMMIT of a transaction that wrote.
    pub fn hang(self) {
        self.finish(Outcome::Hang);
    }

    /// Loses the connection.
    ///
    /// The result is `Error::InDoubt` for a single statement that may write, and for the COMMIT of
    /// a transaction that ran one. Otherwise nothing can have happened, and it is
    /// `Error::Unavailable`. The transaction is over.
    pub fn drop_connection(self) {
        self.finish(Outcome::Drop);
    }

    fn finish(self, outcome: Outcome) {
        let times = self
            .times
            .unwrap_or(if self.first.is_some() { 1 } else { u64::MAX });
        let plan = Plan {
            delay: self.delay,
            outcome,
        };
        self.script
            .add(Rule::new(self.moment, self.params, self.first, times, plan));
    }
}

impl When<'_, OnStatement> {
    /// Matches only with exactly these parameters. NaN equals NaN, and 0.0 does not equal -0.0.
    pub fn with_params(mut self, params: &[Value]) -> Self {
        self.params = Some(params.to_vec());
        self
    }

    /// Returns rows. An execution returns their number.
    ///
    /// # Panics
    /// If a row has more or fewer values than there are columns.
    #[track_caller]
    pub fn rows(
        self,
        columns: impl IntoIterator<Item = impl Into<String>>,
        rows: impl IntoIterator<Item = Row>,
    ) {
        let rows = result(columns, rows);
        self.finish(Outcome::Rows { rows, then: None });
    }

    /// Returns rows and then an error: a cursor returns the rows first, a query only the error.
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
        self.finish(Outcome::Rows {
            rows,
            then: Some(error),
        });
    }

    /// Returns the number of affected rows. A query returns no rows and no columns.
    pub fn affected(self, count: u64) {
        self.finish(Outcome::Affected(count));
    }
}

impl When<'_, OnTransaction> {
    /// Succeeds, which is useful after a [`delay`](Self::delay) or before another rule.
    pub fn ok(self) {
        self.finish(Outcome::Affected(0));
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
        let (number, values, expected) = (index + 1, row.len(), columns.len());
        assert!(
            values == expected,
            "row {number} has {values} values, and there are {expected} columns"
        );
    }
    Arc::new(Rows { columns, rows })
}
