//! The rules of one test, and what was asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use usher::database::budget::Budget;
use usher::database::statement::Statement;
use usher::database::{Config, Database, SqlDialect, Statements, Url, Value, failure};

use super::fault::Fault;
use super::log::{Entry, Event};
use super::rule::{Answer, Plan, Rule};

/// What a test answers in place of a database, and what it was asked. Clones share both.
///
/// Rules are tried in the order in which they were given; the first that fits answers. So an exception stands before the rule,
/// and a rule that is used up ([`times`](super::When::times)) leaves the statement to the next. Begin, commit and rollback succeed
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

    /// Changes the SQL that the component is told to speak, on all clones. To be called before the application is started.
    #[must_use]
    pub fn speaks(self, dialect: SqlDialect) -> Self {
        self.state().dialect = dialect;
        self
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

    pub(super) fn add(&self, rule: Rule) {
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

    pub(super) fn note(&self, transaction: u64, event: Event) {
        self.state().log.push(Entry {
            transaction: Some(transaction),
            event,
        });
    }

    /// What the script has for one statement, once it is time for it.
    pub(super) async fn run(
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

    /// The number of a transaction that is to begin.
    pub(super) fn next_transaction(&self) -> u64 {
        let mut state = self.state();
        state.transactions += 1;
        state.transactions
    }

    pub(super) fn dialect(&self) -> SqlDialect {
        self.state().dialect
    }

    /// A database over it, for [`crate::app::Builder::open_database`]. Any statement may run that policy lets through.
    pub fn database(&self) -> Database {
        let mut config = Config::new(Url::memory());
        config.statements = Statements::Any;
        Database::with_backend(config, Arc::new(self.clone()))
    }
}
