//! A test's own answers in place of a database: rows, errors, delays and lost connections that a real one gives too rarely.
//!
//! A test says which statement gets which answer, runs the component, and looks at what was asked:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use usher::database::scripted::Script;
//! use usher::database::{Database, Error, Value};
//! use usher::testing::TestApp;
//!
//! let script = Script::new();
//! script
//!     .on("SELECT * FROM users WHERE id = $1")
//!     .with_params(&[Value::Integer(7)])
//!     .rows(["id", "name"], [vec![Value::Integer(7), Value::Text("Ann".into())]]);
//! // The first time the pool is full, the second time the connection is lost under the statement.
//! script.on("INSERT INTO users *").times(1).error(Error::Overloaded);
//! script.on("INSERT INTO users *").drop_connection();
//!
//! let database = Database::scripted(script.clone());
//! let app = TestApp::builder().open_database(database).no_migrate().start().await?;
//! let created = app.post("/users/", r#"{"name":"Ann","email":"ann@example.com"}"#).await?;
//! assert_eq!(created.status(), 503);
//! assert_eq!(script.log().len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! Policy, size limits and deadlines hold as over any database, since the script stands behind the same choke point. A script
//! knows no SQL: it neither counts parameters nor holds data. But a transaction goes the way PostgreSQL's does: a refusal or a
//! timeout aborts it, a lost connection ends it.
//!
//! | module | what lives there |
//! |---|---|
//! | `rule` | which statement gets which answer |
//! | `log` | what was asked |
//! | `transaction`, `cursor` | what outlives one call |

mod cursor;
mod log;
mod rule;
mod transaction;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use crate::bindings::usher::database::database::{Isolation, SqlDialect};
pub(crate) use cursor::ScriptedCursor;
pub use log::{Entry, Event};
pub use rule::{OnStatement, OnTransaction, When};
pub(crate) use transaction::ScriptedTransaction;

use super::backend::{Budget, Statement};
use super::{Error, Rows, Value, failure};
use rule::{Answer, Moment, Plan, Rule};

/// What a test answers in place of a database, and what it was asked. Clones share both.
///
/// Rules are tried in the order in which they were given; the first that fits answers. So an exception stands before the rule,
/// and a rule that is used up ([`times`](When::times)) leaves the statement to the next. Begin, commit and rollback succeed
/// unless a rule says otherwise; a statement without a rule is `Error::Invalid`, which shows the statement.
#[derive(Clone, Debug)]
pub struct Script(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    dialect: SqlDialect,
    rules: Vec<Rule>,
    log: Vec<Entry>,
    unmatched: Vec<String>,
    /// As many as were asked for, and so the number of the last.
    transactions: u64,
}

/// Why a statement has no result.
enum Fault {
    /// This was the answer.
    Said(Error),
    /// The connection was lost before one came.
    Lost,
    /// The deadline passed before one came.
    Late,
}

