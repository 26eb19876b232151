//! `wasi:cli`, `wasi:filesystem` and `wasi:sockets` for components of the usual tool chains, whose
//! language runtimes import them and are otherwise refused, and `wasi:logging` for those that ask
//! for it.
//!
//! None of them reaches anything. What a component prints or logs becomes lines of the log.
//! Environment, arguments and standard input are empty, no directory leads to a file, and sockets
//! and names are denied. The implementation of the first three is wasmtime's, over a context that
//! has nothing.
//!
//! | module | contents |
//! |---|---|
//! | `log_line` | lines of the log that a component writes, and their limit |
//! | [`logging`] | `wasi:logging` |
//! | `output` | what a component prints, as lines of the log |
//! | `context` | the context of one instance |

mod context;
mod log_line;
pub(crate) mod logging;
mod output;

pub(crate) use context::Context;
