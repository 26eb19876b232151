//! Doing again what lost against somebody else.
//!
//! A database that isolates by snapshots refuses one of two transactions that would both have changed the same thing (SQLSTATE 40001),
//! and one of several that wait for each other in a circle (40P01). The refused one took no effect, so there is nothing to undo and
//! nothing done twice in beginning again; somebody else has come through meanwhile, so that it is getting somewhere.
//!
//! A statement on its own is a transaction too. At PostgreSQL's own level, read committed, it waits and goes on with what it finds; where
//! an operator has made the default another one (`default_transaction_isolation`), it is refused. So every statement on users is run
//! by [`query`], and whatever takes several by [`transaction`].
//!
//! Nothing else is tried again: what comes of [`Error::InDoubt`] may have been done, and what is overloaded is not helped by more.

use crate::database::{Database, Error, Param, RefusalKind, Rows, Statements, Transaction as _};

/// How often something is begun at the most: of so many that are all after the same row, the last one has come through. The request's
/// deadline may end it sooner.
pub const ATTEMPTS: u32 = 32;

/// Why a transaction was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed<E> {
    /// By the database.
    Database(Error),
    /// By what was to be done in it.
    Work(E),
}

impl<E> From<Error> for Failed<E> {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

/// Runs one statement on its own and gives its rows.
///
/// # Errors
/// As [`Error`] says; a serialization failure after [`ATTEMPTS`] of them.
pub fn query(
    database: &impl Statements,
    statement: &str,
    params: &[Param<'_>],
) -> Result<Rows, Error> {
    repeat(|| database.query(statement, params), lost)
}

/// Does `work` in a transaction and commits it. The work is done over where the transaction is, so it must do nothing else.
///
/// # Errors
/// As the work or the database fails; a serialization failure after [`ATTEMPTS`] of them. Only after [`Error::InDoubt`] may the
/// transaction have taken effect.
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
    repeat(
        once,
        |failed| matches!(failed, Failed::Database(error) if lost(error)),
    )
}

fn lost(error: &Error) -> bool {
    matches!(error, Error::Refused(refusal) if refusal.kind == RefusalKind::SerializationFailure)
}

fn repeat<T, E>(once: impl Fn() -> Result<T, E>, lost: impl Fn(&E) -> bool) -> Result<T, E> {
    for _ in 1..ATTEMPTS {
        match once() {
            Err(error) if lost(&error) => {}
            ended => return ended,
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
        })
    }

    fn lost() -> Error {
        refused(RefusalKind::SerializationFailure, "40001")
    }

    /// A database that fails at one kind of call so many times, with this error, and keeps a record of all of them.
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
    fn a_statement_that_lost_is_run_again() {
        let database = Contended::new("query", 3, lost());
        assert_eq!(query(&database, "", &[]), Ok(Rows::new()));
        assert_eq!(database.count("query"), 4);
    }

    #[test]
    fn who_always_loses_is_told_so_in_the_end() {
        let database = Contended::new("query", u32::MAX, lost());
        assert_eq!(query(&database, "", &[]), Err(lost()));
        assert_eq!(database.count("query"), ATTEMPTS as usize);
    }

    #[test]
    fn a_transaction_that_lost_is_begun_again_wherever_it_lost() {
        for at in ["begin", "execute", "commit"] {
            let database = Contended::new(at, 2, lost());
            assert_eq!(transaction(&database, work), Ok(1), "lost at {at}");
            assert_eq!(
                (database.count("begin"), database.count(at)),
                (3, 3),
                "lost at {at}"
            );
            // Only what was done to the end was committed.
            let log = database.log.borrow();
            assert!(log.ends_with(&["begin", "execute", "commit"]), "{log:?}");
        }
    }

    #[test]
    fn a_transaction_that_always_loses_is_given_up() {
        let database = Contended::new("commit", u32::MAX, lost());
        assert_eq!(transaction(&database, work), Err(Failed::Database(lost())));
        assert_eq!(database.count("commit"), ATTEMPTS as usize);
    }

    #[test]
    fn nothing_else_is_tried_again() {
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
    fn what_the_work_itself_gives_up_is_neither_committed_nor_tried_again() {
        let database = Contended::new("", 0, lost());
        let gave_up = transaction(&database, |_| Err::<(), _>(Failed::Work("enough")));
        assert_eq!(gave_up, Err(Failed::Work("enough")));
        assert_eq!(*database.log.borrow(), ["begin"]);
    }
}
