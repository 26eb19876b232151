//! A rule in the making.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use usher::database::{Error, Row, Rows, Value};

use super::rule::{Answer, Moment, Plan, Rule};
use super::script::Script;

impl Script {
    /// Begins a rule for the statements that this pattern fits.
    ///
    /// A pattern is the whole text, in which `*` stands for anything, nothing included: `INSERT INTO users *` begins so,
    /// `*users*` contains it. A run of white space is one space on both sides; upper and lower case differ.
    pub fn on(&self, pattern: &str) -> When<'_, OnStatement> {
        When::new(self, Moment::statement(pattern))
    }

    /// Begins a rule for transactions that begin.
    pub fn on_begin(&self) -> When<'_, OnTransaction> {
        When::new(self, Moment::Begin)
    }

    /// Begins a rule for transactions that are to be committed. One that was aborted before is rolled back instead.
    pub fn on_commit(&self) -> When<'_, OnTransaction> {
        When::new(self, Moment::Commit)
    }

    /// Begins a rule for transactions that are rolled back, by the component or as aborted ones at commit; not those dropped.
    pub fn on_rollback(&self) -> When<'_, OnTransaction> {
        When::new(self, Moment::Rollback)
    }
}

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
        let times = self
            .times
            .unwrap_or(if self.first.is_some() { 1 } else { u64::MAX });
        let plan = Plan {
            delay: self.delay,
            answer,
        };
        self.script
            .add(Rule::new(self.moment, self.params, self.first, times, plan));
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
