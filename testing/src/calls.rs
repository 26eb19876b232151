//! The log of a component's calls on its database, whatever database that is.
//!
//! Each call has its parameters, its outcome and its time, and belongs to the request during which
//! it was made. A test reads it with [`crate::TestApp::calls`]; a failed expectation prints the
//! calls of its request.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use usher::database::{Error, Refusal};

use crate::scripted::Event;
use crate::scripted::log::Parameters;

/// How many calls are kept; older ones are forgotten.
const KEPT: usize = 1000;

tokio::task_local! {
    /// The number of the request that this task sends.
    static REQUEST: u64;
}

/// One call of the component on its database.
///
/// It is printed as its statement, and below it the parameters, the outcome and the time.
#[derive(Clone, Debug)]
pub struct Call {
    /// The number of the request, counted from 1; none for calls outside of requests, such as
    /// migrations, and after the response of a streamed one.
    pub request: Option<u64>,
    /// The number of the transaction, counted from 1; none outside a transaction.
    pub transaction: Option<u64>,
    /// The call.
    pub event: Event,
    /// Whether it is a statement that may write.
    pub writes: bool,
    /// Its outcome.
    pub outcome: Outcome,
    /// Its duration; zero while it runs.
    pub took: Duration,
    /// Whether a test injected the outcome.
    pub injected: bool,
}

/// The outcome of a call.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It runs, or was given up before its result.
    Unfinished,
    /// It succeeded.
    Done,
    /// It returned this number of rows.
    Rows(usize),
    /// It affected this number of rows.
    Affected(u64),
    /// It failed.
    Failed(Error),
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = self.transaction {
            write!(f, "[{number}] ")?;
        }
        match &self.event {
            Event::Statement { text, params } => {
                // A statement of several lines would look like several.
                f.write_str(&text.split_whitespace().collect::<Vec<_>>().join(" "))?;
                if !params.is_empty() {
                    write!(f, "\n     {}", Parameters(params))?;
                }
            }
            event => event.fmt(f)?,
        }
        write!(f, "\n     {}", self.outcome)?;
        if self.injected {
            f.write_str(" (injected)")?;
        }
        match self.outcome {
            Outcome::Unfinished => Ok(()),
            _ => write!(f, ", {:.1} ms", self.took.as_secs_f64() * 1000.0),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        match self {
            Self::Unfinished => f.write_str("no result"),
            Self::Done => f.write_str("done"),
            Self::Rows(count) => write!(f, "{count} row{}", plural(*count as u64)),
            Self::Affected(count) => write!(f, "{count} row{} affected", plural(*count)),
            Self::Failed(error) => {
                write!(f, "{error}")?;
                if let Error::Refused(Refusal {
                    constraint: Some(constraint),
                    ..
                }) = error
                {
                    write!(f, ", constraint {constraint}")?;
                }
                Ok(())
            }
        }
    }
}

/// The calls of one application. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallLog(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    calls: VecDeque<Call>,
    /// How many calls were forgotten, which is the number of the oldest that is kept.
    forgotten: usize,
    requests: u64,
}

/// A call that runs. Dropped without an outcome it stays [`Outcome::Unfinished`].
#[derive(Debug)]
pub(crate) struct RunningCall {
    log: CallLog,
    number: usize,
    began: Instant,
}

impl CallLog {
    /// No panic leaves the state half changed, so a poisoned lock is usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a request, whose calls are logged under its number. Returns the number too.
    pub(crate) async fn request<T>(&self, work: impl Future<Output = T>) -> (u64, T) {
        let number = {
            let mut state = self.state();
            state.requests += 1;
            state.requests
        };
        (number, REQUEST.scope(number, work).await)
    }

    /// The number of the request that this task sends.
    pub(crate) fn current_request() -> Option<u64> {
        REQUEST.try_with(|number| *number).ok()
    }

    pub(crate) fn begin(
        &self,
        request: Option<u64>,
        transaction: Option<u64>,
        event: Event,
        writes: bool,
    ) -> RunningCall {
        let mut state = self.state();
        if state.calls.len() == KEPT {
            state.calls.pop_front();
            state.forgotten += 1;
        }
        state.calls.push_back(Call {
            request,
            transaction,
            event,
            writes,
            outcome: Outcome::Unfinished,
            took: Duration::ZERO,
            injected: false,
        });
        let number = state.forgotten + state.calls.len() - 1;
        drop(state);
        RunningCall {
            log: self.clone(),
            number,
            began: Instant::now(),
        }
    }

    pub(crate) fn all(&self) -> Vec<Call> {
        self.state().calls.iter().cloned().collect()
    }

    pub(crate) fn of_request(&self, number: u64) -> Vec<Call> {
        let state = self.state();
        let of_it = state
            .calls
            .iter()
            .filter(|call| call.request == Some(number));
        of_it.cloned().collect()
    }

    pub(crate) fn clear(&self) {
        let mut state = self.state();
        state.forgotten += state.calls.len();
        state.calls.clear();
    }
}

impl RunningCall {
    /// Records the outcome.
    pub(crate) fn end(self, outcome: Outcome, injected: bool) {
        let took = self.began.elapsed();
        let mut state = self.log.state();
        let index = self.number.checked_sub(state.forgotten);
        if let Some(call) = index.and_then(|index| state.calls.get_mut(index)) {
            (call.outcome, call.took, call.injected) = (outcome, took, injected);
        }
    }
}
