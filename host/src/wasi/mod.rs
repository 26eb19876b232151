//! `wasi:cli`, `wasi:filesystem` and `wasi:sockets` for components of the usual tool chains, whose
//! language runtimes import them and are otherwise refused; `wasi:logging` and `wasi:config` for
//! those that ask for them.
//!
//! None of them reaches anything. What a component prints or logs becomes lines of the log.
//! Environment, arguments and standard input are empty, no directory leads to a file, and sockets
//! and names are denied; the implementation of these is wasmtime's, over a context that has
//! nothing. Of `wasi:config` a component has the values that the operator has set for it.
//!
//! | module | contents |
//! |---|---|
//! | `log_line` | lines of the log that a component writes, and their limit |
//! | [`logging`] | `wasi:logging` |
//! | `output` | what a component prints, as lines of the log |
//! | `values` | the values that an operator sets for a component |
//! | [`config`] | `wasi:config` |
//! | `overrides` | the time and the random numbers that a test chooses |
//! | `context` | the context of one instance |

pub(crate) mod config;
mod context;
mod log_line;
pub(crate) mod logging;
mod output;
mod overrides;
mod values;

pub(crate) use context::Context;
pub use overrides::{Clock, Overrides};
pub(crate) use values::masked;
pub use values::{NamedValue, Values, ValuesError};
