//! The imports of `usher:database`: each call goes to the gate, and nothing is decided here.
//!
//! What the guest asks and what it gets is noted here on the request's tape, if it has one: below
//! the gate, calls that the gate refuses would be missing.

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use super::gate::{Cursor, Gate, Transaction};
use super::tape::{Operation, Outcome};
use super::types::{self, Error, Isolation, Row, Rows, SqlDialect, Value};

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    reason = "generated code, documented in wit/"
)]
mod generated {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "
            package usher:host;
            world capability {
                import usher:database/database@0.2.0;
                import usher:database/streaming@0.2.0;
            }
        ",
        world: "usher:host/capability",
        imports: { default: async | trappable },
        require_store_data_send: true,
        with: {
            "usher:database/types": crate::database::types,
            "usher:database/database.transaction": crate::database::gate::Transaction,
            "usher:database/streaming.cursor": crate::database::gate::Cursor,
        },
    });
}

use generated::usher::database::{database, streaming};

/// The database handle of an instance and the table of its resources.
#[derive(Debug)]
pub struct View<'a> {
    /// The instance's database handle.
    pub gate: &'a mut Gate,
    /// The instance's resources.
    pub table: &'a mut ResourceTable,
}

/// Adds the imports of `usher:database` to a linker.
///
/// # Errors
/// If the linker has them already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    struct Capability;

    impl HasData for Capability {
        type Data<'a> = View<'a>;
    }

    types::add_to_linker::<T, Capability>(linker, view)?;
    database::add_to_linker::<T, Capability>(linker, view)?;
    streaming::add_to_linker::<T, Capability>(linker, view)
}

/// A guest's result, or a trap if the guest violated the component model.
type Returned<T> = wasmtime::Result<Result<T, Error>>;

impl types::Host for View<'_> {}

impl database::Host for View<'_> {
    async fn dialect(&mut self) -> wasmtime::Result<SqlDialect> {
        Ok(self.gate.dialect())
    }

    async fn query(&mut self, statement: String, params: Vec<Value>) -> Returned<Rows> {
        let pending = self.gate.note(|| Operation::query(&statement, &params));
        let result = self.gate.query(statement, params).await;
        pending.end(|| Outcome::of(&result, Outcome::rows));
        Ok(result)
    }

    async fn execute(&mut self, statement: String, params: Vec<Value>) -> Returned<u64> {
        let pending = self.gate.note(|| Operation::execute(&statement, &params));
        let result = self.gate.execute(statement, params).await;
        pending.end(|| Outcome::of(&result, |count| Outcome::Affected(*count)));
        Ok(result)
    }
}

impl database::HostTransaction for View<'_> {
    async fn begin(
        &mut self,
        isolation: Isolation,
        read_only: bool,
    ) -> Returned<Resource<Transaction>> {
        let mut pending = self.gate.note(|| Operation::Begin {
            isolation,
            read_only,
        });
        let mut begun = self.gate.begin(isolation, read_only).await;
        if let Ok(transaction) = &mut begun {
            transaction.number = pending.begin_transaction();
        }
        pending.end(|| Outcome::of(&begun, |_| Outcome::Done));
        Ok(match begun {
            Ok(transaction) => Ok(self.table.push(transaction)?),
            Err(error) => Err(error),
        })
    }

    async fn query(
        &mut self,
        this: Resource<Transaction>,
        statement: String,
        params: Vec<Value>,
    ) -> Returned<Rows> {
        let transaction = self.table.get_mut(&this)?;
        let pending = self.gate.note(|| Operation::query(&statement, &params));
        let pending = pending.in_transaction(transaction.number);
        let result = self.gate.query_in(transaction, statement, params).await;
        pending.end(|| Outcome::of(&result, Outcome::rows));
        Ok(result)
    }

    async fn execute(
        &mut self,
        this: Resource<Transaction>,
        statement: String,
        params: Vec<Value>,
    ) -> Returned<u64> {
        let transaction = self.table.get_mut(&this)?;
        let pending = self.gate.note(|| Operation::execute(&statement, &params));
        let pending = pending.in_transaction(transaction.number);
        let result = self.gate.execute_in(transaction, statement, params).await;
        pending.end(|| Outcome::of(&result, |count| Outcome::Affected(*count)));
        Ok(result)
    }

    async fn commit(&mut self, this: Resource<Transaction>) -> Returned<()> {
        let transaction = self.table.delete(this)?;
        let pending = self.gate.note(|| Operation::Commit);
        let pending = pending.in_transaction(transaction.number);
        let result = self.gate.commit(transaction).await;
        pending.end(|| Outcome::of(&result, |()| Outcome::Done));
        Ok(result)
    }

    async fn rollback(&mut self, this: Resource<Transaction>) -> Returned<()> {
        let transaction = self.table.delete(this)?;
        let pending = self.gate.note(|| Operation::Rollback);
        let pending = pending.in_transaction(transaction.number);
        let result = self.gate.rollback(transaction).await;
        pending.end(|| Outcome::of(&result, |()| Outcome::Done));
        Ok(result)
    }

    async fn drop(&mut self, this: Resource<Transaction>) -> wasmtime::Result<()> {
        let transaction = self.table.delete(this)?;
        let pending = self.gate.note(|| Operation::Drop);
        (pending.in_transaction(transaction.number)).end(|| Outcome::Done);
        Ok(())
    }
}

impl streaming::Host for View<'_> {}

impl streaming::HostCursor for View<'_> {
    async fn open(&mut self, statement: String, params: Vec<Value>) -> Returned<Resource<Cursor>> {
        let mut pending = self.gate.note(|| Operation::open(&statement, &params));
        let mut opened = self.gate.open(statement, params).await;
        if let Ok(cursor) = &mut opened {
            cursor.number = pending.open_cursor();
        }
        pending.end(|| match &opened {
            Ok(cursor) => Outcome::Columns(cursor.columns()),
            Err(error) => Outcome::Failed(error.clone()),
        });
        Ok(match opened {
            Ok(cursor) => Ok(self.table.push(cursor)?),
            Err(error) => Err(error),
        })
    }

    async fn columns(&mut self, this: Resource<Cursor>) -> wasmtime::Result<Vec<String>> {
        Ok(self.table.get(&this)?.columns())
    }

    async fn next(&mut self, this: Resource<Cursor>, at_most: u32) -> Returned<Vec<Row>> {
        let cursor = self.table.get_mut(&this)?;
        let pending = self.gate.note(|| Operation::Next { at_most });
        let pending = pending.of_cursor(cursor.number);
        let rows = self.gate.next(cursor, at_most).await;
        pending.end(|| Outcome::of(&rows, |rows| Outcome::batch(cursor.width, rows)));
        Ok(rows)
    }

    async fn drop(&mut self, this: Resource<Cursor>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
