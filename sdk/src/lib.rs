//! What a service needs to be a component that Usher serves: HTTP, one database, migrations.
//!
//! `docs/sdk.md` is the tutorial. A service is either a [`web::Routed`], with function handlers and
//! JSON, or a [`service::Service`], which decides everything itself. [`export!`] makes it a
//! component. Imports run one way, from the bottom of this table to its top.
//!
//! | module | contents |
//! |---|---|
//! | [`database`] | the database capability as a trait; every statement is a constant |
//! | [`retry`] | running a statement or transaction again after a serialization failure |
//! | [`http`] | a request and a response as a service sees them |
//! | [`answer`] | a response, complete or streamed |
//! | [`routing`] | a route table |
//! | [`migrations`](mod@migrations) | the steps of a schema: applying and planning them |
//! | [`declared`] | a list of every statement that a component runs |
//! | [`manifest`] | statements and routes as custom sections, for a host to read |
//! | [`service`] | the trait that a component is made of |
//! | `component` | the boundary: exports, imports, allocator (WebAssembly only) |
//! | [`web`] | function handlers, JSON, problems, rows as structs (feature `web`) |
//! | `macros` | the macros, which are found in the crate's root |
//! | [`prelude`] | the names of these that a service uses (feature `web`) |

// So that the derive's paths also name this crate in its own tests.
extern crate self as usher_sdk;

#[macro_use]
mod macros;

pub mod answer;
#[cfg(target_arch = "wasm32")]
pub mod component;
pub mod database;
pub mod declared;
pub mod http;
pub mod manifest;
pub mod migrations;
#[cfg(feature = "web")]
pub mod prelude;
pub mod retry;
pub mod routing;
pub mod service;
#[cfg(feature = "web")]
pub mod web;
