//! Replacements for SQLite's functions whose time grows with the product of their arguments.
//!
//! SQLite checks the time between the instructions of its virtual machine, and a function call is
//! one instruction: `instr` of 16 MB in 8 MB takes hours without a check. The replacements return
//! what SQLite's own functions return, take linear time where that is possible, and end at the
//! statement's deadline. The price of replacing `LIKE` and `GLOB`: `x LIKE 'a%'` uses no index, for
//! which SQLite needs its own function.
//!
//! | module | contents |
//! |---|---|
//! | `call` | the arguments, the clock and the result of one call |
//! | `characters` | texts as SQLite divides them into characters |
//! | `strings` | `instr`, `replace`, `trim`, `ltrim`, `rtrim`, `unhex` |
//! | `patterns` | `like`, `glob` |
//! | `register` | their registration on a connection |

mod call;
mod characters;
mod patterns;
mod register;
mod strings;

pub(super) use register::register;
