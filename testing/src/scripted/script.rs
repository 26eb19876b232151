//! The rules of one test, and its log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use usher::database::budget::Budget;
use usher::database::statement::Statement;
use usher::database::{Config, Database, SqlDialect, Statements, Url, Value, failure};

use super::fault::Fault;
use super::log::{Entry, Event};
use super::rule::{Outcome, Plan, Rule};

/// A database that returns scripted results and logs each call. Clones share both.
///
/// The first rule that matches applies, in the order in which rules were added. So an exception
/// stands before the general rule, and a rule that is used up ([`times`](super::When::times))
/// leaves the statement to the next. Begin, commit and rollback succeed unless a rule matches; a
/// statement without a rule is `Error::Invalid`, which shows the statement.
#[derive(Clone, Debug)]
pub struct Script(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    dialect: SqlDialect,
    rules: Vec<Rule>,
    log: Vec<Entry>,
    unmatched: Vec<String>,
    /// The number of transactions so far, and so the number of the last.
    transactions: u64,
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Script {
    /// A script without rules, whose dialect is PostgreSQL.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            dialect: SqlDialect::Postgres,
            rules: Vec::new(),
            log: Vec::new(),
            unmatched: Vec::new(),
            transactions: 0,
        })))
    }

    /// Sets the dialect that the component gets, on all clones. Call it before the application is
    /// started.
    #[must_use]
    pub fn speaks(self, dialect: SqlDialect) -> Self {
        self.state().dialect = dialect;
        self
    }

    /// The calls so far, in order.
    pub fn log(&self) -> Vec<Entry> {
        self.state().log.clone()
    }

    /// The statements that no rule matched, with their parameters, in order.
    pub fn unmatched(&self) -> Vec<String> {
        self.state().unmatched.clone()
    }

    /// The rules that were never used, in the order in which they were added.
    pub fn unused(&self) -> Vec<String> {
        let state = self.state();
        state
            .rules
            .iter()
            .filter(|rule| !rule.was_used())
            .map(ToString::to_string)
            .collect()
    }

    /// Checks that every statement had a rule, and that every rule was used.
    ///
    /// # Panics
    /// If not, with a list of them.
    #[track_caller]
    pub fn assert_done(&self) {
        let (unmatched, unused) = (self.unmatched(), self.unused());
        assert!(
            unmatched.is_empty() && unused.is_empty(),
            "statements without a rule: {unmatched:#?}\nunused rules: {unused:#?}"
        );
    }

    /// Locks the state, never across an await. No panic leaves it half changed, so a poisoned lock
    /// is usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, rule: Rule) {
        self.state().rules.push(rule);
    }

    /// Logs a call, and returns the plan of the rule that applies.
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

    pub(super) fn note(&self, transaction: u64, event: Event) {
        self.state().log.push(Entry {
            transaction: Some(transaction),
            event,
        });
    }

    /// Returns the result of one statement after its delay.
    pub(super) async fn run(
        &self,
        transaction: Option<u64>,
        statement: &Statement,
        params: &[Value],
        budget: &Budget,
    ) -> Result<Outcome, Fault> {
        let event = Event::statement(statement, params);
        let shown = event.to_string();
        match self.ask(Entry { transaction, event }) {
            Some(plan) => plan.wait(budget).await,
            None => Err(Fault::Scripted(failure::invalid(format!(
                "the script has no rule for: {shown}"
            )))),
        }
    }

    /// As [`run`](Self::run), for the beginning or the end of a transaction.
    pub(super) async fn control(
        &self,
        transaction: u64,
        event: Event,
        budget: &Budget,
    ) -> Result<(), Fault> {
        match self.ask(Entry {
            transaction: Some(transaction),
            event,
        }) {
            Some(plan) => plan.wait(budget).await.map(drop),
            None => Ok(()),
        }
    }

    /// The number of the next transaction.
    pub(super) fn next_transaction(&self) -> u64 {
        let mut state = self.state();
        state.transactions += 1;
        state.transactions
    }

    pub(super) fn dialect(&self) -> SqlDialect {
        self.state().dialect
    }

    /// A database over this script, for [`crate::app::Builder::database`]. It runs any
    /// statement that the policy allows.
    pub fn database(&self) -> Database {
        let mut config = Config::new(Url::memory());
        config.statements = Statements::Any;
        Database::with_backend(config, Arc::new(self.clone()))
    }
}
