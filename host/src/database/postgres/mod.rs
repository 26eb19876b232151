//! The PostgreSQL back end.
//!
//! Every statement runs on a session that has the requested settings, and returns what is known
//! about its outcome. Modules are listed in the order of their imports, from the lowest:
//!
//! | module | content |
//! |---|---|
//! | `limits` | limits that several kinds of connections share |
//! | `values` | values to and from the wire format |
//! | `messages`, `traffic` | follows the protocol's messages; counts what a connection transfers |
//! | `guard` | keeps messages over the limit out of memory |
//! | `pooler_errors` | errors of a connection pooler |
//! | `availability` | logs whether the database is available |
//! | `outcome` | what an error means for a statement's outcome |
//! | `connect_error` | why no session could be opened |
//! | `certificates`, `tls` | verifies a server's certificate; the configuration of TLS |
//! | `endpoint`, `dial` | starts a session at one address; finds a server among several |
//! | `cancel`, `session_registry` | cancel requests; the open sessions and their servers |
//! | `unresponsive` | closes sessions of servers that stop responding |
//! | `settings`, `failover` | a session's settings; which connections lead to a read-only server |
//! | `session`, `connect` | a session that was set up; opens connections |
//! | `pooler_detection`, `role` | detects a pooler; warns about privileges |
//! | `run`, `transaction_block` | runs a statement, alone or in a transaction block of its own |
//! | `statement_cache` | the statements that a connection has prepared |
//! | `opener` | opens further connections in the background |
//! | `shared_connection`, `shared` | a connection that pipelines statements; the pool of these |
//! | `dedicated_connection`, `dedicated` | a connection for one transaction; the pool of these |
//! | `single_statement` | runs a statement outside any transaction of the component |
//! | `group_transaction`, `group_commit` | a transaction of many writes; which writes share one |
//! | `transaction`, `cursor` | a transaction; a result that is read in batches |
//! | `activity`, `readiness` | what a migration waits for; whether requests can be served |
//! | `database` | an open database, and the connections of one core |
//! | `backend` | implements the back end contract |

mod activity;
mod availability;
mod backend;
mod cancel;
mod certificates;
mod connect;
mod connect_error;
mod cursor;
mod database;
mod dedicated;
mod dedicated_connection;
mod dial;
mod endpoint;
mod failover;
mod group_commit;
mod group_transaction;
mod guard;
mod limits;
mod messages;
mod opener;
mod outcome;
mod pooler_detection;
mod pooler_errors;
mod readiness;
mod role;
mod run;
mod session;
mod session_registry;
mod settings;
mod shared;
mod shared_connection;
mod single_statement;
mod statement_cache;
mod tls;
mod traffic;
mod transaction;
mod transaction_block;
mod unresponsive;
mod values;

pub(crate) use database::Database;
