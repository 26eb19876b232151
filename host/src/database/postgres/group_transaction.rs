//! The transaction of one group: `BEGIN`, the statements of many requests, `COMMIT`, in one write.
//!
//! Its outcome is one of three: each write has its own result, all are rolled back, or the
//! connection was lost and the outcome is unknown.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::connect::Connector;
use super::limits::RESET_INTERVAL;
use super::outcome::Failure;
use super::run::Prepared;
use super::session::{ConnectionKind, Session};
use super::statement_cache::StatementCache;
use super::transaction_block::send_command;
use crate::database::statement::Statement;
use crate::database::types::Error;

/// One statement of a group, or its `BEGIN` or `COMMIT`.
pub(super) type Step<'a> = Pin<Box<dyn Future<Output = StepOutcome> + Send + 'a>>;

/// A write that can run in a group.
pub(super) trait GroupedWrite: Send {
    fn statement(&self) -> &Arc<Statement>;
    fn deadline(&self) -> Instant;
    /// Sends the statement when first polled, and stores its result.
    fn run<'a>(&'a mut self, client: &'a Client, prepared: &'a Prepared) -> Step<'a>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepOutcome {
    /// The server ran the statement or never received it. The stored result is valid once the
    /// group is committed.
    Done,
    /// The server refused the statement, and so rolled back the group.
    Refused,
    /// The connection was lost before the response.
    Lost,
}

