//! `usher:database` as Rust, and its calls handed to the gate: nothing is decided here.

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use super::gate::{Cursor, Session, Transaction};
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

/// A session together with the table in which the instance's resources are.
#[derive(Debug)]
pub struct View<'a> {
    /// The instance's way to its database.
    pub session: &'a mut Session,
    /// The instance's resources.
    pub table: &'a mut ResourceTable,
}

/// Gives components the imports of `usher:database`.
///
/// # Errors
/// Where the linker has them already.
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

/// What a guest is given, or a trap where it did what the component model forbids.
type Returned<T> = wasmtime::Result<Result<T, Error>>;

impl types::Host for View<'_> {}

impl database::Host for View<'_> {
    async fn dialect(&mut self) -> wasmtime::Result<SqlDialect> {
        Ok(self.session.dialect())
    }

    async fn query(&mut self, statement: String, params: Vec<Value>) -> Returned<Rows> {
        Ok(self.session.query(statement, params).await)
    }

    async fn execute(&mut self, statement: String, params: Vec<Value>) -> Returned<u64> {
        Ok(self.session.execute(statement, params).await)
    }
}

impl database::HostTransaction for View<'_> {
    async fn begin(
        &mut self,
        isolation: Isolation,
        read_only: bool,
    ) -> Returned<Resource<Transaction>> {
        Ok(match self.session.begin(isolation, read_only).await {
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
        Ok(self.session.query_in(transaction, statement, params).await)
    }

    async fn execute(
        &mut self,
        this: Resource<Transaction>,
        statement: String,
        params: Vec<Value>,
    ) -> Returned<u64> {
        let transaction = self.table.get_mut(&this)?;
        Ok(self
            .session
            .execute_in(transaction, statement, params)
            .await)
    }

    async fn commit(&mut self, this: Resource<Transaction>) -> Returned<()> {
        let transaction = self.table.delete(this)?;
        Ok(self.session.commit(transaction).await)
    }

    async fn rollback(&mut self, this: Resource<Transaction>) -> Returned<()> {
        let transaction = self.table.delete(this)?;
        Ok(self.session.rollback(transaction).await)
    }

    async fn drop(&mut self, this: Resource<Transaction>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl streaming::Host for View<'_> {}

impl streaming::HostCursor for View<'_> {
    async fn open(&mut self, statement: String, params: Vec<Value>) -> Returned<Resource<Cursor>> {
        Ok(match self.session.open(statement, params).await {
            Ok(cursor) => Ok(self.table.push(cursor)?),
            Err(error) => Err(error),
        })
    }

    async fn columns(&mut self, this: Resource<Cursor>) -> wasmtime::Result<Vec<String>> {
        Ok(self.table.get(&this)?.columns())
    }

    async fn next(&mut self, this: Resource<Cursor>, at_most: u32) -> Returned<Vec<Row>> {
        let cursor = self.table.get_mut(&this)?;
        Ok(self.session.next(cursor, at_most).await)
    }

    async fn drop(&mut self, this: Resource<Cursor>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
