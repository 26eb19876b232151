//! `wasi:cli`, `wasi:filesystem` and `wasi:sockets` for components of the usual tool chains, whose
//! language runtimes import them and are otherwise refused.
//!
//! None of them reaches anything. What a component prints becomes lines of the log. Environment,
//! arguments and standard input are empty, no directory leads to a file, and sockets and names are
//! denied. The implementation is wasmtime's, over a context that has nothing.
//!
//! | module | contents |
//! |---|---|
//! | `output` | what a component prints, as lines of the log |
//! | `context` | the context of one instance |

mod context;
mod output;

pub(crate) use context::Context;