impl StepOutcome {
    pub(super) fn of(result: Result<(), Failure>) -> Self {
        match result {
            Err(failure) if !failure.answered => Self::Lost,
            // A cancelled statement is a refused one.
            Err(failure) if matches!(failure.error, Error::Refused(_) | Error::Timeout) => {
                Self::Refused
            }
            // The host could not convert a parameter or a result; the server saw no error.
            Err(_) | Ok(()) => Self::Done,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupOutcome {
    /// Each write has its own result.
    Known,
    RolledBack,
    Unknown,
}

impl GroupOutcome {
    /// The outcome for these outcomes of `BEGIN`, and of the statements and `COMMIT`.
    fn of(begin: StepOutcome, rest: &[StepOutcome]) -> Self {
        if begin == StepOutcome::Refused {
            // Without a transaction each statement was one of its own.
            Self::Known
        } else if rest.contains(&StepOutcome::Refused) {
            // Also if a later response was lost: PostgreSQL never commits after a refusal.
            Self::RolledBack
        } else if rest.contains(&StepOutcome::Lost) {
            Self::Unknown
        } else {
            Self::Known
        }
    }
}

/// A connection on which groups run.
pub(super) struct GroupConnection {
    pub(super) session: Session,
    cache: StatementCache,
    /// When the session was last reset; `None` if the last reset failed.
    reset_at: Option<Instant>,
}

impl GroupConnection {
    pub(super) async fn open(connector: &Connector) -> Result<Self, Error> {
        let session = connector
            .connect(ConnectionKind::Shared)
            .await
            .map_err(|error| error.guest_error())?;
        Ok(Self {
            reset_at: Some(session.opened_at()),
            session,
            cache: StatementCache::default(),
        })
    }

    pub(super) fn is_usable(&self, connector: &Connector, lifetime: Duration) -> bool {
        self.reset_at.is_some()
            && self.session.is_intact()
            && !connector.is_outdated(&self.session)
            && self.session.opened_at().elapsed() < lifetime
    }

    /// Runs the statements of a group and commits them together.
    pub(super) async fn commit<M>(&mut self, members: &mut [Box<M>]) -> GroupOutcome
    where
        M: GroupedWrite + ?Sized,
    {
        let Some(deadline) = members.iter().map(|member| member.deadline()).max() else {
            return GroupOutcome::Known;
        };
        match tokio::time::timeout_at(deadline.into(), self.attempt(members)).await {
            Ok(outcome) => outcome,
            Err(_) => GroupOutcome::Unknown,
        }
    }

    async fn attempt<M>(&mut self, members: &mut [Box<M>]) -> GroupOutcome
    where
        M: GroupedWrite + ?Sized,
    {
        let session = &self.session;
        let statements: Vec<_> = members
            .iter()
            .map(|member| Arc::clone(member.statement()))
            .collect();
        let mut prepared = Vec::with_capacity(members.len());
        for statement in &statements {
            match self.cache.prepare(session, statement, false).await {
                Ok(statement) => prepared.push(statement),
                // The write returns the error when it runs alone.
                Err(_) => return GroupOutcome::RolledBack,
            }
        }
        let mut steps: Vec<Step<'_>> = Vec::with_capacity(members.len() + 2);
        let begin = &session.commands().begin_group;
        steps.push(Box::pin(async {
            StepOutcome::of(send_command(session, begin, true).await)
        }));
        for (member, prepared) in members.iter_mut().zip(&prepared) {
            steps.push(member.run(session, prepared));
        }
        steps.push(Box::pin(async {
            match send_command(session, "COMMIT", true).await {
                // Cancelled, before or after the commit.
                Err(failure) if matches!(failure.error, Error::Timeout) => StepOutcome::Lost,
                result => StepOutcome::of(result),
            }
        }));
        let now = Instant::now();
        let is_clean = self
            .reset_at
            .is_some_and(|at| now.saturating_duration_since(at) < RESET_INTERVAL);
        // `join` polls the reset first, so that it is sent ahead of the group.
        let reset = async { is_clean || session.reset().await };
        let (is_reset, done) = futures_util::future::join(reset, run_in_order(steps)).await;
        if !is_clean {
            self.reset_at = is_reset.then_some(now);
        }
        record_times(&statements, &done);
        let outcomes: Vec<_> = done.into_iter().map(|(outcome, _)| outcome).collect();
        let Some((of_begin, others)) = outcomes.split_first() else {
            return GroupOutcome::Known;
        };
        let outcome = GroupOutcome::of(*of_begin, others);
        if outcome == GroupOutcome::RolledBack {
            // One cause of a refusal is a plan that the schema has outdated.
            for statement in &statements {
                self.cache.forget(statement);
            }
        }
        outcome
    }
}

/// Records how long each statement took: the time since the response before it.
fn record_times(statements: &[Arc<Statement>], done: &[(StepOutcome, Instant)]) {
    for (statement, pair) in statements.iter().zip(done.windows(2)) {
        if let [(_, before), (_, after)] = pair
            && let Some(took) = after.checked_duration_since(*before)
        {
            statement.took(took);
        }
    }
}

/// Runs the steps, and returns the outcome and the end of each.
///
/// The first poll of a step sends its statement. All steps are polled at once and in order, so no
/// other statement gets between them.
async fn run_in_order(mut steps: Vec<Step<'_>>) -> Vec<(StepOutcome, Instant)> {
    let mut done = vec![None; steps.len()];
    poll_fn(|context| {
        let mut is_pending = false;
        for (step, done) in steps
            .iter_mut()
            .zip(&mut done)
            .filter(|(_, done)| done.is_none())
        {
            match step.as_mut().poll(context) {
                Poll::Ready(outcome) => *done = Some((outcome, Instant::now())),
                Poll::Pending => is_pending = true,
            }
        }
        if is_pending {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::GroupOutcome::{Known, RolledBack, Unknown};
    use super::StepOutcome::{Done, Lost, Refused};
    use super::*;

    #[test]
    fn group_outcome_follows_from_begin_statements_and_commit() {
        for (begin, rest, outcome) in [
            (Done, vec![Done, Done, Done], Known),
            (Done, vec![Done, Refused, Refused, Done], RolledBack),
            (Done, vec![Done, Done, Refused], RolledBack),
            (Done, vec![Refused, Lost, Lost], RolledBack),
            (Done, vec![Done, Done, Lost], Unknown),
            (Lost, vec![Lost, Lost, Lost], Unknown),
            (Refused, vec![Done, Refused, Done], Known),
        ] {
            assert_eq!(
                GroupOutcome::of(begin, &rest),
                outcome,
                "{begin:?} {rest:?}"
            );
        }
    }
}
