//! Usher from outside: its program, its HTTP, its test fixture, its databases.
//!
//! | module | what is shown |
//! |---|---|
//! | `contract` | every recorded case of the HTTP contract, on each database |
//! | `seed` | the three tests of the service this one replaces |
//! | `crud`, `listing`, `preconditions` | users are written, listed in pages, guarded by tags, on each database |
//! | `lines` | everyone line by line, on each database |
//! | `files` | an SQLite file that is moved, replaced or removed under the program |
//! | `cut` | an answer that breaks off can be told from one that is complete |
//! | `slow` | clients that read slowly or not at all, over real TCP |
//! | `sockets` | what only real connections show |
//! | `sizes` | users of any size are listed |
//! | `volume` | lists of any length, and the memory they take |
//! | `typed` | the same users by typed calls, without HTTP |
//! | `race` | what many clients do at once |
//! | `groups` | writes that are committed together |
//! | `conformance` | `usher:database`, from inside the sandbox, on each database |
//! | `declared` | a component runs the statements that it declares, and no others |
//! | `attacks` | a hostile component on PostgreSQL, and what is left of it |
//! | `beside` | a hostile component with a usual load beside it, on the whole program |
//! | `options` | what the command line grants a component, and what operators see of it |
//! | `scripted` | the service over a test's own answers, faults and delays |
//! | `architecture` | imports between source files run one way, and the reading tables are whole |
//! | `documents` | links and paths in the documents lead somewhere |
//! | `guarantees` | every test that `docs/database.md` and `docs/security.md` name is there |
//! | `transactions` | a transaction is rolled back, however it is abandoned |
//! | `abandoned` | and so are thousands of them at once, under load |
//! | `component` | what the component imports and exports, and that it builds to the same bytes |
//! | `startup` | the program: how it starts, what it says when it cannot, how it ends |
//! | `outage` | the database is late, goes, refuses, and comes back |
//! | `session_state` | what stays in a session from one use to the next |
//! | `reach` | which PostgreSQL server, over which transport, by which spelling, and what is said where none can be reached |
//! | `sessions` | the server's sessions on PostgreSQL: TLS, name, number, life, and what ends their statements |
//! | `poolers` | the server behind a connection pooler |
//! | `readiness` | what operators are told of the database |
//! | `migrations` | the schema is brought up to date, or one line says why not |
//! | `adoption` | a table of users that another program has made is taken over, or left as it is |
//! | `limits` | what a client may not do, and what it is told |
//! | `cost` | what one request may cost the host, and the head of its answer |
//! | `faults` | what is said in the log of an answer 500 |
//! | `overload` | more at once than there is room for, and clients that take their time |
//! | `memory` | what a database of one's own costs |

mod abandoned;
mod adoption;
mod architecture;
mod attacks;
mod beside;
mod component;
mod conformance;
mod contract;
mod cost;
mod crud;
mod cut;
mod databases;
mod declared;
mod documents;
mod faults;
mod files;
mod groups;
mod guarantees;
mod limits;
mod lines;
mod listing;
mod memory;
mod migrations;
mod options;
mod outage;
mod overload;
mod poolers;
mod preconditions;
mod race;
mod reach;
mod readiness;
mod scripted;
mod seed;
mod service;
mod session_state;
mod sessions;
mod sizes;
mod slow;
mod sockets;
mod startup;
mod transactions;
mod typed;
mod volume;
