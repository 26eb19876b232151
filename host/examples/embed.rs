//! Embeds the component in a program without HTTP and without Usher's host: wasmtime, and a
//! database of sixty lines.
//!
//! ```text
//! cargo run --example embed
//! ```
//!
//! The component gets only the `Database` below. Every other import traps.

use rusqlite::types::{Value as Sql, ValueRef};
use wasmtime::component::{Component, HasSelf, Linker, Resource};
use wasmtime::{Config, Engine, Store};

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    reason = "generated code, documented in wit/"
)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "
            package usher:example;
            world embedding {
                import usher:database/database@0.2.0;
                export usher:users/users@0.2.0;
                export usher:service/migrations@0.2.0;
            }
        ",
        world: "usher:example/embedding",
    });
}

use bindings::Embedding;
use bindings::exports::usher::users::users::{Changes, Error as UsersError, NewUser, Page};
use bindings::usher::database::database::{
    Host, HostTransaction, Isolation, SqlDialect, Transaction,
};
use bindings::usher::database::types::{self, Error, Refusal, RefusalKind, Rows, Value};

/// The database: one SQLite connection with one user at a time.
struct Database(rusqlite::Connection);

impl Database {
    fn run(&self, statement: &str, params: &[Value]) -> Result<(Rows, u64), Error> {
        let mut statement = self.0.prepare_cached(statement).map_err(refused)?;
        for index in 1..=statement.parameter_count() {
            // `$2` is the second parameter wherever it is; SQLite numbers them by first occurrence.
            let name = statement
                .parameter_name(index)
                .and_then(|name| name.strip_prefix('$'));
            let number = name.and_then(|digits| digits.parse::<usize>().ok());
            let value = number.and_then(|number| params.get(number.checked_sub(1)?));
            let value =
                match value.ok_or_else(|| Error::Invalid("a parameter is missing".into()))? {
                    Value::Null => Sql::Null,
                    Value::Boolean(value) => Sql::Integer((*value).into()),
                    Value::Integer(value) | Value::Timestamp(value) => Sql::Integer(*value),
                    Value::Real(value) => Sql::Real(*value),
                    Value::Text(text) | Value::Decimal(text) | Value::Json(text) => {
                        Sql::Text(text.clone())
                    }
                    Value::Bytes(bytes) => Sql::Blob(bytes.clone()),
                    Value::Uuid((high, low)) => {
                        Sql::Blob([high.to_be_bytes(), low.to_be_bytes()].concat())
                    }
                };
            statement
                .raw_bind_parameter(index, value)
                .map_err(refused)?;
        }
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let (width, mut rows) = (columns.len(), Vec::new());
        let mut found = statement.raw_query();
        while let Some(row) = found.next().map_err(refused)? {
            let value = |index| {
                Ok(match row.get_ref(index).map_err(refused)? {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(value) => Value::Integer(value),
                    ValueRef::Real(value) => Value::Real(value),
                    ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                    ValueRef::Blob(bytes) => Value::Bytes(bytes.to_owned()),
                })
            };
            rows.push((0..width).map(value).collect::<Result<Vec<_>, Error>>()?);
        }
        let affected = self.0.changes().max(rows.len() as u64);
        Ok((Rows { columns, rows }, affected))
    }

    fn control(&self, statement: &str) -> Result<(), Error> {
        self.0.execute_batch(statement).map_err(refused)
    }
}

/// SQLite reports the column, `users.email`; the service expects PostgreSQL's constraint name,
/// `users_email_key`.
#[allow(
    clippy::needless_pass_by_value,
    reason = "the signature that `map_err` needs"
)]
fn refused(error: rusqlite::Error) -> Error {
    let message = error.to_string();
    let unique = message.strip_prefix("UNIQUE constraint failed: ");
    Error::Refused(Refusal {
        kind: if unique.is_some() {
            RefusalKind::UniqueViolation
        } else {
            RefusalKind::Other
        },
        code: if unique.is_some() { "23505" } else { "XX000" }.into(),
        constraint: unique.map(|column| format!("{}_key", column.replace('.', "_"))),
        column: None,
        message,
    })
}

impl types::Host for Database {}

impl Host for Database {
    fn dialect(&mut self) -> SqlDialect {
        SqlDialect::Sqlite
    }
    fn query(&mut self, statement: String, params: Vec<Value>) -> Result<Rows, Error> {
        self.run(&statement, &params).map(|(rows, _)| rows)
    }
    fn execute(&mut self, statement: String, params: Vec<Value>) -> Result<u64, Error> {
        self.run(&statement, &params).map(|(_, affected)| affected)
    }
}

