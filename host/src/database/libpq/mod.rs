//! Connection parameters as libpq has them: which servers, in which order, and how each is reached.
//!
//! | module | what lives there |
//! |---|---|
//! | `parameters` | the names, and their environment variables |
//! | `uri` | `postgres://…` |
//! | `pairs` | `host=… user=…` |
//! | `types` | what comes of them |
//! | `passfile` | `~/.pgpass` |
//! | `tls`, `hosts`, `build` | parameters put together |
//!
//! What is wrong is an error at once. No error, no log line and no `Debug` output has a part of a
//! password in it.

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
pub(crate) use pairs::is_meant as is_pairs;
pub(crate) use types::{
    Host, Keepalive, Place, Postgres, Roots, Secret, Tls, TlsMode, Versions, Wanted,
};
pub(crate) use uri::decode;
