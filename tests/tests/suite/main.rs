//! Usher from outside: its program, its HTTP, its test fixture, its databases.
//!
//! | module | what is shown |
//! |---|---|
//! | `contract` | every recorded case of the HTTP contract, on each database |
//! | `seed` | the three tests of the service this one replaces |
//! | `crud`, `listing`, `preconditions` | users are written, listed in pages, guarded by tags, on each database |
//! | `lines` | everyone line by line, on each database |
//! | `volume` | lists of any length, and the memory they take |
//! | `typed` | the same users by typed calls, without HTTP |
//! | `race` | what many clients do at once |
//! | `conformance` | `usher:database`, from inside the sandbox, on each database |
//! | `transactions` | a transaction is rolled back, however it is abandoned |
//! | `component` | what the component imports and exports, and that it builds to the same bytes |
//! | `startup` | the program: how it starts, what it says when it cannot, how it ends |
//! | `outage` | the database is late, goes, and comes back |
//! | `limits` | what a client may not do, and what it is told |
//! | `overload` | more at once than there is room for, and clients that take their time |
//! | `memory` | what a database of one's own costs |

mod component;
mod conformance;
mod contract;
mod crud;
mod databases;
mod limits;
mod lines;
mod listing;
mod memory;
mod outage;
mod overload;
mod preconditions;
mod race;
mod seed;
mod service;
mod startup;
mod transactions;
mod typed;
mod volume;
