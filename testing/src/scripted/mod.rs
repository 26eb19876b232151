//! A scripted database: rows, errors, delays and lost connections that a real one returns too
//! rarely.
//!
//! A test adds rules for statements, runs the component, and reads the log:
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
//! // First the pool is full, then the connection is lost during the statement.
//! script.on("INSERT INTO users *").times(1).error(Error::Overloaded);
//! script.on("INSERT INTO users *").drop_connection();
//!
//! let app = TestApp::builder().database(script.database()).no_migrate().start().await?;
//! let ann = r#"{"name":"Ann","email":"ann@example.com"}"#;
//! let created = app.post("/users/").json_text(ann).await?;
//! assert_eq!(created.status(), 503);
//! assert_eq!(script.log().len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Policy, size limits and deadlines hold as with any database, because a script is behind the same
//! gate. A script does not parse SQL: it neither counts parameters nor holds data. A transaction
//! has the states of PostgreSQL: a refusal or a timeout aborts it, a lost connection ends it.
//!
//! | module | contents |
//! |---|---|
//! | [`log`] | the calls on a script |
//! | `fault`, `rule` | why a statement has no result; which statement gets which result |
//! | [`script`] | the rules of one test, and its log |
//! | [`when`] | builds a rule |
//! | `recorded` | a script of a recording |
//! | `transaction`, `cursor` | what outlives one call |
//! | `backend` | the traits of a back end |

mod backend;
mod cursor;
mod fault;
pub mod log;
mod recorded;
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
