//! Usher from outside: its program, its HTTP, its test fixture, its databases.
//!
//! | module | what is shown |
//! |---|---|
//! | `contract` | every recorded case of the HTTP contract, on each database |
//! | `seed` | the three tests of the service this one replaces |
//! | `race` | what many clients do at once |
//! | `conformance` | `usher:database`, from inside the sandbox, on each database |
//! | `transactions` | a transaction is rolled back, however it is abandoned |
//! | `component` | what the component imports and exports, and that it builds to the same bytes |
//! | `startup` | the program: how it starts, what it says when it cannot, how it ends |
//! | `limits` | what a client may not do, and what it is told |
//! | `memory` | what a database of one's own costs |

mod component;
mod conformance;
mod contract;
mod databases;
mod limits;
mod memory;
mod race;
mod seed;
mod startup;
mod transactions;
