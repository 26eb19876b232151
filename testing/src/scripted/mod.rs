//! A test's own answers in place of a database: rows, errors, delays and lost connections that a real one gives too rarely.
//!
//! A test says which statement gets which answer, runs the component, and looks at what was asked:
//!
//! ```
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! use usher::database::{Error, Value};
//! use usher_testing::{Script, TestApp};
//!
//! let script = Script::new();
//! script
//!     .on("SELECT * FROM users WHERE id = $1")
//!     .with_params(&[Value::Integer(7)])
//!     .rows(["id", "name"], [vec![Value::Integer(7), Value::Text("Ann".into())]]);
//! // The first time the pool is full, the second time the connection is lost under the statement.
//! script.on("INSERT INTO users *").times(1).error(Error::Overloaded);
//! script.on("INSERT INTO users *").drop_connection();
//!
//! let app = TestApp::builder().open_database(script.database()).no_migrate().start().await?;
//! let created = app.post("/users/", r#"{"name":"Ann","email":"ann@example.com"}"#).await?;
//! assert_eq!(created.status(), 503);
//! assert_eq!(script.log().len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Policy, size limits and deadlines hold as over any database, since the script stands behind the same choke point. A script
//! knows no SQL: it neither counts parameters nor holds data. But a transaction goes the way PostgreSQL's does: a refusal or a
//! timeout aborts it, a lost connection ends it.
//!
//! | module | what lives there |
//! |---|---|
//! | [`log`] | what was asked |
//! | `fault`, `rule` | why a statement has no result; which statement gets which answer |
//! | [`script`] | the rules of one test, and what was asked |
//! | [`when`] | a rule in the making |
//! | `transaction`, `cursor` | what outlives one call |
//! | `backend` | the contract of a back end, kept |

mod backend;
mod cursor;
mod fault;
pub mod log;
mod rule;
pub mod script;
#[cfg(test)]
mod tests;
mod transaction;
pub mod when;

pub use log::{Entry, Event};
pub use script::Script;
pub use usher::database::{Isolation, SqlDialect};
pub use when::{OnStatement, OnTransaction, When};
