//! PostgreSQL.
//!
//! Modules stand in the order of their imports, from the ground up:
//!
//! | module | what lives there |
//! |---|---|
//! | `limits` | limits that several kinds of connections share |
//! | `values` | values to and from the wire format |
//! | `messages`, `traffic` | the protocol's messages as they pass, and what went over a session's stream |
//! | `guard` | no message larger than the limit gets into memory |
//! | `pooler`, `reach` | what a connection pooler says; whether the server can be reached, for the log |
//! | `outcome` | errors, as what is known of a statement's outcome |
//! | `cause` | why no connection could be made |
//! | `certificates`, `tls` | whether a server's certificate is to be trusted |
//! | `endpoint`, `dial` | one address of one server, and which of several |
//! | `cancel`, `sessions` | the request that has a statement cancelled; which sessions are open, and where |
//! | `silence` | servers that fall silent |
//! | `settings`, `renewal` | what every session begins with, and when a newer one replaces it |
//! | `link`, `connect` | a session that is set up, and how it is made |
//! | `pooling`, `role` | which kind of pooler there is, and what the role may do |
//! | `run`, `framed` | one prepared statement on one connection, alone or in a transaction of its own |
//! | `prepared` | the statements that one connection has prepared |
//! | `lanes` | single statements of many requests, pipelined over few connections |
//! | `exclusive` | connections of one's own: transactions, and statements known to be slow |
//! | `singles`, `groups` | a statement that is its own transaction; writes of many requests, committed together |
//! | `transaction`, `cursor` | a transaction; a result read bit by bit |
//! | `activity`, `readiness` | what a statement of migrations waits for; whether requests are served |
//! | `database` | a server that was reached, and the connections of one core |
//! | `backend` | the contract, kept |

mod activity;
mod backend;
mod cancel;
mod cause;
mod certificates;
mod connect;
mod cursor;
mod database;
mod dial;
mod endpoint;
mod exclusive;
mod framed;
mod groups;
mod guard;
mod lanes;
mod limits;
mod link;
mod messages;
mod outcome;
mod pooler;
mod pooling;
mod prepared;
mod reach;
mod readiness;
mod renewal;
mod role;
mod run;
mod sessions;
mod settings;
mod silence;
mod singles;
mod tls;
mod traffic;
mod transaction;
mod values;

pub(crate) use database::Database;