impl HostTransaction for Database {
    fn begin(&mut self, _: Isolation, _: bool) -> Result<Resource<Transaction>, Error> {
        self.control("BEGIN IMMEDIATE")
            .map(|()| Resource::new_own(0))
    }
    fn query(
        &mut self,
        _: Resource<Transaction>,
        statement: String,
        params: Vec<Value>,
    ) -> Result<Rows, Error> {
        Host::query(self, statement, params)
    }
    fn execute(
        &mut self,
        _: Resource<Transaction>,
        statement: String,
        params: Vec<Value>,
    ) -> Result<u64, Error> {
        Host::execute(self, statement, params)
    }
    fn commit(&mut self, _: Resource<Transaction>) -> Result<(), Error> {
        self.control("COMMIT")
    }
    fn rollback(&mut self, _: Resource<Transaction>) -> Result<(), Error> {
        self.control("ROLLBACK")
    }
    fn drop(&mut self, _: Resource<Transaction>) -> wasmtime::Result<()> {
        // `commit` and `rollback` consume the transaction, so this one is still open.
        if !self.0.is_autocommit() {
            self.0.execute_batch("ROLLBACK")?;
        }
        Ok(())
    }
}

/// Creates, changes, lists, deletes and reads users, and returns the outcomes as text.
fn tour() -> wasmtime::Result<Vec<String>> {
    let engine = Engine::new(Config::new().concurrency_support(false))?;
    let component = Component::new(&engine, usher::sandbox::USERS_WASM)?;
    let mut linker = Linker::new(&engine);
    bindings::usher::database::types::add_to_linker::<_, HasSelf<Database>>(
        &mut linker,
        |state| state,
    )?;
    bindings::usher::database::database::add_to_linker::<_, HasSelf<Database>>(
        &mut linker,
        |state| state,
    )?;
    linker.define_unknown_imports_as_traps(&component)?;
    let mut store = Store::new(&engine, Database(rusqlite::Connection::open_in_memory()?));
    let service = Embedding::instantiate(&mut store, &component, &linker)?;

    let mut outcomes = Vec::new();
    let applied = service.usher_service_migrations().call_apply(&mut store)?;
    outcomes.push(format!(
        "{} migration applied",
        applied.map_or(0, |applied| applied.len())
    ));
    let users = service.usher_users_users();
    let ada = NewUser {
        name: "Ada".into(),
        email: "ada@Example.org".into(),
    };
    let stored = users.call_create(&mut store, &ada)?;
    let Ok(stored) = stored else {
        wasmtime::bail!("a first user is stored, not {stored:?}")
    };
    outcomes.push(format!(
        "{} is user {}, at {}",
        stored.name, stored.id, stored.email
    ));
    if let Err(UsersError::EmailTaken) = users.call_create(&mut store, &ada)? {
        outcomes.push("nobody else can have that address".into());
    }
    let name = Changes {
        name: Some("Ada Lovelace".into()),
        email: None,
    };
    if let Ok(changed) = users.call_change(&mut store, stored.id, &name, Some(stored.version))? {
        outcomes.push(format!("now called {}", changed.name));
    }
    if let Err(UsersError::Stale) =
        users.call_change(&mut store, stored.id, &name, Some(stored.version))?
    {
        outcomes.push("a change of what has changed since is refused".into());
    }
    let page = Page {
        limit: 10,
        after: 0,
        email: None,
    };
    if let Ok(page) = users.call_list(&mut store, &page)? {
        outcomes.push(format!("{} user in all", page.users.len()));
    }
    if let Ok(()) = users.call_delete(&mut store, stored.id, None)? {
        outcomes.push("deleted".into());
    }
    if let Err(UsersError::NotFound) = users.call_get(&mut store, stored.id)? {
        outcomes.push("and not found any more".into());
    }
    Ok(outcomes)
}

#[allow(clippy::print_stdout, reason = "an example is read at a terminal")]
fn main() -> wasmtime::Result<()> {
    for line in tour()? {
        println!("{line}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn component_embedded_without_host_serves_all_calls() {
        let outcomes = super::tour().expect("a tour to its end");
        assert_eq!(outcomes.len(), 8, "{outcomes:?}");
        assert_eq!(outcomes[1], "Ada is user 1, at ada@example.org");
    }
}
