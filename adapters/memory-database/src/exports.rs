//! The functions of `usher:database`.

use std::cell::{Cell, RefCell};
use std::vec::IntoIter;

use crate::bindings::exports::usher::database::database::{
    Guest, GuestTransaction, Isolation, SqlDialect, Transaction as TransactionResource,
};
use crate::bindings::exports::usher::database::streaming::{
    Cursor as CursorResource, Guest as Streaming, GuestCursor,
};
use crate::database::budget::Meter;
use crate::database::config::MAX_TRANSACTIONS;
use crate::database::sqlite::connection::{Executed, Output};
use crate::database::sqlite::pool;
use crate::database::sqlite::transaction::Transaction;
use crate::database::types::{Error, Row, Rows, Value};
use crate::database::{failure, policy};

/// The exports.
pub(crate) struct Memory;

/// Runs a statement as its own transaction.
fn run(statement: &str, params: &[Value], output: Output) -> Result<Executed, Error> {
    let writes = policy::check(statement, params.len())?;
    pool::run(statement, params, output, writes)
}

impl Guest for Memory {
    type Transaction = HeldTransaction;

    fn dialect() -> SqlDialect {
        SqlDialect::Sqlite
    }

    fn query(statement: String, params: Vec<Value>) -> Result<Rows, Error> {
        run(&statement, &params, Output::Result).map(Executed::into_rows)
    }

    fn execute(statement: String, params: Vec<Value>) -> Result<u64, Error> {
        run(&statement, &params, Output::Count).map(|executed| executed.affected)
    }
}

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// One of the transactions and cursors that may exist at the same time.
struct Held;

impl Held {
    fn take() -> Result<Self, Error> {
        if HELD.get() >= MAX_TRANSACTIONS {
            return Err(failure::denied(format!(
                "an instance holds at most {MAX_TRANSACTIONS} transactions and cursors at the same \
                 time"
            )));
        }
        HELD.set(HELD.get() + 1);
        Ok(Self)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.set(HELD.get() - 1);
    }
}

/// A transaction of the component.
pub(crate) struct HeldTransaction {
    transaction: Transaction,
    _held: Held,
}

impl HeldTransaction {
    fn run(&self, statement: &str, params: &[Value], output: Output) -> Result<Executed, Error> {
        policy::check(statement, params.len())?;
        self.transaction.run(statement, params, output)
    }
}

impl GuestTransaction for HeldTransaction {
    // There is one writer, so every level is serializable.
    fn begin(_: Isolation, read_only: bool) -> Result<TransactionResource, Error> {
        let held = Held::take()?;
        Ok(TransactionResource::new(Self {
            transaction: Transaction::begin(read_only)?,
            _held: held,
        }))
    }

    fn query(&self, statement: String, params: Vec<Value>) -> Result<Rows, Error> {
        self.run(&statement, &params, Output::Result)
            .map(Executed::into_rows)
    }

    fn execute(&self, statement: String, params: Vec<Value>) -> Result<u64, Error> {
        self.run(&statement, &params, Output::Count)
            .map(|executed| executed.affected)
    }

    fn commit(this: TransactionResource) -> Result<(), Error> {
        this.into_inner::<Self>().transaction.commit()
    }

    fn rollback(this: TransactionResource) -> Result<(), Error> {
        drop(this.into_inner::<Self>());
        Ok(())
    }
}

impl Streaming for Memory {
    type Cursor = Cursor;
}

/// A result that was read when the cursor was opened, so that it shows one moment and no lock is
/// held. All of it is in memory, as the database is.
pub(crate) struct Cursor {
    columns: Vec<String>,
    rows: RefCell<IntoIter<(Row, usize)>>,
    _held: Held,
}

impl GuestCursor for Cursor {
    fn open(statement: String, params: Vec<Value>) -> Result<CursorResource, Error> {
        let held = Held::take()?;
        let executed = run(&statement, &params, Output::All)?;
        Ok(CursorResource::new(Self {
            columns: executed.columns,
            rows: RefCell::new(executed.rows.into_iter()),
            _held: held,
        }))
    }

    fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }

    fn next(&self, at_most: u32) -> Result<Vec<Row>, Error> {
        let mut rows = self.rows.borrow_mut();
        let mut meter = Meter::new();
        let mut batch = Vec::new();
        while batch.len() < at_most as usize {
            let Some((row, bytes)) = rows.as_slice().first() else {
                break;
            };
            if let Err(error) = meter.take(row.len(), *bytes) {
                if batch.is_empty() {
                    *rows = Vec::new().into_iter();
                    return Err(error);
                }
                break;
            }
            batch.extend(rows.next().map(|(row, _)| row));
        }
        Ok(batch)
    }
}
