//! Serves a component over `spin:postgres`, as Spin 4.0 does, for tests: Spin itself is in no
//! package registry.
//!
//! It has what Spin's source (v4.0.2) says of these interfaces, and the engine of that version:
//! WASI 0.2.6, an instance for each request, pools of 64 connections by address, errors of a
//! result as text. It leaves out what the adapter beside it does not use: ranges, arrays,
//! intervals, TLS, and the list of permitted hosts.
//!
//! usage: `spin-stand-in COMPONENT ADDRESS [NAME=VALUE]...`
//!
//! The pairs are the component's variables. It writes where it listens to standard output.
//!
//! | module | contents |
//! |---|---|
//! | `serve` | requests, each to an instance of its own |
//! | `host` | the interfaces of Spin |
//! | `client` | pools, statements and errors |
//! | `values` | values, to and from PostgreSQL's |

mod client;
mod host;
mod serve;
mod values;

mod bindings {
    wasmtime::component::bindgen!({
        path: [
            "../wit/spin-postgres.wit",
            "../wit/spin-variables.wit",
        ],
        inline: "
            package usher:stand-in;
            world spin {
                import spin:postgres/postgres@4.2.0;
                import fermyon:spin/variables@2.0.0;
            }
        ",
        world: "usher:stand-in/spin",
        imports: { default: async },
        with: { "spin:postgres/postgres.connection": crate::client::Client },
    });
}

use std::collections::HashMap;

use wasmtime::error::Context as _;

#[tokio::main]
async fn main() -> wasmtime::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: spin-stand-in COMPONENT ADDRESS [NAME=VALUE]...";
    let component = arguments.next().context(usage)?;
    let address = arguments.next().context(usage)?;
    let variables: HashMap<String, String> = arguments
        .map(|pair| {
            let (name, value) = pair.split_once('=').context(usage)?;
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect::<wasmtime::Result<_>>()?;
    serve::serve(&component, &address, variables).await
}
