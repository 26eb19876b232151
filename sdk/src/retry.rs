//! Retries after a serialization failure (SQLSTATE 40001) or a deadlock (40P01).
//!
//! The failed transaction had no effect, so that running it again repeats nothing, and the one it
//! conflicted with has made progress. A single statement is a transaction too: at read committed,
//! PostgreSQL's default, it waits for the other one and continues, but an operator may have set
//! `default_transaction_isolation` to a level at which it fails. So every statement of a request
//! should run through [`query`], and a group of statements through [`transaction`].
//!
//! No other error is retried: after [`Error::InDoubt`] the write may have taken effect, and an
//! overloaded database does not need more load.

use crate::database::{
    Database, Error, Param, Records, RefusalKind, Rows, Statements, Transaction as _,
};

/// The maximum number of attempts. Of this many concurrent writers of one row even the last one
/// succeeds. The request's deadline may end the attempts sooner.
pub const ATTEMPTS: u32 = 32;

/// Why a transaction failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed<E> {
    /// The database returned an error.
    Database(Error),
    /// The work in the transaction failed.
    Work(E),
}

impl<E> From<Error> for Failed<E> {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

/// Runs one statement outside a transaction and returns its rows.
///
/// # Errors
/// See [`Error`]; a serialization failure only after [`ATTEMPTS`] of them.
pub fn query(
    database: &impl Statements,
    statement: &str,
    params: &[Param<'_>],
) -> Result<Rows, Error> {
    retry(
        || database.query(statement, params),
        is_serialization_failure,
    )
}

/// As [`query`], for a result of many rows, whose texts are not copied.
///
/// # Errors
/// As [`query`].
pub fn query_records(
    database: &impl Statements,
    statement: &str,
    params: &[Param<'_>],
) -> Result<Records, Error> {
    retry(
        || database.query_records(statement, params),
        is_serialization_failure,
    )
}

/// Runs `work` in a transaction and commits it. A retry runs the work again, so it must have no
/// effects outside the transaction.
///
/// # Errors
/// When the work or the database fails; a serialization failure only after [`ATTEMPTS`] of them.
/// Only after [`Error::InDoubt`] may the transaction have taken effect.
pub fn transaction<D: Database, T, E>(
    database: &D,
    work: impl Fn(&D::Transaction) -> Result<T, Failed<E>>,
) -> Result<T, Failed<E>> {
    let once = || {
        let transaction = database.begin()?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    };
    retry(
        once,
        |failed| matches!(failed, Failed::Database(error) if is_serialization_failure(error)),
    )
}

/// Whether running the transaction again may succeed.
pub(crate) fn is_serialization_failure(error: &Error) -> bool {
    matches!(error, Error::Refused(refusal) if refusal.kind == RefusalKind::SerializationFailure)
}

/// Runs `once` again while its error is retryable, at most [`ATTEMPTS`] times.
pub(crate) fn retry<T, E>(
    once: impl Fn() -> Result<T, E>,
    is_retryable: impl Fn(&E) -> bool,
) -> Result<T, E> {
    for _ in 1..ATTEMPTS {
        match once() {
            Err(error) if is_retryable(&error) => {}
            outcome => return outcome,
        }
    }
    once()
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use super::{ATTEMPTS, Failed, query, transaction};
    use crate::database::{
        Cursor, Database, Dialect, Error, Param, Refusal, RefusalKind, Rows, Statements,
        Transaction,
    };

    fn refused(kind: RefusalKind, code: &str) -> Error {
        Error::Refused(Refusal {
            kind,
            code: code.into(),
            message: String::new(),
            constraint: None,
            column: None,
        })
    }

    fn conflict() -> Error {
        refused(RefusalKind::SerializationFailure, "40001")
    }

    /// A database that fails one kind of call this many times with this error, and logs all calls.
    #[derive(Clone)]
    struct Contended {
        at: &'static str,
        times: Rc<Cell<u32>>,
        error: Error,
        log: Rc<RefCell<Vec<&'static str>>>,
    }

    impl Contended {
        fn new(at: &'static str, times: u32, error: Error) -> Self {
            Self {
                at,
                times: Rc::new(Cell::new(times)),
                error,
                log: Rc::default(),
            }
        }

        fn call(&self, name: &'static str) -> Result<(), Error> {
            self.log.borrow_mut().push(name);
            if name != self.at || self.times.get() == 0 {
                return Ok(());
            }
            self.times.set(self.times.get() - 1);
            Err(self.error.clone())
        }

        fn count(&self, name: &str) -> usize {
            self.log
                .borrow()
                .iter()
                .filter(|call| **call == name)
                .count()
        }
    }

    impl Statements for Contended {
        fn query(&self, _: &str, _: &[Param<'_>]) -> Result<Rows, Error> {
            self.call("query").map(|()| Rows::new())
        }

        fn execute(&self, _: &str, _: &[Param<'_>]) -> Result<u64, Error> {
            self.call("execute").map(|()| 1)
        }
    }

    impl Database for Contended {
        type Transaction = Self;
        type Cursor = Self;

        fn dialect(&self) -> Dialect {
            Dialect::Postgres
        }

        fn begin(&self) -> Result<Self, Error> {
            self.call("begin").map(|()| self.clone())
        }

        fn open(&self, _: &str, _: &[Param<'_>]) -> Result<Self, Error> {
            self.call("open").map(|()| self.clone())
        }
    }

    impl Transaction for Contended {
        fn commit(self) -> Result<(), Error> {
            self.call("commit")
        }
    }

    impl Cursor for Contended {
        fn next(&mut self, _: u32) -> Result<Rows, Error> {
            self.call("next").map(|()| Rows::new())
        }
    }

    fn work(database: &Contended) -> Result<u64, Failed<&'static str>> {
        Ok(database.execute("", &[])?)
    }

    #[test]
    fn statement_with_serialization_failure_is_retried() {
        let database = Contended::new("query", 3, conflict());
        assert_eq!(query(&database, "", &[]), Ok(Rows::new()));
        assert_eq!(database.count("query"), 4);
    }

    #[test]
    fn statement_failing_every_attempt_returns_last_error() {
        let database = Contended::new("query", u32::MAX, conflict());
        assert_eq!(query(&database, "", &[]), Err(conflict()));
        assert_eq!(database.count("query"), ATTEMPTS as usize);
    }

    #[test]
    fn transaction_with_conflict_at_any_call_is_retried() {
        for at in ["begin", "execute", "commit"] {
            let database = Contended::new(at, 2, conflict());
            assert_eq!(transaction(&database, work), Ok(1), "conflict at {at}");
            assert_eq!(
                (database.count("begin"), database.count(at)),
                (3, 3),
                "conflict at {at}"
            );
            // Only the attempt that completed was committed.
            let log = database.log.borrow();
            assert!(log.ends_with(&["begin", "execute", "commit"]), "{log:?}");
        }
    }

    #[test]
    fn transaction_failing_every_attempt_returns_last_error() {
        let database = Contended::new("commit", u32::MAX, conflict());
        assert_eq!(
            transaction(&database, work),
            Err(Failed::Database(conflict()))
        );
        assert_eq!(database.count("commit"), ATTEMPTS as usize);
    }

    #[test]
    fn other_errors_are_not_retried() {
        let errors = [
            Error::InDoubt,
            Error::Timeout,
            Error::Overloaded,
            Error::Unavailable(String::new()),
            refused(RefusalKind::UniqueViolation, "23505"),
            refused(RefusalKind::Other, "42601"),
        ];
        for error in errors {
            let database = Contended::new("query", 1, error.clone());
            assert_eq!(query(&database, "", &[]), Err(error.clone()));
            let database = Contended::new("commit", 1, error.clone());
            assert_eq!(transaction(&database, work), Err(Failed::Database(error)));
            assert_eq!(database.count("begin"), 1);
        }
    }

    #[test]
    fn failed_work_is_neither_committed_nor_retried() {
        let database = Contended::new("", 0, conflict());
        let gave_up = transaction(&database, |_| Err::<(), _>(Failed::Work("enough")));
        assert_eq!(gave_up, Err(Failed::Work("enough")));
        assert_eq!(*database.log.borrow(), ["begin"]);
    }
}
