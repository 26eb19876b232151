//! libpq's connection parameters: which servers, in which order, and how each is reached.
//!
//! | module | contents |
//! |---|---|
//! | `parameters` | the names and their environment variables |
//! | `uri` | `postgres://…` |
//! | `pairs` | `host=… user=…` |
//! | `types` | the parsed parameters |
//! | `passfile` | `~/.pgpass` |
//! | `tls`, `hosts`, `build` | the conversion of parameters to types |
//!
//! A wrong parameter is an error at once. No error, log line or `Debug` output contains a part of a
//! password.

mod build;
mod hosts;
mod pairs;
mod parameters;
mod passfile;
#[cfg(test)]
mod tests;
mod tls;
mod types;
mod uri;

pub(crate) use build::{from_pairs, from_uri};
pub(crate) use pairs::is_pairs;
pub(crate) use types::{
    Host, HostLocation, Keepalive, Postgres, Roots, Secret, ServerKind, Tls, TlsMode, Versions,
};
pub(crate) use uri::decode;