/// What a lost connection reads like.
const LOST: &str = "the script dropped the connection";

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Script {
    /// A script with no rules yet, which says that it speaks PostgreSQL's SQL.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            dialect: SqlDialect::Postgres,
            rules: Vec::new(),
            log: Vec::new(),
            unmatched: Vec::new(),
            transactions: 0,
        })))
    }

    /// Changes the SQL that the component is told to speak, on all clones. To be called before the component asks.
    #[must_use]
    pub fn speaks(self, dialect: SqlDialect) -> Self {
        self.state().dialect = dialect;
        self
    }

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

    /// What was asked so far, in order.
    pub fn log(&self) -> Vec<Entry> {
        self.state().log.clone()
    }

    /// The statements that had no answer, with their parameters, in order.
    pub fn unmatched(&self) -> Vec<String> {
        self.state().unmatched.clone()
    }

    /// The rules that never answered, in the order in which they were given.
    pub fn unused(&self) -> Vec<String> {
        let state = self.state();
        state
            .rules
            .iter()
            .filter(|rule| !rule.was_used())
            .map(ToString::to_string)
            .collect()
    }

    /// Checks that every statement had an answer, and that every rule gave one.
    ///
    /// # Panics
    /// Where that is not so, with a list of them.
    #[track_caller]
    pub fn assert_done(&self) {
        let (unmatched, unused) = (self.unmatched(), self.unused());
        assert!(
            unmatched.is_empty() && unused.is_empty(),
            "statements that had no answer: {unmatched:#?}\nrules that never answered: {unused:#?}"
        );
    }

    /// Never held while anything is awaited. Nothing in it is left half done by a panic, so a poisoned one is as good.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, rule: Rule) {
        self.state().rules.push(rule);
    }

    /// Notes what was asked, and gives what a rule has for it.
    fn ask(&self, entry: Entry) -> Option<Plan> {
        let mut state = self.state();
        let plan = state
            .rules
            .iter_mut()
            .find_map(|rule| rule.plan(&entry.event));
        if plan.is_none() && matches!(entry.event, Event::Statement { .. }) {
            state.unmatched.push(entry.event.to_string());
        }
        state.log.push(entry);
        plan
    }

    fn note(&self, transaction: u64, event: Event) {
        self.state().log.push(Entry {
            transaction: Some(transaction),
            event,
        });
    }

    /// What the script has for one statement, once it is time for it.
    async fn run(
        &self,
        transaction: Option<u64>,
        statement: &Statement,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Answer, Fault> {
        let event = Event::statement(statement, params);
        let shown = event.to_string();
        match self.ask(Entry { transaction, event }) {
            Some(plan) => plan.wait(budget).await,
            None => Err(Fault::Said(failure::invalid(format!(
                "the script has no answer for: {shown}"
            )))),
        }
    }

    /// As [`run`](Self::run), for a beginning or an end.
    async fn control(&self, transaction: u64, event: Event, budget: &Budget) -> Result<(), Fault> {
        match self.ask(Entry {
            transaction: Some(transaction),
            event,
        }) {
            Some(plan) => plan.wait(budget).await.map(drop),
            None => Ok(()),
        }
    }

    pub(crate) fn dialect(&self) -> SqlDialect {
        self.state().dialect
    }

    pub(crate) async fn query(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Rows, Error> {
        let answer = self.run(None, statement, params, budget).await;
        answer
            .map_err(|fault| fault.error(statement.writes))?
            .rows(budget)
    }

    pub(crate) async fn execute(
        &self,
        statement: &Arc<Statement>,
        params: &[Value],
        budget: &Budget,
    ) -> Result<u64, Error> {
        let answer = self.run(None, statement, params, budget).await;
        answer
            .map_err(|fault| fault.error(statement.writes))?
            .count()
    }

    pub(crate) async fn begin(
        &self,
        isolation: Isolation,
        read_only: bool,
        budget: &Budget,
    ) -> Result<ScriptedTransaction, Error> {
        let number = {
            let mut state = self.state();
            state.transactions += 1;
            state.transactions
        };
        match self
            .control(
                number,
                Event::Begin {
                    isolation,
                    read_only,
                },
                budget,
            )
            .await
        {
            Ok(()) => Ok(ScriptedTransaction::new(self.clone(), number)),
            Err(fault) => Err(fault.error(false)),
        }
    }

    pub(crate) async fn open(
        &self,
        statement: &Arc<Statement>,
        params: Vec<Value>,
        budget: &Budget,
    ) -> Result<ScriptedCursor, Error> {
        let answer = self.run(None, statement, &params, budget).await;
        Ok(ScriptedCursor::new(
            answer.map_err(|fault| fault.error(statement.writes))?,
        ))
    }
}

impl Fault {
    /// What it is to the caller, where `doubtful` says whether a lost connection leaves doubt. A deadline leaves none: what is
    /// late is cancelled.
    fn error(self, doubtful: bool) -> Error {
        match self {
            Self::Said(error) => error,
            Self::Lost => failure::lost(doubtful, LOST),
            Self::Late => Error::Timeout,
        }
    }
}
