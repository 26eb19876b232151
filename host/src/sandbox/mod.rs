//! The sandbox: loads a component and calls its instances for requests.
//!
//! An instance serves one request at a time, so that a trap, a memory limit or an endless loop
//! affects only the request that caused it. Read in this order:
//!
//! | module | contents |
//! |---|---|
//! | [`bindings`] | the exports of a component, as Rust |
//! | [`engine`], `processor` | the engine's settings; the limit on processor time |
//! | `turns`, `time_slice` | the order of the guests that compute for long; the clock's thread |
//! | [`bounds`], `compile_cache`, `compile` | bounds on a component, and its compilation |
//! | [`source`], [`config`], [`error`] | the source of a component, its limits, its errors |
//! | `names` | the names of what a component imports and exports, read from its binary |
//! | `declared_routes` | the routes of a component, read from its binary |
//! | `linear_memory`, [`state`] | the limit on linear memory; the state of one instance |
//! | [`grants`] | the interfaces that a component can get, and those that are denied |
//! | [`component`] | a component, loaded, linked and ready to instantiate |
//! | `compose` | one component made of two |
//! | `info` | a component's imports, exports, routes and statements, for its operator |
//! | [`migrate`] | calls the component's migrations |
//! | `admission` | admission control of one core |
//! | [`call`], `report` | one call until its deadline; log lines of failed ones |
//! | [`body`] | the body of a response |
//! | [`pool`], `unmap` | the instance pool of one core; how large instances are dropped |

pub mod bindings;
pub mod body;
pub mod bounds;
pub mod call;
pub mod component;
pub mod config;
pub mod engine;
pub mod error;
pub mod grants;
pub mod migrate;
pub mod pool;
pub mod source;
pub mod state;

mod admission;
mod compile;
mod compile_cache;
#[cfg(feature = "cli")]
pub(crate) mod compose;
mod declared_routes;
#[cfg(feature = "cli")]
pub(crate) mod info;
mod linear_memory;
mod names;
mod processor;
mod report;
mod time_slice;
mod turns;
mod unmap;

pub use body::GuestBody;
pub use compile::Compiler;
pub use component::{Capacity, Runtime, start_engine};
pub use config::Config;
pub use error::{CallError, LoadError};
pub use grants::DeniedImport;
pub use pool::Instances;
pub use source::Source;
#[cfg(feature = "embedded")]
pub use source::USERS_WASM;
pub use state::{State, StoreLimits};

pub use crate::wasi::{Clock, NamedValue, Overrides, Values, ValuesError};
